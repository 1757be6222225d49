"""Whether generated masks are like real ones, without being copies: shapes, nesting, place, variety, nearest neighbours.

    python -m Testing.benchmarks.synthesis [--bundle B] [--count 100] [--seed 0] [--any-shape] [--repeats 50] [--csv FILE]

Real masks are the label maps of labelmaps/brats_128.npz in the real data's folder. Masks are kept by how usual their shape is
(`Training.shape_odds`); shapes are compared with that half of the real ones from which this was not learnt, copies are looked for
among all. Both kinds are measured on the model's grid,
to which real ones are brought, so that no difference is one of voxels. Distances between small samples are mostly sample
size: so all are between sets of equal size, and beside each stands the same distance between two sets of real masks.
Intervals of Wasserstein distances are bootstrapped; those of the others are over random subsets without repeats, since a case
that is drawn twice would be its own nearest neighbour, and known from the other fold.
"""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from LDMSegLib.evaluation.bootstrap import bootstrap_interval
from LDMSegLib.evaluation.distances import SetDistance, compare_sets, wasserstein_per_feature
from LDMSegLib.evaluation.memorisation import nearest, nearest_among
from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.models.device import choose_device
from LDMSegLib.models.model import Model
from LDMSegLib.postprocessing.regions import region_masks
from LDMSegLib.spatial.atlas import find_space
from LDMSegLib.spatial.model_grid import PlacedGrid, to_grid
from LDMSegLib.specification import Specification
from LDMSegLib.synthesis.acceptance import Mask, SynthesisRequest
from LDMSegLib.synthesis.canvas import Canvas
from LDMSegLib.synthesis.shapes import feature_matrix, shape_statistics
from LDMSegLib.synthesis.synthesize import synthesize
from Testing.benchmarks.common import parser, write_csv
from Testing.benchmarks.process import machine, table
from Testing.benchmarks.real_data import ROOT
from Training.brats_space import affine_of, model_grid
from Training.shape_odds import learnt_from

LABEL_MAPS = Path("labelmaps") / "brats_128.npz"
BRAIN = Path("healthy") / "sri24" / "sri24_t1_brain.nii.gz"
SCALARS = ("MMD²", "classifier AUC", "precision", "recall", "density", "coverage")


def main() -> None:
    command = parser(__doc__, "seed", "csv")
    command.add_argument("--count", type=int, default=100)
    command.add_argument("--any-shape", action="store_true", help="keep what is drawn, whatever its shape")
    command.add_argument("--repeats", type=int, default=50, help="random subsets")
    arguments = command.parse_args()
    bundle = find_bundle(arguments.bundle)
    spec = bundle.specification
    placed = model_grid(spec.grid)
    named = real_masks(spec, placed)
    real, unseen = list(named.values()), [mask for name, mask in named.items() if not learnt_from(name)]
    model = Model(bundle, spec.mode(spec.synthesis_mode), choose_device())
    generated: list[np.ndarray] = []

    def keep(mask: Mask) -> None:
        generated.append(region_masks(mask.labels, spec.labels, spec.regions))

    space = find_space(spec.grid.space)
    inside = space.inside(placed.affine, placed.shape) if space else None
    canvas = Canvas(placed, placed.affine, placed.shape, inside=inside)
    drawn = synthesize(model, canvas, SynthesisRequest(arguments.count, arguments.seed, any_shape=arguments.any_shape), keep)
    statistics = [[shape_statistics(masks, spec.regions, placed.affine) for masks in kind] for kind in (real, generated, unseen)]
    (ours, names), (theirs, _) = (feature_matrix(rows) for rows in statistics[1:])
    print(f"Machine: {machine()}. Bundle {bundle.name}, {len(generated)} generated masks of {drawn.drawn} drawn, {len(real)} real ones.")
    print(f"Shapes are compared with {len(unseen)} real ones from which no odds were learnt.")
    reasons = f"{drawn.empty} empty, {drawn.outside} too far outside the brain, {drawn.odd_shaped} of an unusual shape"
    print(f"Not kept: {reasons}.")
    brains = {"the average brain": np.ones(placed.shape, bool) if inside is None else inside, "the SRI24 atlas's brain": brain(placed)}
    print(soundness(real, generated, statistics[:2], brains))
    print(set_distances(theirs, ours, names, arguments.repeats, arguments.seed))
    print(feature_distances(theirs, ours, names, arguments.seed))
    print(memorisation([m[-1] for m in real], [m[-1] for m in generated], spec.region_names[-1]))
    write_csv(arguments, statistics[1])


def real_masks(spec: Specification, placed: PlacedGrid) -> dict[str, np.ndarray]:
    """(R, X, Y, Z) bool of every real label map that has a tumour on the model's grid, by the case's name.

    Raises:
        SystemExit: there are none.
    """
    path = ROOT / LABEL_MAPS
    if not path.exists():
        raise SystemExit(f"no label maps at {path}; set LDMSEG_REAL_DATA to a folder that has some")
    with np.load(path) as archive:
        names, maps = archive["case"].tolist(), archive["seg"]
    found = {}
    for name, labels in zip(names, maps, strict=True):
        masks = region_masks(labels, spec.labels, spec.regions).astype(np.float32)
        masks = np.stack([to_grid(mask, affine_of(maps.shape[1:]), placed) >= 0.5 for mask in masks])
        if masks.any():
            found[name] = masks
    return found


