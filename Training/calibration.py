"""Make the bundle's probabilities mean what they say: a temperature per region, and an offset where it helps, from training cases.

    python -m Training.calibration --config Training/configs/small.json --bundle BUNDLE --data DATA

Every case with a truth that the split does not keep out is segmented by the bundle's default mode; what its regions'
probabilities are worth is learnt from the voxels near the tumour, in the brain. The bundle's metadata is rewritten; its
weights stay. These are cases that the networks have seen: the table shows what other cases of the same kind would gain (each
left out in turn), the validation cases show what strangers gain (Testing.benchmarks.accuracy).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from LDMSegLib.cases.assemble import load_case
from LDMSegLib.errors import InputError
from LDMSegLib.evaluation.calibration import expected_calibration_error, surroundings
from LDMSegLib.evaluation.logistic import fit_logistic
from LDMSegLib.inference.segment import Settings, segment
from LDMSegLib.io.nifti_in import read_label_map
from LDMSegLib.models.bundle import find_bundle, save_specification
from LDMSegLib.models.device import choose_device
from LDMSegLib.models.model import Model, sampling_mode
from LDMSegLib.postprocessing.calibration import calibrate
from LDMSegLib.postprocessing.regions import region_masks
from LDMSegLib.sequences.naming import assign, tokens
from LDMSegLib.specification import Calibration, Region
from Training.command import one_sentence, parser
from Training.configuration import Configuration, read_configuration
from Training.prepare import files_below

BAND_MM = 10.0
VOXELS = 50_000
"""Drawn from each case, so that a large tumour does not speak for all."""

Sample = tuple[np.ndarray, np.ndarray]
"""Of one case: the mean probabilities (R, n) and the truth (R, n) bool."""

RegionSample = tuple[np.ndarray, np.ndarray]
"""The same of one region, (n,) each; probabilities or their log odds."""


def fit(samples: Sequence[Sample]) -> Calibration:
    """Slope and offset of each region by maximum likelihood over all samples, each case weighing the same.

    A slope alone (temperature scaling, Guo et al. 2017, arXiv:1706.04599, section 4.2) leaves the segmentation as it is; an offset
    (Platt 1999, "Probabilistic outputs for support vector machines") moves its borders, and what moves them rightly in these cases
    need not in others. So a region gets one only where, each case left out in turn, it makes the truth likelier. Platt's smoothed
    targets, for a region whose truth a mean tells perfectly, are replaced by a weak pull to the identity. Certain voxels (0 and 1)
    are left out: they stay.
    """
    pairs = [_better([(p[r], y[r]) for p, y in samples]) for r in range(len(samples[0][0]))]
    return Calibration(tuple(slope for slope, _ in pairs), tuple(offset for _, offset in pairs))


def draw(
    probabilities: np.ndarray, masks: np.ndarray, truth: np.ndarray, inside: np.ndarray, spacing: Sequence[float], rng: np.random.Generator
) -> Sample:
    """Voxels near what is, or was predicted to be, of some region.

    Args:
        probabilities, masks, truth: (R, X, Y, Z): the mean, the prediction and the truth.
        inside: (X, Y, Z) bool, the brain.
        spacing: mm.
        rng: draws `VOXELS` of them.
    """
    near = surroundings([*truth, *masks], spacing, BAND_MM) & inside
    chosen = np.flatnonzero(near)
    chosen = chosen if len(chosen) <= VOXELS else rng.choice(chosen, VOXELS, replace=False)
    return tuple(array.reshape(len(array), -1)[:, chosen] for array in (probabilities, truth))


def training_cases(configuration: Configuration, data: Path, names: Sequence[str] = ()) -> list[tuple[Path, Path]]:
    """(folder, truth) of every case below `data` that has a truth and may be trained on, or of those named.

    Raises:
        InputError: there is none, or one that was named is kept out.
    """
    found = [(path.parent, path) for path in files_below(data, "*.nii*") if tokens(path)[-1] in ("seg", "segm")]
    kept_out = [name for name in names if configuration.keeps_out(name)]
    if kept_out:
        raise InputError(f"the split of '{configuration.name}' keeps {kept_out[0]} out of training, expected training cases; name others")
    found = [(f, t) for f, t in found if not configuration.keeps_out(f.name) and (not names or f.name in names)]
    if not found:
        raise InputError(f"no training case with a truth was found below {data}, expected folders with a *seg.nii.gz; check --data")
    return found


def table(samples: Sequence[Sample], calibration: Calibration, regions: tuple[Region, ...]) -> str:
    """Expected calibration error, mean over cases: as the members give it, calibrated, and by the other cases' calibration."""
    rows = {"before": [p for p, _ in samples], "after": [calibrate(p, calibration, regions) for p, _ in samples]}
    if len(samples) > 1:
        others = [fit([s for k, s in enumerate(samples) if k != left]) for left in range(len(samples))]
        rows["left out"] = [calibrate(p, c, regions) for (p, _), c in zip(samples, others, strict=True)]
    lines = [f"{'ECE':<10}" + "".join(f"{region.name:>9}" for region in regions)]
    for name, values in rows.items():
        errors = [[expected_calibration_error(p[r], y[r]) for r in range(len(regions))] for p, (_, y) in zip(values, samples, strict=True)]
        lines.append(f"{name:<10}" + "".join(f"{e:9.4f}" for e in np.nanmean(errors, axis=0)))
    for name, values in (("slope", calibration.slope), ("offset", calibration.offset)):
        lines.append(f"{name:<10}" + "".join(f"{value:9.4f}" for value in values))
    return "\n".join(lines)


