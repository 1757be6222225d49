"""Raw scans to what the networks have learnt from: registered, the brain alone, turned like the bundle's space, 1 mm.

Every transform is a 4×4 matrix between worlds (RAS mm), so that each image is resampled once, from its file's grid to the
prepared one, and the result once, from the model's grid to the native one. All are rigid: BraTS prepares its data so, and
the size of a brain stays what it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from LDMSegLib.cases.agreement import AWAY_MM
from LDMSegLib.cases.brain import SUITS_DEEPBET, around, find_brain, whole_brain
from LDMSegLib.cases.case import Case, Home
from LDMSegLib.cases.checks import LARGEST_CUT_CM2, Findings, largest_cut
from LDMSegLib.cases.geometry import resample_inside, resample_to
from LDMSegLib.cases.plan import Plan, Wishes
from LDMSegLib.cases.prepared import Prepared, Step
from LDMSegLib.cases.read import read_label_map
from LDMSegLib.cases.registration import Registration, register
from LDMSegLib.cases.space import Space
from LDMSegLib.cases.volume import Volume
from LDMSegLib.errors import InputError
from LDMSegLib.events import Reporter, Silent

# Agreement is measured in the brain and this far around it.
AROUND_BRAIN_MM = 10.0

# How many times better two images must agree where registration ended than 8 mm away (`agreement.distinctness`): see
# Documentation/decisions.md for what was measured. Below the first a second search is made and the user is warned; below the
# second the images are refused.
DOUBTFUL, UNRELATED = 1.9, 1.75


def prepare_case(
    id: str,
    volumes: Mapping[str, Volume],
    findings: Mapping[str, Findings],
    reference: str,
    space: Space,
    todo: Plan,
    wishes: Wishes,
    missing: tuple[str, ...] = (),
    warnings: tuple[str, ...] = (),
    reporter: Reporter | None = None,
) -> Prepared:
    """Take the steps of a plan.

    Args:
        id: of the case.
        volumes: the images as read, by sequence.
        findings: of `checks.inspect`, by sequence.
        reference: the sequence that the others are brought onto and, without other wishes, whose grid the result takes.
        space: what to turn the brain like, and the grid of the prepared images.
        todo: of `plan.plan`.
        wishes: the user's.
        missing: names of sequences that are not there.
        warnings: what was said of the images before.
        reporter: hears the stage "prepare-raw" and how far it is.

    Raises:
        InputError: no brain is found, images do not belong together, or a package that is needed is not installed.
    """
    reporter = reporter or Silent()
    reporter.stage("prepare-raw", "Preparing the raw scans")
    work = _Work(volumes, findings, reference, space, todo, reporter, list(warnings))
    work.find_brain(wishes)
    work.register()
    work.align()
    return work.prepared(id, missing, wishes)


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
        self.volumes, self.findings, self.reference = volumes, findings, reference
        self.space, self.todo, self.reporter, self.warnings = space, todo, reporter, warnings
        self.fixed = volumes[reference]
        self.mask = np.zeros(self.fixed.shape, bool)
        self.onto = {name: np.eye(4) for name in volumes}
        self.to_space = np.eye(4)
        self.steps: list[Step] = []
        self.qualities: dict[str, float] = {}
        self.distinct: dict[str, float] = {}
        self.seconds: dict[str, float] = {}
        self._onto_reference: dict[str, np.ndarray] = {}
        self._done, self._all = 0, int(todo.strip) + len(todo.register) + int(todo.align) + 1

    def find_brain(self, wishes: Wishes) -> None:
        found = self.findings[self.reference]
        if not self.todo.strip or not (found.skull or wishes.mask):
            self.mask = self.fixed.array != (found.background or 0.0)
            return
        with_mask = wishes.mask is not None
        self.mask = self._timed("brain", lambda: self._given(wishes) if with_mask else self._found(wishes.extraction))
        litres = np.count_nonzero(self.mask) * abs(np.linalg.det(self.fixed.affine[:3, :3])) / 1e6
        cut = largest_cut(self.mask, self.fixed.affine) / 100.0
        if cut > LARGEST_CUT_CM2:
            self.warnings.append(
                f"the field of view of {self.reference} cuts through the brain ({cut:.0f} cm² of it lie on one face of the image); "
                "what lies outside cannot be segmented, use whole-brain images"
            )
        how = "given" if with_mask else f"by {wishes.extraction}"
        self._step(f"Brain, {how}", self.fixed.array, self.mask, self.fixed.affine, f"{litres:.2f} litres")

    def register(self) -> None:
        near = around(self.mask, self.fixed, AROUND_BRAIN_MM)
        for name in self.todo.register:
            found = self._timed(f"register_{name}", lambda name=name: register(self.volumes[name], self.fixed, near, DOUBTFUL))
            self._judge(name, found)
            self.onto[name] = found.matrix
            image = self._on_reference(name)
            measure = f"{_motion(found.matrix, self.fixed)}, agreement {found.quality:.2f}"
            self._step(f"{name} onto {self.reference}", image, self.mask, self.fixed.affine, measure)

    def align(self) -> None:
        if not self.todo.align:
            return
        brain = Volume(np.where(self.mask, self.fixed.array, 0), self.fixed.affine)
        found = self._timed("align", lambda: register(brain, self.space.brain))
        self.to_space = found.matrix
        self.qualities[self.space.name] = found.quality

    def prepared(self, id: str, missing: tuple[str, ...], wishes: Wishes) -> Prepared:
        grid, shape = self.space.affine, self.space.shape
        brain = resample_to(self.mask.astype(np.float32), self.to_space @ self.fixed.affine, grid, shape) > 0.5

        def one(name: str) -> Volume:
            volume = self.volumes[name]
            empty = self.findings[name].background or 0.0
            moved = resample_inside(volume.array - np.float32(empty), self.to_space @ self.onto[name] @ volume.affine, grid, brain)
            return Volume(moved, grid, volume.path)

        with ThreadPoolExecutor(max_workers=2) as pool:
            volumes = dict(zip(self.volumes, pool.map(one, self.volumes), strict=True))
        if self.todo.align:
            model = resample_to(self.space.brain.array, self.space.brain.affine, grid, shape) > 0.1 * self.space.brain.array.max()
            measure = f"{_motion(self.to_space, self.fixed)}, agreement {self.qualities[self.space.name]:.2f}"
            title = f"{self.reference} turned like {self.space.name}"
            self._step(title, volumes[self.reference].array, model, grid, measure)
        self._tell()
        home = self._home(wishes.result_on or self.reference)
        case = Case(id, volumes, self.reference, tuple(self.warnings), missing, home)
        transforms = {(name, self.reference): matrix for name, matrix in self.onto.items() if name != self.reference}
        transforms[self.reference, self.space.name] = self.to_space
        record = {
            "steps": [f"{step.title}: {step.measure}" for step in self.steps],
            "reasons": list(self.todo.reasons),
            "agreement": {name: round(value, 4) for name, value in self.qualities.items()},
            "distinctness": {name: round(value, 3) for name, value in self.distinct.items()},
            "matrices_ras_mm": {f"{a}_to_{b}": matrix.tolist() for (a, b), matrix in transforms.items()},
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
        }
        return Prepared(case, transforms, brain, tuple(self.steps), record)

    def _home(self, name: str) -> Home:
        """The grid of one sequence, with every image resampled onto it for the report."""
        if name not in self.volumes:
            raise InputError(f"the result is wanted on {name}, which is not there; choose one of {', '.join(self.volumes)}")
        target = self.volumes[name]
        if name == self.reference:
            return Home(name, target, self.to_space, self.mask, {other: self._on_reference(other) for other in self.volumes})
        back = np.linalg.inv(self.onto[name])

        def on_target(array: np.ndarray, matrix: np.ndarray, affine: np.ndarray) -> np.ndarray:
            return resample_to(array, matrix @ affine, target.affine, target.shape)

        images = {
            other: volume.array if other == name else on_target(volume.array, back @ self.onto[other], volume.affine)
            for other, volume in self.volumes.items()
        }
        inside = on_target(self.mask.astype(np.float32), back, self.fixed.affine) > 0.5
        return Home(name, target, self.to_space @ self.onto[name], inside, images)

    def _on_reference(self, name: str) -> np.ndarray:
        """A sequence on the reference's grid, once computed."""
        if name not in self._onto_reference:
            volume = self.volumes[name]
            here = name == self.reference
            moved = (
                volume.array if here else resample_to(volume.array, self.onto[name] @ volume.affine, self.fixed.affine, self.fixed.shape)
            )
            self._onto_reference[name] = moved
        return self._onto_reference[name]

    def _given(self, wishes: Wishes) -> np.ndarray:
        given = read_label_map(wishes.mask)
        mask = resample_to((given.array > 0).astype(np.float32), given.affine, self.fixed.affine, self.fixed.shape) > 0.5
        if not mask.any():
            raise InputError(
                f"the brain mask {wishes.mask} marks nothing in {self.fixed.path or self.reference} ({self.reference}), expected a mask "
                "of its brain in the same world; check that the two belong together"
            )
        return mask

    def _found(self, method: str) -> np.ndarray:
        if method == "deepbet" and self.reference not in SUITS_DEEPBET:
            self.warnings.append(
                f"the brain was looked for in {self.reference}, because no T1 image is there, and deepbet knows T1 images only; look at "
                "the picture of this step, choose --brain-extraction hd-bet or give a mask with --brain-mask"
            )
        return whole_brain(find_brain(self.fixed, method), self.fixed, self.reference)

    def _judge(self, name: str, found: Registration) -> None:
        self.qualities[name] = found.quality
        pair = [f"{self.volumes[n].path or n} ({n})" for n in (name, self.reference)]
        self.distinct[name] = found.distinct
        how = f"where it fits best they agree {found.distinct:.2f} times as well as {AWAY_MM:g} mm away, expected at least {DOUBTFUL:g}"
        if found.distinct < UNRELATED:
            raise InputError(
                f"{pair[0]} does not fit {pair[1]} wherever it is moved ({how}), as images of different patients do not; check that both "
                "show one patient's whole head and give the right file, or images that are in register with --prepare never"
            )
        if found.distinct < DOUBTFUL:
            self.warnings.append(
                f"{name} could hardly be brought onto {self.reference} ({how}, {found.attempts} searches made); look at the picture of "
                "this step before using the result"
            )

    def _step(self, title: str, image: np.ndarray, outline: np.ndarray, affine: np.ndarray, measure: str) -> None:
        self.steps.append(Step(title, image, outline, affine, measure))

    def _timed(self, name: str, work: Callable[[], Any]) -> Any:
        self._tell()
        start = time.monotonic()
        result = work()
        self.seconds[name] = time.monotonic() - start
        self._done += 1
        return result

    def _tell(self) -> None:
        self.reporter.progress(self._done / self._all)


def _motion(matrix: np.ndarray, volume: Volume) -> str:
    """A rigid transform in words: by how much it turns, and moves the middle of an image."""
    angle = np.degrees(np.arccos(np.clip((np.trace(matrix[:3, :3]) - 1.0) / 2.0, -1.0, 1.0)))
    middle = volume.affine @ np.append((np.asarray(volume.shape) - 1) / 2, 1.0)
    return f"moved by {np.linalg.norm((matrix @ middle - middle)[:3]):.1f} mm, turned by {angle:.1f}°"