def brain(placed: PlacedGrid) -> np.ndarray:
    """(X, Y, Z) bool: the atlas's brain, filled, on the model's grid; everywhere where there is no atlas."""
    path = ROOT / BRAIN
    if not path.exists():
        return np.ones(placed.shape, bool)
    image = nib.load(path)
    filled = to_grid((np.asarray(image.dataobj) > 0).astype(np.float32), image.affine, placed) >= 0.5
    return ndimage.binary_fill_holes(ndimage.binary_closing(filled, iterations=3))


def soundness(real: list[np.ndarray], generated: list[np.ndarray], statistics: list[list[dict]], brains: dict[str, np.ndarray]) -> str:
    """Nesting violations, and how much of the masks lies in a brain: of real ones not quite all, heads differ."""
    body = []
    for name, kind, rows in zip(("real", "generated"), (real, generated), statistics, strict=True):
        violations = sum(any(value > 0 for key, value in row.items() if "_outside_" in key) for row in rows)
        cells = []
        for inside in brains.values():
            shares = np.array([np.count_nonzero(masks.any(axis=0) & inside) / np.count_nonzero(masks.any(axis=0)) for masks in kind])
            cells += [f"{shares.mean():.3f}", f"{shares.min():.3f}", f"{(shares == 1).mean():.0%}"]
        body.append((name, str(len(kind)), str(violations), *cells))
    head = ("masks", "how many", "with nesting violations")
    head += tuple(f"{what} in {name}" for name in brains for what in ("share", "lowest share", "wholly"))
    return table("Soundness", head, body)


def set_distances(real: np.ndarray, generated: np.ndarray, names: tuple[str, ...], repeats: int, seed: int) -> str:
    """Mean and 95 % of random subsets of equal size: generated against real, and real against other real ones."""
    n, rng = min(len(generated), len(real) // 2), np.random.default_rng(seed)
    against: dict[str, list[tuple[float, ...]]] = {"generated": [], "real": []}
    for _ in range(repeats):
        order = rng.permutation(len(real))
        these, others = real[order[:n]], real[order[n : 2 * n]]
        chosen = generated[rng.choice(len(generated), n, replace=False)]
        against["generated"].append(_scalars(compare_sets(these, chosen, names, seed=int(rng.integers(2**31)))))
        against["real"].append(_scalars(compare_sets(these, others, names, seed=int(rng.integers(2**31)))))
    body = []
    for k, name in enumerate(SCALARS):
        cells = []
        for values in against.values():
            column = np.array(values)[:, k]
            low, high = np.percentile(column, (2.5, 97.5))
            cells.append(f"{column.mean():.3f} ({low:.3f} to {high:.3f})")
        body.append((name, *cells))
    return table(f"Sets of {n} masks by their shapes", ("", "generated against real", "real against real"), body)


def _scalars(distance: SetDistance) -> tuple[float, ...]:
    return distance.mmd, distance.classifier_auc, *astuple(distance.neighbourhoods)


def feature_distances(real: np.ndarray, generated: np.ndarray, names: tuple[str, ...], seed: int) -> str:
    """Medians and the Wasserstein distance of every statistic that varies, worst first."""
    n, rng = min(len(real), len(generated)), np.random.default_rng(seed)
    these, ours = (rows[rng.choice(len(rows), n, replace=False)] for rows in (real, generated))
    body = []
    for k, name in enumerate(names):
        a, b = these[:, [k]], ours[:, [k]]
        if np.nanmax(np.concatenate([a, b])) == np.nanmin(np.concatenate([a, b])):
            continue
        # A region that is empty has no shape: which cases have one is part of what is resampled.
        interval = bootstrap_interval(lambda x, y: float(wasserstein_per_feature(x, y)[0]), a, b, repeats=300, seed=seed)
        middle = (f"{np.nanmedian(a):.3g}", f"{np.nanmedian(b):.3g}")
        body.append((interval.value, (name, *middle, f"{interval.value:.2f} ({interval.low:.2f} to {interval.high:.2f})")))
    rows = [cells for _, cells in sorted(body, key=lambda item: -item[0])]
    return table(f"Feature by feature, {n} masks each", ("feature", "median real", "median generated", "Wasserstein in SD of real"), rows)


def memorisation(real: list[np.ndarray], generated: list[np.ndarray], region: str) -> str:
    """Dice with the nearest real mask, mirrored copies included, where they lie and with centroids brought together."""
    body = []
    for centred in (False, True):
        usual = nearest_among(real, centred=centred)
        found = np.array([neighbour.dice for neighbour in nearest(generated, real, centred=centred)])
        limit = float(np.percentile(usual, 95))
        for name, values in (("real to other real", usual), ("generated to real", found)):
            where = "centred" if centred else "in place"
            cells = (f"{values.mean():.3f}", f"{np.percentile(values, 95):.3f}", f"{values.max():.3f}", f"{(values > limit).mean():.0%}")
            body.append((name, where, *cells))
    return table(f"Nearest neighbours, {region}", ("", "", "mean Dice", "95th percentile", "largest", "above real's 95th"), body)


if __name__ == "__main__":
    main()
