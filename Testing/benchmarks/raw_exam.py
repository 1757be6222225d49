"""The raw exam start to end, beside the same patient as BraTS prepared it: result, registration, and who registered better.

    python -m Testing.benchmarks.raw_exam [--bundle B] [--members M] [--steps S] [--seed N] [--picture FILE.png]

No true transform is known here. Where a prepared image comes from is found by looking for each of the exam's images in the
prepared image of the same sequence (correlation inside the brain, independent of the library's registration). That gives two ways
from a sequence to the native T1c: through the prepared space, and by what preparing found. Points of the brain, 10 mm apart, are
carried both ways: their distance holds the errors of both. Whose error it is, is told by two measures that look at the exam's own
images where each way puts them: mutual information in the brain, which the library's registration maximises, and how parallel
the two images' edges run, which neither was fitted to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import ndimage, optimize
from scipy.spatial.transform import Rotation

from LDMSegLib.cases.assemble import load_case
from LDMSegLib.evaluation.lesionwise import dice
from LDMSegLib.inference.segment import Settings, segment
from LDMSegLib.io.nifti_in import read_volume
from LDMSegLib.models.model import Model
from LDMSegLib.postprocessing.regions import region_masks
from LDMSegLib.preprocessing.registration import register
from LDMSegLib.preprocessing.similarity import mutual_information
from LDMSegLib.results.provenance import RESEARCH_USE
from LDMSegLib.sequences.naming import find_case
from LDMSegLib.spatial.resampling import resample_to
from LDMSegLib.spatial.volume import Volume
from LDMSegLib.specification import Specification
from Testing.benchmarks.brain_extraction import EXAM, SAME, brain_figures, brain_table
from Testing.benchmarks.common import heading, load_model, parser
from Testing.benchmarks.process import table
from Testing.benchmarks.raw_common import at, distances, onto, points_of, prepared_with_cost
from Testing.benchmarks.real_data import ROOT, truth

# What issue 5 asks for.
LANDMARK_MM, EXAM_DICE = 2.0, 0.85
FROM_EDGE_MM, SAMPLES = 4.0, 30_000


def exam(model: Model, seed: int = 0, picture: Path | None = None) -> dict[str, Any]:
    """Everything that is measured, as plain values; with a picture of both results where one is wanted."""
    spec = model.specification
    native, ready = volumes(spec)
    prepared, cost = prepared_with_cost(Path(EXAM).name, native, spec)
    reference = native[spec.reference]
    found = landmarks(native, ready, prepared.transforms, spec.reference)
    to_native = np.linalg.inv(found.pop("back")[spec.reference])
    result = segment(prepared.case, model, Settings(seed=seed))
    known = segment(load_case(find_case(ROOT / SAME, spec.sequences), spec), model, Settings(seed=seed))
    taken = onto(known.masks(), to_native @ known.affine, reference)
    labels, affine = truth(ROOT / SAME)
    wanted = onto(region_masks(labels, spec.labels, spec.regions), to_native @ affine, reference)
    true_brain = onto((ready[spec.reference].array > 0)[None], to_native @ ready[spec.reference].affine, reference)[0]
    named = dict(zip(spec.region_names, wanted, strict=True))
    if picture is not None:
        both = {"from the raw scans": result.masks()[-1], "from the prepared case, taken to native space": taken[-1]}
        draw(picture, reference, both, spec.region_names[-1])
    masks = list(zip(spec.region_names, result.masks(), taken, wanted, strict=True))
    return {
        **found,
        "agreement": {region: dice(mine, theirs) for region, mine, theirs, _ in masks},
        "dice": {region: (dice(theirs, true), dice(mine, true)) for region, mine, theirs, true in masks},
        "brain": brain_figures(prepared.case.target_inside(), true_brain, named, reference),
        **cost,
    }


def volumes(spec: Specification) -> tuple[dict[str, Volume], dict[str, Volume]]:
    """The exam's sequences, and the same patient's as BraTS prepared them."""
    native, ready = ({n: read_volume(file) for n, file in find_case(ROOT / f, spec.sequences).items()} for f in (EXAM, SAME))
    return native, ready


def landmarks(native: dict[str, Volume], ready: dict[str, Volume], transforms: dict, reference: str) -> dict[str, Any]:
    """How far the two ways to the native reference are apart, and how well the exam's images agree where each puts them."""
    brain = ready[reference].array > 0
    deep = ndimage.distance_transform_edt(brain) > FROM_EDGE_MM
    back = {n: same_image(native[n], ready[n], deep, register(native[n], ready[n], brain).matrix) for n in native}
    fixed, points = native[reference], points_of(ready[reference])
    inside = onto(brain[None], np.linalg.inv(back[reference]) @ ready[reference].affine, fixed)[0]
    apart, shared, edges = {}, {}, {}
    for name in native:
        if name != reference:
            ways = (transforms[name, reference], np.linalg.inv(back[reference]) @ back[name])
            far = distances(ways[0] @ np.linalg.inv(back[name]), ways[1] @ np.linalg.inv(back[name]), points)
            apart[name] = (float(far.mean()), float(far.max()))
            shared[name] = tuple(mutual_information(native[name], fixed, way, inside, mm=1.0) for way in ways)
            edges[name] = tuple(parallel_edges(native[name], fixed, way, inside) for way in ways)
    return {"landmarks_mm": apart, "information": shared, "edges": edges, "back": back}


