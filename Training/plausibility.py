"""What is usual in the training cases, written into the bundle, so that a result can say when a case is not.

    python -m Training.plausibility --config Training/configs/small.json --bundle BUNDLE --run runs/small

Every prepared training case that has a tumour is segmented by the bundle; its images and its result are measured as a
user's will be (`LDMSegLib.postprocessing.ood_measures`). Volumes and parts are also learnt from the label maps that come without images,
contrasts from the lesion crops. The bundle's metadata is rewritten; its weights stay.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from LDMSegLib.diffusion.statistics import RunningStatistics
from LDMSegLib.errors import InputError
from LDMSegLib.inference.ensemble import draw, read
from LDMSegLib.models.bundle import find_bundle, save_specification
from LDMSegLib.models.device import choose_device
from LDMSegLib.models.model import Model, sampling_mode
from LDMSegLib.postprocessing.calibration import uncalibrated
from LDMSegLib.postprocessing.ood_measures import measure_case
from LDMSegLib.postprocessing.out_of_distribution import Measures, contrast_measures, result_measures
from LDMSegLib.postprocessing.regions import nest
from LDMSegLib.preprocessing.normalisation import background
from LDMSegLib.spatial.atlas import find_space
from LDMSegLib.specification import Plausibility, Range
from LDMSegLib.synthesis.canvas import placed_blank
from Training.command import one_sentence, parser
from Training.configuration import Configuration, read_configuration

FEWEST = 8
"""A range needs at least this many cases."""


def usual_ranges(measured: Sequence[Measures], margin: float = 0.5, factor: float = 2.0) -> dict[str, Range]:
    """The 1st to 99th percentile of each measure over the cases that have it, and something beyond for the cases one hasn't seen.

    Args:
        measured: of each case.
        margin: share of the percentiles' distance that is added on both sides.
        factor: the same for volumes, which differ by factors.

    Returns:
        Ranges of the measures that at least `FEWEST` cases have. Doubt and parts can't be too few, a reconstruction too good or
        a mask too far inside; parts are counted, and there is nothing beyond the count.
    """
    values = defaultdict(list)
    for measures in measured:
        for key, value in measures.items():
            values[key].append(value)
    ranges = {}
    for key, found in values.items():
        if len(found) < FEWEST:
            continue
        low, high = (float(value) for value in np.percentile(found, (1, 99)))
        kind, more = key.split("/")[0], margin * (high - low)
        if kind == "volume":
            ranges[key] = Range(low / factor, high * factor)
        elif kind == "parts":
            ranges[key] = Range(0.0, float(np.ceil(high)))
        elif kind == "shell":
            ranges[key] = Range(0.0, high + more)
        elif kind in ("reconstruction", "inside"):
            ranges[key] = Range(low - more, 1.0)
        else:
            ranges[key] = Range(low - more, high + more)
    return dict(sorted(ranges.items()))


def measured_cases(configuration: Configuration, run: Path, model: Model, seed: int) -> Iterator[Measures]:
    """Images and result of every prepared training case with a tumour.

    Raises:
        InputError: there is none.
    """
    spec = model.specification
    limits = uncalibrated(spec.threshold, spec.calibration, spec.regions)
    count = 0
    for path in sorted((run / "data" / "training").glob("*.npz")):
        with np.load(path) as archive:
            mri, regions = archive["image"].astype(np.float32), archive["regions"]
        if configuration.keeps_out(path.stem) or not regions.any():
            continue
        statistics = RunningStatistics()
        draw(
            model,
            read(model, mri),
            mri.shape[1:],
            seed,
            model.mode.members,
            lambda _, p, into=statistics: into.add(nest(p, spec.regions)),
        )
        present = [name for name, one in zip(spec.sequence_names, mri, strict=True) if (one != background(spec.intensity)).any()]
        yield measure_case(model, mri, statistics.mean.cpu().numpy(), present, limits)
        count += 1
        print(f"{count}: {path.stem}", flush=True)
    if not count:
        raise InputError(f"{run / 'data' / 'training'} holds no case with a tumour; run Training.prepare first")


def measured_lesions(configuration: Configuration, run: Path) -> Iterator[Measures]:
    """Volumes, parts and places of the label maps and contrasts of the lesion crops, as far as there are some."""
    names, voxel = [s.name for s in configuration.sequences], float(np.prod(configuration.grid.spacing))
    space, placed, outer = find_space(configuration.grid.space), placed_blank(configuration.grid), configuration.regions[-1].name
    brain = space.inside(placed.affine, placed.shape) if space else None
    maps, crops = run / "data" / "labelmaps.npz", run / "data" / "patches.npz"
    if maps.exists():
        with np.load(maps) as columns:
            named, regions = columns["name"], columns["regions"]
        for name, soft in zip(named, regions, strict=True):
            if soft.any() and not configuration.keeps_out(str(name)):
                measures = result_measures(soft / np.float32(255), soft > 127, configuration.regions, voxel)
                found = {key: value for key, value in measures.items() if key.startswith(("volume/", "parts/"))}
                whole = soft[-1] > 127
                if brain is not None and whole.any():
                    found[f"inside/{outer}"] = float(np.count_nonzero(whole & brain) / np.count_nonzero(whole))
                yield found
    if crops.exists():
        with np.load(crops) as columns:
            named, images, regions = columns["name"], columns["image"], columns["regions"]
        for name, image, soft in zip(named, images, regions, strict=True):
            if not configuration.keeps_out(str(name)):
                yield contrast_measures(image.astype(np.float32), soft > 127, names, configuration.regions)


def main() -> None:
    """The command line."""
    command = parser(__doc__, "config", "bundle", "run", seed=0)
    command.add_argument("--mode", help="the bundle's default without")
    command.add_argument("--members", type=int)
    arguments = command.parse_args()
    with one_sentence():
        configuration, bundle = read_configuration(arguments.config), find_bundle(arguments.bundle)
        spec = bundle.specification
        model = Model(bundle, sampling_mode(spec, arguments.mode, None, arguments.members), choose_device())
        measured = list(measured_cases(configuration, arguments.run, model, arguments.seed))
        ranges = usual_ranges(measured + list(measured_lesions(configuration, arguments.run)))
        for key, usual in ranges.items():
            print(f"{key:<28}{usual.low:10.3g}{usual.high:10.3g}")
        save_specification(bundle, replace(spec, plausibility=Plausibility(ranges)))


if __name__ == "__main__":
    main()
