"""Raw scans to what the networks have learnt from: registered, the brain alone, turned like the bundle's space, 1 mm.

Every transform is a 4×4 matrix between worlds (RAS mm), so that each image is resampled once, from its file's grid to the
prepared one, and the result once, from the model's grid to the native one. All are rigid: BraTS prepares its data so, and
the size of a brain stays what it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from LDMSegLib.events import Reporter, Silent
from LDMSegLib.optional import workers
from LDMSegLib.preprocessing.bias_field import correct_bias_field
from LDMSegLib.preprocessing.brain_mask import doubts_of_brain, doubts_of_size, given_mask
from LDMSegLib.preprocessing.case import Case
from LDMSegLib.preprocessing.coregistered import CoregisteredSeries
from LDMSegLib.preprocessing.coverage import unseen_brain
from LDMSegLib.preprocessing.mirrored import reject_mirrored
from LDMSegLib.preprocessing.plan import Plan, PreparationOptions
from LDMSegLib.preprocessing.prepared import Prepared, Step
from LDMSegLib.preprocessing.registration import Registration, register
from LDMSegLib.preprocessing.registration_quality import DOUBTFUL, doubt, where_compared
from LDMSegLib.preprocessing.similarity import AWAY_MM
from LDMSegLib.preprocessing.skull_strip import find_brain, whole_brain
from LDMSegLib.spatial.atlas import Space
from LDMSegLib.spatial.foreground import Findings
from LDMSegLib.spatial.resampling import resample_mask, resample_to
from LDMSegLib.spatial.volume import Volume


def preprocess_case(
    id: str,
    volumes: Mapping[str, Volume],
    findings: Mapping[str, Findings],
    reference: str,
    space: Space,
    todo: Plan,
    options: PreparationOptions,
    missing: tuple[str, ...] = (),
    warnings: tuple[str, ...] = (),
    reporter: Reporter | None = None,
) -> Prepared:
    """Take the steps of a plan.

    Args:
        id: of the case.
        volumes: the images as read, by sequence.
        findings: of `foreground.inspect`, by sequence.
        reference: the sequence that the others are brought onto and, unless the options say otherwise, whose grid the result takes.
        space: what to turn the brain like, and the grid of the prepared images.
        todo: of `plan.plan`.
        options: the user's.
        missing: names of sequences that are not there.
        warnings: what was said of the images before.
        reporter: hears the stage "prepare-raw" and how far it is.

    Raises:
        InputError: no brain is found, images do not belong together, or a package that is needed is not installed.
    """
    reporter = reporter or Silent()
    reporter.stage("prepare-raw", "Preparing the raw scans")
    work = _Work(volumes, findings, reference, space, todo, reporter, list(warnings))
    work.find_brain(options)
    work.register(options.threads)
    return work.prepared(id, missing, options)


class _Work:
    """What is known so far, step by step."""

    def __init__(
        self,
        volumes: Mapping[str, Volume],
        findings: Mapping[str, Findings],
        reference: str,
        space: Space,
        todo: Plan,
        reporter: Reporter,
        warnings: list[str],
    ) -> None:
        self.images = CoregisteredSeries(volumes, reference)
        self.volumes, self.findings, self.reference, self.fixed = volumes, findings, reference, volumes[reference]
        self.space, self.todo, self.reporter, self.warnings = space, todo, reporter, warnings
        self.mask, self.whose = np.zeros(self.fixed.shape, bool), "alone"
        self.to_space = np.eye(4)
        self.steps: list[Step] = []
        self.qualities: dict[str, float] = {}
        self.distinct: dict[str, float] = {}
        self.depths: dict[str, float] = {}
        self.seconds: dict[str, float] = {}
        self._done, self._all = 0, 2 * int(todo.strip) + len(todo.register) + int(todo.align) + 1

    def find_brain(self, options: PreparationOptions) -> None:
        found = self.findings[self.reference]
        if not self.todo.strip or not (found.skull or options.mask):
            self.mask = self.fixed.array != (found.background or 0.0)
            return
        mine = (self.fixed, self.reference)
        method = None if options.mask else options.extraction
        self.whose = method or "given"
        if method and options.threads:
            import torch  # with the brain's network, which needs it anyhow

            torch.set_num_threads(options.threads)
        find = (lambda: whole_brain(find_brain(self.fixed, method), *mine)) if method else (lambda: given_mask(options.mask, *mine))
        self.mask = self._timed("brain", find)
        self.warnings += doubts_of_brain(self.mask, method, *mine)
        litres = np.count_nonzero(self.mask) * abs(np.linalg.det(self.fixed.affine[:3, :3])) / 1e6
        title = f"Brain, {f'by {method}' if method else 'given'}"
        self.steps.append(Step(title, self.fixed.array, self.mask, self.fixed.affine, f"{litres:.2f} litres"))

    def register(self, threads: int | None) -> None:
        """Find every transform, side by side, one thread each: what is found does not depend on how many there are."""
        where = where_compared(self.mask, self.fixed)
        brain = Volume(np.where(self.mask, self.fixed.array, 0), self.fixed.affine)
        pool = ThreadPoolExecutor(workers(threads))
        try:
            searches = {
                name: pool.submit(_clocked, lambda moving=self.volumes[name]: register(moving, self.fixed, *where, DOUBTFUL))
                for name in self.todo.register
            }
            turn = pool.submit(_clocked, lambda: register(brain, self.space.brain)) if self.todo.align else None
            self._registered({name: self._awaited(f"register_{name}", search) for name, search in searches.items()}, where)
            if turn:
                self._aligned(self._awaited("align", turn))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _registered(self, searches: Mapping[str, Registration], where: tuple[np.ndarray, np.ndarray]) -> None:
        for name, found in searches.items():
            moving = self.volumes[name]
            self.qualities[name], self.distinct[name] = found.quality, found.distinct
            again = lambda image: register(image, self.fixed, *where, DOUBTFUL)  # noqa: E731
            reject_mirrored(name, moving, self.reference, self.fixed, found, again)
            said = doubt(found, (name, moving.path), (self.reference, self.fixed.path))
            self.warnings += [said] if said else []
            self.images.onto[name] = found.matrix
            self.warnings += unseen_brain(name, self.reference, self.mask, self.fixed.affine, moving, found.matrix)
            fits = f"fits {found.distinct:.1f} times as well as {AWAY_MM:g} mm away, expected at least {DOUBTFUL:g}"
            measure = f"moved by {_moved(found.matrix, self.fixed):.1f} mm, turned by {_turned(found.matrix):.1f}°; {fits}"
            step = Step(f"{name} onto {self.reference}", self.images.on_reference(name), self.mask, self.fixed.affine, measure)
            self.steps.append(step)

    def _aligned(self, found: Registration) -> None:
        self.to_space = found.matrix
        self.qualities[self.space.name] = found.quality
        self.warnings += doubts_of_size(self.mask, self.to_space @ self.fixed.affine, self.space, self.whose, self.reference)

    def prepared(self, id: str, missing: tuple[str, ...], options: PreparationOptions) -> Prepared:
        grid, shape = self.space.affine, self.space.shape
        brain = resample_mask(self.mask, self.to_space @ self.fixed.affine, grid, shape)
        empty = {name: self.findings[name].background or 0.0 for name in self.volumes}
        volumes = self.images.inside(brain, grid, self.to_space, empty)
        even = self._bias_corrected(volumes, brain, options.threads)
        if self.todo.align:
            model = resample_to(self.space.brain.array, self.space.brain.affine, grid, shape) > 0.1 * self.space.brain.array.max()
            title, measure = f"{self.reference} turned like {self.space.name}", f"turned by {_turned(self.to_space):.1f}°"
            self.steps.append(Step(title, volumes[self.reference].array, model, grid, measure))
        self._tell()
        native_space = self.images.native_space(options.result_on or self.reference, self.mask, self.to_space)
        case = Case(id, volumes, self.reference, tuple(self.warnings), missing, native_space, even)
        transforms = {(name, self.reference): matrix for name, matrix in self.images.onto.items() if name != self.reference}
        transforms[self.reference, self.space.name] = self.to_space
        return Prepared(case, transforms, brain, tuple(self.steps), self._record(transforms))

    def _bias_corrected(self, volumes: Mapping[str, Volume], brain: np.ndarray, threads: int | None) -> Mapping[str, Volume]:
        """The images after bias field correction. Those that stood without a skull have been through somebody's preparation."""
        if not self.todo.strip:
            return {}
        even, self.depths = self._timed("shading", lambda: correct_bias_field(volumes, threads))
        most = max(self.depths, key=self.depths.__getitem__)
        measure = "bias field " + ", ".join(f"{name} {np.expm1(depth):.0%}" for name, depth in self.depths.items())
        self.steps.append(
            Step(f"{most} after bias field correction, for half of the members", even[most].array, brain, even[most].affine, measure)
        )
        return even

    def _record(self, transforms: Mapping[tuple[str, str], np.ndarray]) -> dict[str, Any]:
        return {
            "steps": [f"{step.title}: {step.measure}" for step in self.steps],
            "reasons": list(self.todo.reasons),
            "agreement": {name: round(value, 4) for name, value in self.qualities.items()},
            "distinctness": {name: round(value, 3) for name, value in self.distinct.items()},
            "shading": {name: round(value, 3) for name, value in self.depths.items()},
            "matrices_ras_mm": {f"{a}_to_{b}": matrix.tolist() for (a, b), matrix in transforms.items()},
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
        }

    def _timed(self, name: str, work: Callable[[], Any]) -> Any:
        self._tell()
        result, self.seconds[name] = _clocked(work)
        self._done += 1
        return result

    def _awaited(self, name: str, work: Future) -> Any:
        """As `_timed`, of what another thread is at."""
        self._tell()
        result, self.seconds[name] = work.result()
        self._done += 1
        return result

    def _tell(self) -> None:
        self.reporter.progress(self._done / self._all)


def _clocked(work: Callable[[], Any]) -> tuple[Any, float]:
    """What some work gives, and the seconds that it took."""
    start = time.monotonic()
    result = work()
    return result, time.monotonic() - start


def _turned(matrix: np.ndarray) -> float:
    """The angle of a rigid transform in degrees."""
    return float(np.degrees(np.arccos(np.clip((np.trace(matrix[:3, :3]) - 1.0) / 2.0, -1.0, 1.0))))


def _moved(matrix: np.ndarray, volume: Volume) -> float:
    """How far a transform moves the middle of an image, mm."""
    middle = volume.affine @ np.append((np.asarray(volume.shape) - 1) / 2, 1.0)
    return float(np.linalg.norm((matrix @ middle - middle)[:3]))