def same_image(native: Volume, ready: Volume, inside: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The rigid matrix, near `start`, at which an image shows most linearly what a resampled copy of it shows.

    Args:
        native: the image.
        ready: its copy on another grid, perhaps stripped and corrected for shading.
        inside: (X, Y, Z) bool on the copy's grid: where to look.
        start: native world → the copy's world.
    """
    index = np.argwhere(inside)
    index = index[np.random.default_rng(0).permutation(len(index))[:SAMPLES]]
    grey, points = ready.array[tuple(index.T)], at(ready.affine, index)
    middle, to_voxel = points.mean(axis=0), np.linalg.inv(native.affine)

    def moved(x: np.ndarray) -> np.ndarray:
        move = np.eye(4)
        move[:3, :3] = Rotation.from_rotvec(x[:3] / 60.0).as_matrix()  # a unit turns the brain's edge by about a millimetre
        move[:3, 3] = middle - move[:3, :3] @ middle + x[3:]
        return move @ start

    def unlike(x: np.ndarray) -> float:
        where = at(to_voxel @ np.linalg.inv(moved(x)), points).T
        seen = ndimage.map_coordinates(native.array, where, order=1, mode="nearest")
        return -float(np.corrcoef(seen, grey)[0, 1])

    simplex = np.vstack([np.zeros(6), np.eye(6)])
    best = optimize.minimize(unlike, np.zeros(6), method="Nelder-Mead", options={"initial_simplex": simplex, "maxfev": 900, "xatol": 0.005})
    return moved(best.x)


def parallel_edges(moving: Volume, fixed: Volume, matrix: np.ndarray, inside: np.ndarray) -> float:
    """How parallel two images' edges run, 0 (not at all, 1/3 by chance) to 1: mean squared cosine, where both have edges."""
    moved = resample_to(moving.array, matrix @ moving.affine, fixed.affine, fixed.shape)
    a, b = (
        np.stack(np.gradient(ndimage.gaussian_filter(image, 1.0 / np.asarray(fixed.spacing)), *fixed.spacing))
        for image in (moved, fixed.array)
    )
    squares = [(g**2).sum(axis=0) for g in (a, b)]
    weight = np.sqrt(squares[0] * squares[1]) * inside
    cosine = (a * b).sum(axis=0) ** 2 / np.maximum(squares[0] * squares[1], 1e-9)
    return float((weight * cosine).sum() / max(float(weight.sum()), 1e-9))


def draw(file: Path, volume: Volume, masks: dict[str, np.ndarray], region: str) -> None:
    """Each mask's outline on the slices with most of it, along every axis of the volume. A patient's image: not for the repository."""
    figure = Figure(figsize=(10, 3.6 * len(masks)), facecolor="white")
    FigureCanvasAgg(figure)
    middle = [int(np.argmax(sum(m.sum(axis=tuple({0, 1, 2} - {axis})) for m in masks.values()))) for axis in range(3)]
    top = np.percentile(volume.array, 99.5)
    for row, (title, mask) in enumerate(masks.items()):
        for axis in range(3):
            axes = figure.add_subplot(len(masks), 3, 3 * row + axis + 1)
            across, up = (volume.spacing[k] for k in range(3) if k != axis)
            image, outline = (array.take(middle[axis], axis=axis).T for array in (volume.array, mask.astype(np.float32)))
            axes.imshow(image, cmap="gray", vmin=0, vmax=top, origin="lower", aspect=up / across)
            if outline.any():
                axes.contour(outline, levels=[0.5], colors="#ffb000", linewidths=1.0)
            axes.set_axis_off()
            if axis == 0:
                axes.set_title(f"{region} {title}", loc="left", fontsize=9)
    figure.text(0.01, 0.01, RESEARCH_USE, fontsize=8, color="#b3261e")
    figure.savefig(file, dpi=90)


def exam_figures(rows: list[dict]) -> str:
    """The tables of what `exam` measured."""
    if not rows:
        return "\nThe raw exam is not finished."
    row = rows[0]
    if "refused" in row:
        return f"\nThe raw exam was refused: {row['refused']}"
    outer = list(row["agreement"])[-1]
    ways = [
        (n, f"{mean:.2f} mm", f"{most:.2f} mm", *(f"{v:.3f}" for v in (*row["information"][n], *row["edges"][n])))
        for n, (mean, most) in row["landmarks_mm"].items()
    ]
    head = ("sequence", "mean", "most", "information: ours", "theirs", "edges: ours", "theirs")
    body = [
        *(
            (f"{r}: Dice of its result with the prepared case's, on the native grid", f"{d:.3f}", f"≥ {EXAM_DICE:g}" if r == outer else "")
            for r, d in row["agreement"].items()
        ),
        *((f"{r}: Dice with the truth, prepared case and raw exam", f"{a:.3f}, {b:.3f}", "") for r, (a, b) in row["dice"].items()),
        ("to prepare it", f"{row['cpu_s']:.0f} processor s, {row['wall_s']:.0f} s, {row['peak_gib']:.1f} GiB", ""),
    ]
    return "\n".join(
        [
            table(f"The raw exam: two ways from a sequence to the native T1c, apart by (asked: ≤ {LANDMARK_MM:g} mm)", head, ways),
            table("The raw exam, start to end", ("figure", "measured", "asked"), body),
            brain_table("Its brain by deepbet", [("raw exam", row["brain"])]),
        ]
    )


def main() -> None:
    command = parser(__doc__, "members", "steps", "seed", members=5)
    command.add_argument("--picture", type=Path, help="where to draw both results on the native T1c (a patient's image)")
    arguments = command.parse_args()
    model = load_model(arguments)
    print(heading(model, arguments.seed))
    print(exam_figures([exam(model, arguments.seed, arguments.picture)]))


if __name__ == "__main__":
    main()
