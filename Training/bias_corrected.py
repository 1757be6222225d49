"""Training cases as the preparation of raw scans hands them on: with a simulated bias field that N4 has corrected again.

    python -m Training.bias_corrected --config Training/configs/small.json --data DATA --run runs/small [--copies N] [--seed N]

Writes `run/data/bias_corrected/<case>_<k>.npz` beside the cases that `Training.prepare` has written, for the phases whose
`bias_corrected` is not 0. N4 takes away some of a large lesion's contrast along with the field (see
LDMSegLib/preprocessing/bias_field.py); a network that has not seen that loses such lesions.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np

from LDMSegLib.errors import InputError
from LDMSegLib.preprocessing.bias_field import logarithmic_field
from LDMSegLib.preprocessing.normalisation import background, normalise
from LDMSegLib.sequences.naming import assign
from LDMSegLib.spatial.boxes import bounding_box
from LDMSegLib.spatial.model_grid import to_grid
from LDMSegLib.spatial.volume import Volume
from Training.augmentation import smooth_field
from Training.command import one_sentence, parser
from Training.configuration import Configuration, read_configuration
from Training.files import write_arrays
from Training.prepare import case_folders, placed_grid
from Training.prepared_cases import COPIES

# Depth of the simulated field (standard deviation of its logarithm at the knots), and the knots along each axis.
DEEPEST, KNOTS = 0.25, (3, 6)


def bias_corrected_copies(configuration: Configuration, folder: Path, copies: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Images float16 (S, X, Y, Z) of a case on the model's grid: as it is, then with one field after another; all corrected by N4."""
    paths = assign(sorted(folder.glob("*.nii*")), configuration.sequences)
    images = {name: nib.load(path) for name, path in paths.items()}
    arrays = {name: np.asarray(image.dataobj, dtype=np.float32) for name, image in images.items()}
    affine = images[configuration.reference].affine
    placed = placed_grid(configuration, arrays, affine)
    box = bounding_box(np.any([array != 0 for array in arrays.values()], axis=0), 4)
    corner = affine.copy()
    corner[:3, 3] = affine[:3, :3] @ [part.start for part in box] + affine[:3, 3]
    empty = background(configuration.intensity)
    for copy in range(copies):
        out = []
        for sequence in configuration.sequences:
            array = arrays.get(sequence.name, np.zeros_like(arrays[configuration.reference]))[box]
            if copy:
                knots = int(rng.integers(*KNOTS))
                array = array * np.exp(smooth_field(array.shape, knots, rng.normal(0, rng.uniform(0.05, DEEPEST), knots**3)))
            corrected = normalise(array * np.exp(-logarithmic_field(Volume(array, corner))), configuration.intensity)
            out.append(to_grid(corrected, corner, placed, empty))
        yield np.stack(out).astype(np.float16)


def main() -> None:
    """Write the copies of every training case."""
    command = parser(__doc__, "config", "data", "run", seed=0)
    command.add_argument("--copies", type=int, default=4, help="of each case; the first gets no simulated field")
    args = command.parse_args()
    with one_sentence():
        configuration = read_configuration(args.config)
        for number, (case, folder) in enumerate(case_folders(args.data)):
            known = args.run / "data" / "training" / f"{case}.npz"
            if configuration.keeps_out(case) or not known.exists():
                continue
            target = args.run / "data" / COPIES
            if all((target / f"{case}_{copy}.npz").exists() for copy in range(args.copies)):
                continue
            with np.load(known) as archive:
                regions, shape = archive["regions"], archive["image"].shape
            rng = np.random.default_rng((args.seed, number))
            for copy, image in enumerate(bias_corrected_copies(configuration, folder, args.copies, rng)):
                if image.shape != shape:
                    raise InputError(f"{known} measures {shape}, expected {image.shape}; run Training.prepare anew")
                write_arrays(target / f"{case}_{copy}.npz", compressed=False, image=image, regions=regions)
            print(f"{case}: {args.copies} copies", flush=True)


if __name__ == "__main__":
    main()
