"""Out-of-fold answers: what the head that has not seen a patient says of him, for every training patient.

    python -m Training.out_of_fold --config Training/configs/small.json --run runs/small

Whatever is trained on top of a head (the ControlNet, the calibration, volume intervals) learns from these answers alone, so that it
meets the head's real errors (stacking: Wolpert 1992, doi:10.1016/S0893-6080(05)80023-1; cross-fitting: van der Laan et al. 2007,
"Super Learner"). Brains without tumour belong to no fold: they get the answer of the first head, which has seen them.
Validation patients get the answer of every head.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from LDMSegLib.errors import InputError
from LDMSegLib.models.networks import build
from Training.checkpoints import phase_folder, trained_weights
from Training.command import one_sentence, parser
from Training.configuration import Configuration, read_configuration
from Training.files import write_arrays
from Training.losses import hard_dice

PHASE = "conditioning"


def out_of_fold(configuration: Configuration, run: Path, device: torch.device) -> list[dict]:
    """Write `run/data/out_of_fold/<case>.npz` and return one row a case.

    Each file holds `logits`, float16 (heads, R, X, Y, Z) on the model's grid: one head for a training case, all for a validation case.

    Returns:
        `case`, `kind` ("training" or "validation"), `fold` (None where all heads answer) and the Dice of each region.

    Raises:
        InputError: the configuration has no folds, or a head has not been trained.
    """
    if not configuration.folds:
        raise InputError(f"the configuration '{configuration.name}' has no folds; name a file of them under split.folds")
    heads = [_head(configuration, run, fold, device) for fold in range(len(configuration.folds))]
    rows = []
    for kind, path in _cases(run):
        fold = next((k for k in range(len(heads)) if configuration.without_fold(k).leaves_out(path.stem)), 0)
        asked = heads if kind == "validation" else [heads[fold]]
        with np.load(path) as archive:
            image, regions = torch.from_numpy(archive["image"].astype(np.float32)), torch.from_numpy(archive["regions"] / np.float32(255))
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
            logits = torch.cat([head(image[None].to(device)).float().cpu() for head in asked])
        write_arrays(run / "data" / "out_of_fold" / path.name, logits=logits.half().numpy())
        dice = hard_dice(torch.sigmoid(logits).mean(dim=0), regions)
        scores = {region.name: float(d) for region, d in zip(configuration.regions, dice, strict=True)}
        rows.append({"case": path.stem, "kind": kind, "fold": None if kind == "validation" else fold, **scores})
    return rows


def _cases(run: Path) -> Iterator[tuple[str, Path]]:
    for kind in ("training", "validation"):
        yield from ((kind, path) for path in sorted((run / "data" / kind).glob("*.npz")))


def _head(configuration: Configuration, run: Path, fold: int, device: torch.device) -> nn.Module:
    weights, _ = trained_weights(run, phase_folder(PHASE, fold))
    network = build(configuration.networks[PHASE]).backbone
    network.load_state_dict(weights)
    return network.to(device).eval()


def main() -> None:
    """The command line."""
    command = parser(__doc__, "config", "run")
    command.add_argument("--rows", type=Path, help="write every case's row here, JSON")
    arguments = command.parse_args()
    with one_sentence():
        configuration = read_configuration(arguments.config)
        rows = out_of_fold(configuration, arguments.run, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    names = [region.name for region in configuration.regions]
    for kind in ("training", "validation"):
        mine = [row for row in rows if row["kind"] == kind]
        print(f"{kind}, {len(mine)} cases: " + ", ".join(f"{name} {np.mean([row[name] for row in mine]):.3f}" for name in names))
    if arguments.rows:
        arguments.rows.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
