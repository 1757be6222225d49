"""Which of several images of one sequence is taken: stated rules, tried in this order, so that an unattended run need not stop.

1. the surer one (certain before likely before guess);
2. acquired before derived (reformatted, projected, synthetic MR);
3. the whole head before a part of it (an orbit or pituitary slab);
4. the finer one: thinner in its coarsest direction by more than 5 %;
5. the one that covers more of the head;
6. without fat saturation before with it (the models were trained without);
7. normalised (Siemens NORM) before not, and corrected for distortion (DIS2D, DIS3D) before not (ND);
8. axial before sagittal before coronal;
9. a repeat, which is called so ("repeat", "rpt", "wdh"), before the first.

What these leave equal is a question. `--site-rules` and `--t1c 5` come before all of them.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from LDMSegLib.sequences.identified import CERTAIN, GUESS, LIKELY
from LDMSegLib.sequences.text import words
from LDMSegLib.sequences.vocabulary import WITHOUT

# How much finer an image must be to be taken for that.
LEAST_FINER = 0.05
# A head in mm, right-left, front-back, up-down: what of it an image could hold by its field of view.
HEAD_MM = (140.0, 170.0, 130.0)
# Below this share of the best image's, an image shows a part of the head.
WHOLE = 0.85
MORE = 0.05

_FAT = frozenset("fs fatsat spir spair we wats stir fsat fatsuppressed".split())
_SYNTHETIC = frozenset("symri synthetic synth magic synthetisch synthetique sintetico sintetica".split())
_REPEAT = frozenset("repeat rpt rep wdh wiederholung bis repetition ripetizione repetido again redo herhaling".split())
_PLANES = {
    **dict.fromkeys("ax axial axi tra trans transversal transverse axiale axiaal tr axobl".split(), 0),
    **dict.fromkeys("sag sagittal sagital sagittale".split(), 1),
    **dict.fromkeys("cor coronal kor koronal coronale".split(), 2),
}


@dataclass(frozen=True)
class Image:
    """What the rules look at. `grid` gives affine (voxel→world RAS mm) and shape, and is called only where a rule needs them."""

    name: str
    text: str
    certainty: str
    image_type: tuple[str, ...]
    grid: Callable[[], tuple[np.ndarray, tuple[int, ...]]]

    @functools.cached_property
    def affine(self) -> np.ndarray:
        """Voxel to world, RAS in mm."""
        return self.grid()[0]

    @functools.cached_property
    def extent(self) -> np.ndarray:
        """Size from right to left, front to back and top to bottom of the box that holds the field of view, in mm."""
        return np.abs(self.affine[:3, :3]) @ np.asarray(self.grid()[1][:3], float)


@dataclass(frozen=True)
class Preferred:
    """The index of the image to take, and of each other why not; `best` is None and `equal` says which are left where no rule decides."""

    best: int | None
    losers: tuple[tuple[int, str], ...] = ()
    why: str = ""
    equal: tuple[int, ...] = ()


def prefer(images: Sequence[Image]) -> Preferred:
    """Choose one of several images of one sequence."""
    left = list(range(len(images)))
    losers: list[tuple[int, str]] = []
    why = ""
    for what, rule in _RULES:
        if len(left) < 2:
            break
        kept = rule([images[i] for i in left])
        stay = [i for i, keep in zip(left, kept, strict=True) if keep]
        if stay and len(stay) < len(left):
            out = [i for i in left if i not in stay]
            losers += [(i, what) for i in out]
            left, why = stay, what
    if len(left) > 1:
        return Preferred(None, tuple(losers), why, tuple(left))
    named = [(i, f"{images[left[0]].name} is {what}") for i, what in losers]
    return Preferred(left[0], tuple(named), why)


def _surer(images: list[Image]) -> list[bool]:
    order = (CERTAIN, LIKELY, GUESS)
    ranks = [order.index(image.certainty) for image in images]
    return [rank == min(ranks) for rank in ranks]


def _original(images: list[Image]) -> list[bool]:
    return [
        not {"DERIVED", "REFORMATTED", "PROJECTION IMAGE", "MPR"} & {k.upper() for k in image.image_type}
        and not _SYNTHETIC & set(words(image.text))
        for image in images
    ]


def _whole(images: list[Image]) -> list[bool]:
    return _covering(images, WHOLE)


def _covers_more(images: list[Image]) -> list[bool]:
    return _covering(images, 1.0 - MORE)


def _covering(images: list[Image], share: float) -> list[bool]:
    covered = [float(np.prod(np.minimum(image.extent, HEAD_MM) / HEAD_MM)) for image in images]
    return [c >= share * max(covered) for c in covered]


def _finer(images: list[Image]) -> list[bool]:
    sizes = [float(np.linalg.norm(image.affine[:3, :3], axis=0).max()) for image in images]
    return [size - min(sizes) < LEAST_FINER * min(sizes) for size in sizes]


def _without_fat_saturation(images: list[Image]) -> list[bool]:
    return [not _saturated(words(image.text)) for image in images]


def _saturated(said: list[str]) -> bool:
    pairs = set(itertools.pairwise(said))
    negated = any(a in WITHOUT and b in _FAT | {"fat"} for a, b in pairs)
    return not negated and (bool(_FAT & set(said)) or ("fat", "sat") in pairs)


def _normalised(images: list[Image]) -> list[bool]:
    return [_has(image, "NORM") for image in images]


def _undistorted(images: list[Image]) -> list[bool]:
    return [_has(image, "DIS2D", "DIS3D") or not _has(image, "ND") for image in images]


def _has(image: Image, *kinds: str) -> bool:
    return bool({k.upper() for k in image.image_type} & set(kinds)) or bool({k.lower() for k in kinds} & set(words(image.text)))


def _best_plane(images: list[Image]) -> list[bool]:
    planes = [_plane(image) for image in images]
    return [plane == min(planes) for plane in planes]


def _plane(image: Image) -> int:
    """0 axial, 1 sagittal, 2 coronal, by the words if they agree and else by the direction across the slices; 3 where neither tells."""
    told = [_PLANES[word] for word in words(image.text) if word in _PLANES]
    if told and len(set(told)) == 1:
        return told[0]
    sizes = np.linalg.norm(image.affine[:3, :3], axis=0)
    if sizes.max() < 1.2 * np.sort(sizes)[1]:
        return told[-1] if told else 3  # isotropic: no slices to speak of
    across = int(np.abs(image.affine[:3, sizes.argmax()]).argmax())
    return {2: 0, 0: 1, 1: 2}[across]


def _repeated(images: list[Image]) -> list[bool]:
    return [bool(_REPEAT & set(words(image.text))) for image in images]


_RULES: tuple[tuple[str, Callable[[list[Image]], list[bool]]], ...] = (
    ("surer", _surer),
    ("acquired and not derived", _original),
    ("of the whole head", _whole),
    ("finer", _finer),
    ("of more of the head", _covers_more),
    ("without fat saturation", _without_fat_saturation),
    ("normalised (NORM)", _normalised),
    ("corrected for distortion", _undistorted),
    ("in the better plane (axial, then sagittal)", _best_plane),
    ("the repeat", _repeated),
)
