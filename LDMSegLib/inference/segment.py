"""The first job: one case in, its sub-regions, probabilities and variance out, on the case's own grid."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from LDMSegLib.cases.loaded import LoadedCase
from LDMSegLib.diffusion.ensemble import EnsembleRun
from LDMSegLib.diffusion.statistics import RunningStatistics
from LDMSegLib.errors import Cancelled
from LDMSegLib.events import Cancellation, Reporter, Silent
from LDMSegLib.inference.ensemble import draw, read, seen_by
from LDMSegLib.io.input_record import describe_input
from LDMSegLib.models.model import Model
from LDMSegLib.postprocessing.calibration import calibrate, uncalibrated
from LDMSegLib.postprocessing.ood_measures import measure_case
from LDMSegLib.postprocessing.out_of_distribution import implausible
from LDMSegLib.postprocessing.regions import label_map, nest, region_masks, threshold_masks
from LDMSegLib.postprocessing.uncertainty import UncertainRegion, find_uncertain_regions
from LDMSegLib.postprocessing.volumes import RegionVolume, measure
from LDMSegLib.preprocessing.case import Case
from LDMSegLib.preprocessing.normalisation import background, normalise
from LDMSegLib.results.provenance import build_provenance, describe_geometry
from LDMSegLib.results.segmentation import Segmentation, rests_on
from LDMSegLib.spatial.model_grid import PlacedGrid, from_grid, place, to_grid
from LDMSegLib.specification import Specification, to_dict


@dataclass(frozen=True)
class Settings:
    """What a user may choose for a run. `threshold` None = the bundle's; `batch_size` members are sampled at once at most."""

    seed: int = 0
    threshold: float | None = None
    batch_size: int = 8
    synthetic: bool = False


@dataclass
class _Timer:
    """Seconds by stage, for the provenance."""

    reporter: Reporter
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, title: str) -> Iterator[None]:
        self.reporter.stage(name, title)
        start = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - start


def segment(
    case: Case | LoadedCase,
    model: Model,
    settings: Settings = Settings(),
    reporter: Reporter | None = None,
    cancellation: Cancellation | None = None,
) -> Segmentation:
    """Segment one case by an ensemble of the latent diffusion model.

    Args:
        case: sequences on one grid (see `cases.assemble.load_case`), or with it how it was loaded, for the provenance.
        model: a bundle's networks, loaded for one sampling mode.
        settings: seed, threshold, batch size.
        reporter: hears stages "prepare", "condition", "sample" and "restore", how far they are, and every warning that is new with them.
        cancellation: asked between steps; what is finished then is still a result, marked partial.

    Returns:
        Everything on the grid of the case's target: its reference sequence, or the native grid of a prepared case.

    Raises:
        Cancelled: before the first member was finished.
        InputError: the images are empty or far too large, or memory does not suffice for one member.
    """
    loaded = case if isinstance(case, LoadedCase) else LoadedCase(case)
    case, spec, mode = loaded.case, model.specification, model.mode
    reporter, cancellation = reporter or Silent(), cancellation or Cancellation()
    timer = _Timer(reporter)
    with timer.stage("prepare", "Preparing the images"):
        foreground = case.foreground()
        placed = place(foreground, case.grid.affine, spec.grid)
        mri = network_input(case, spec, placed)
        bias_corrected = network_input(replace(case, volumes=case.bias_corrected), spec, placed) if case.bias_corrected else None
    with timer.stage("condition", "Reading the MRI"):
        readings = read(model, mri, bias_corrected)
    brain = to_grid(foreground.astype(np.float32), case.grid.affine, placed)
    ensemble = _Ensemble(spec, placed, spec.threshold if settings.threshold is None else settings.threshold, brain)
    with timer.stage("sample", f"Sampling {mode.members} members"):
        run = draw(model, readings, placed.shape, settings.seed, settings.batch_size, ensemble.add, reporter, cancellation)
    if not run.finished:
        raise Cancelled(
            f"the segmentation of '{case.id}' was cancelled before its first member was finished, so there is no result; run it again"
        )
    with timer.stage("restore", "Bringing the result to the image's grid"):
        restored = _restored(case, model, mri, ensemble)
    seen = seen_by(readings, run.finished)
    new = _new_warnings(case, spec, restored.measures, run, len(seen), len(readings))
    for warning in new:
        reporter.warning(warning)
    warnings = (*case.warnings, *new)
    preparation: dict[str, Any] = {"preparation": loaded.prepared.record} if loaded.prepared else {}
    provenance = build_provenance(
        bundle={"name": model.bundle.name, "version": model.bundle.version, "weights_sha256": spec.weights.sha256},
        inputs=_inputs(loaded),
        geometry=describe_geometry(case.target.shape, case.target.affine),
        seed=settings.seed,
        mode=model.mode_name,
        sampler=mode.sampler,
        steps=mode.steps,
        views=len(seen),
        views_requested=len(readings),
        members_by_view=[
            {"mirrored": list(view.axes), "shift": list(view.shift), "bias_corrected": view.bias_corrected, "members": count}
            for view, count in seen
        ],
        direct=mode.direct,
        attenuation=mode.attenuation,
        members_requested=run.requested,
        members_finished=run.finished,
        threshold=ensemble.threshold,
        device={
            "kind": model.device.kind,
            "name": model.device.name,
            "precision": model.device.precision,
            "batch_size": run.batch_size_used,
        },
        threads=torch.get_num_threads(),
        timings={**loaded.seconds, **timer.seconds},
        warnings=warnings,
        synthetic=settings.synthetic,
        case=case.id,
        model_grid=describe_geometry(placed.shape, placed.affine),
        missing_sequences=list(case.missing),
        identification=case.identified.record(),
        calibration=to_dict(spec.calibration),
        plausibility=restored.measures,
        preparing=loaded.requested,
        **preparation,
    )
    return Segmentation(
        probabilities=restored.probabilities,
        variance=restored.variance,
        label_map=restored.labels,
        affine=case.target.affine,
        labels=spec.labels,
        regions=spec.regions,
        threshold=ensemble.threshold,
        members_finished=run.finished,
        members_requested=run.requested,
        views=len(seen),
        views_requested=len(readings),
        volumes=restored.volumes,
        uncertain_regions=restored.uncertain_regions,
        warnings=warnings,
        provenance=provenance,
    )