def _better(samples: Sequence[RegionSample]) -> tuple[float, float]:
    """Slope and offset of one region, the offset 0 where other cases are not told better with one."""
    known = [logits for logits in map(_logits, samples) if logits[0].size]
    if not known:
        return 1.0, 0.0
    plain, moved = (
        sum(_surprise(_fit(known[:k] + known[k + 1 :], offset), known[k]) for k in range(len(known))) for offset in (False, True)
    )
    return _fit(known, len(known) > 1 and moved < plain)


def _logits(sample: RegionSample) -> RegionSample:
    """Log odds (n,) and truth (n,) of the voxels that are not certain."""
    p, truth = sample
    doubtful = (p > 0) & (p < 1)
    q = np.clip(p[doubtful].astype(np.float64), 1e-6, 1 - 1e-6)
    return np.log(q / (1 - q)), truth[doubtful].astype(np.float64)


def _surprise(pair: tuple[float, float], case: RegionSample) -> float:
    """Mean negative log likelihood of a case's truth."""
    (slope, offset), (x, y) = pair, case
    return float(np.logaddexp(0.0, np.where(y > 0, -1.0, 1.0) * (slope * x + offset)).mean())


def _fit(cases: Sequence[RegionSample], offset: bool) -> tuple[float, float]:
    """Maximum likelihood over the log odds and truths of cases; the identity for none."""
    if not cases:
        return 1.0, 0.0
    x, y = (np.concatenate(arrays) for arrays in zip(*cases, strict=True))
    w = np.concatenate([np.full(len(here), 1.0 / len(here)) for here, _ in cases]) / len(cases)
    inputs, identity = np.stack([x, np.ones_like(x)][: 1 + offset], axis=1), np.array([1.0, 0.0])[: 1 + offset]
    here = fit_logistic(inputs, y, np.full(1 + offset, 1e-4), w, identity)
    # A mean that falls where the truth rises is no matter of calibration.
    return (float(here[0]), float(here[1]) if offset else 0.0) if here[0] > 0.05 else (1.0, 0.0)


def main() -> None:
    """The command line."""
    command = parser(__doc__, "config", "bundle", "data", seed=0)
    command.add_argument("--mode", help="the sampling mode to calibrate; the bundle's default without")
    command.add_argument("--members", type=int)
    command.add_argument("--cases", nargs="*", default=(), help="only these")
    arguments = command.parse_args()
    with one_sentence():
        bundle = find_bundle(arguments.bundle)
        spec = bundle.specification
        plain = replace(bundle, specification=replace(spec, calibration=Calibration()))
        model = Model(plain, sampling_mode(spec, arguments.mode, None, arguments.members), choose_device())
        rng, samples = np.random.default_rng(arguments.seed), []
        for folder, truth in training_cases(read_configuration(arguments.config), arguments.data, arguments.cases):
            case = load_case(assign(sorted(folder.glob("*.nii*")), spec.sequences), spec, folder.name)
            labels = read_label_map(truth).array
            if labels.shape != case.grid.shape:
                raise InputError(f"{truth} lies on another grid than {folder.name}'s images, expected one grid; resample it")
            result = segment(case, model, Settings(arguments.seed))
            masks = region_masks(labels, spec.labels, spec.regions)
            samples.append(draw(result.probabilities, result.masks(), masks, case.foreground(), case.grid.spacing, rng))
            print(f"{len(samples)}: {folder.name}", flush=True)
        calibration = fit(samples)
        print(table(samples, calibration, spec.regions))
        save_specification(bundle, replace(spec, calibration=calibration))


if __name__ == "__main__":
    main()
