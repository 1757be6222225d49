"""Every picture of the documentation, made anew with the default model and the synthetic patient:

    python Testing/screenshots.py [Documentation]

Makes the patient, a result and masks in a temporary folder, then the report, the pictures of the scene and those of the panel.
Takes a few minutes. They are kept in 256 colours, a third of the size, because the repository keeps every version of them for
ever. Look at all of them before they are kept.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
MASKS, MASKS_SEED = 2, 1


def main(documentation: Path = ROOT / "Documentation") -> None:
    screenshots = documentation / "screenshots"
    screenshots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        patient, result, prepared, masks = (Path(folder) / name for name in ("synthetic_patient", "result", "prepared", "masks"))
        _run("-m", "LDMSegLib", "demo-patient", "-o", patient)
        _run("-m", "LDMSegLib", "segment", patient, "-o", result, "--synthetic")
        _run("-m", "LDMSegLib", "segment", patient, "-o", prepared, "--synthetic", "--prepare", "always")
        (image,) = patient.glob("*t1c.nii.gz")
        _run("-m", "LDMSegLib", "synthesize", "-n", MASKS, "--seed", MASKS_SEED, "--like", image, "-o", masks)
        shutil.copyfile(result / "report.png", documentation / "report.png")
        _run(ROOT / "Testing" / "mrml" / "screenshots.py", patient, result, masks, screenshots)
        _run(ROOT / "Testing" / "panel" / "screenshots.py", patient, result, prepared, screenshots)
    for file in (documentation / "report.png", *sorted(screenshots.glob("*.png"))):
        _in_few_colours(file)
        print(file)


def _in_few_colours(file: Path) -> None:
    with Image.open(file) as picture:
        plain = picture.convert("RGB")
    if plain.getcolors(4096):  # a drawing: dithering would speckle its flat colours
        few = plain.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    else:
        palette = plain.quantize(256, method=Image.Quantize.FASTOCTREE)
        few = plain.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    few.save(file, optimize=True)


def _run(*arguments: object) -> None:
    subprocess.run([sys.executable, *(str(argument) for argument in arguments)], cwd=ROOT, check=True)


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:2]))