def network_input(case: Case, spec: Specification, placed: PlacedGrid) -> np.ndarray:
    """The case's sequences on the model's grid and in the network's range, (sequences, X, Y, Z) float32; missing ones empty."""

    def one(name: str) -> np.ndarray:
        if name not in case.volumes:
            return np.full(placed.shape, background(spec.intensity), np.float32)
        volume = case.volumes[name]
        return to_grid(normalise(volume.array, spec.intensity), volume.affine, placed, background(spec.intensity))

    with ThreadPoolExecutor(max_workers=2) as pool:
        return np.stack(list(pool.map(one, spec.sequence_names)))


class _Ensemble:
    """What is kept of the members: running mean and variance on the model's grid, and each member's own volumes."""

    def __init__(self, spec: Specification, placed: PlacedGrid, threshold: float, brain: np.ndarray) -> None:
        self.threshold = threshold
        self.placed = placed
        self.statistics = RunningStatistics()
        self.volumes_ml: list[list[float]] = []
        self._regions = spec.regions
        self.limits = uncalibrated(threshold, spec.calibration, spec.regions)
        # A voxel counts by its share of brain, because outside the brain the result is zero too.
        self._voxel_ml = brain * np.float32(np.prod(placed.spacing) / 1000.0)

    def add(self, member: int, probabilities: torch.Tensor) -> None:
        probabilities = nest(probabilities, self._regions)
        self.statistics.add(probabilities)
        masks = threshold_masks(probabilities.cpu().numpy(), self._regions, self.limits)
        self.volumes_ml.append([float(self._voxel_ml[mask].sum(dtype=np.float64)) for mask in masks])


@dataclass(frozen=True, eq=False)
class _Restored:
    """The result's maps on the target's grid, and what is measured of them; see `Segmentation`."""

    probabilities: np.ndarray
    variance: np.ndarray
    labels: np.ndarray
    volumes: tuple[RegionVolume, ...]
    uncertain_regions: tuple[UncertainRegion, ...]
    measures: Mapping[str, float]


def _restored(case: Case, model: Model, mri: np.ndarray, ensemble: _Ensemble) -> _Restored:
    spec, target, to_case = model.specification, case.target, case.target_affine
    mean, variance = ensemble.statistics.mean.cpu().numpy(), ensemble.statistics.variance.cpu().numpy()
    measures = measure_case(model, mri, mean, tuple(case.volumes), ensemble.limits) if spec.plausibility.ranges else {}
    inside = case.target_inside()
    with ThreadPoolExecutor(max_workers=2) as pool:
        probabilities, variance = pool.map(lambda a: from_grid(a, ensemble.placed, to_case, target.shape) * inside, (mean, variance))
    probabilities = calibrate(probabilities, spec.calibration, spec.regions)
    voxel_mm3 = float(abs(np.linalg.det(target.affine[:3, :3])))
    labels = label_map(
        probabilities, spec.labels, spec.regions, ensemble.threshold, smallest_mm3=spec.min_component_mm3, voxel_mm3=voxel_mm3
    )
    masks = region_masks(labels, spec.labels, spec.regions)
    volumes = measure(masks, probabilities, spec.regions, target.affine, np.array(ensemble.volumes_ml))
    places = find_uncertain_regions(probabilities, spec.regions, target.affine)
    return _Restored(probabilities, variance, labels, volumes, places, measures)


def _new_warnings(
    case: Case, spec: Specification, measures: Mapping[str, float], run: EnsembleRun, views: int, views_requested: int
) -> list[str]:
    """What is to be said of the result beyond what was said of its images."""
    new = []
    if case.missing:
        new.append(f"without {', '.join(case.missing)}: the result rests on {', '.join(case.volumes)} alone and is less certain")
    new += implausible(measures, spec.plausibility.ranges, spec.regions)
    if run.partial:
        new.append(rests_on(run.finished, run.requested, views, views_requested))
    return new


def _inputs(loaded: LoadedCase) -> list[Mapping[str, Any]]:
    if loaded.inputs is not None:
        return list(loaded.inputs)
    return [describe_input(name, volume.path) for name, volume in loaded.case.volumes.items() if volume.path is not None]
