"""Which steps of preparation the images call for, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from LDMSegLib.errors import InputError
from LDMSegLib.preprocessing.case import no_overlap
from LDMSegLib.spatial import foreground, grids
from LDMSegLib.spatial.foreground import Findings
from LDMSegLib.spatial.limits import LEAST_FOREGROUND_DICE
from LDMSegLib.spatial.volume import Volume

AUTOMATIC, ALWAYS, NEVER = CHOICES = ("automatic", "always", "never")


@dataclass(frozen=True)
class PreparationOptions:
    """What a user may choose.

    `extraction` names a method of `skull_strip.METHODS`, `mask` a brain mask's file to use instead, and `result_on` the sequence
    whose grid the result takes ("" = the reference). `threads` computes with so many at most (None = as many as there are cores),
    which changes nothing in what is prepared.
    """

    choice: str = AUTOMATIC
    extraction: str = "deepbet"
    mask: Path | None = None
    result_on: str = ""
    threads: int | None = None


def check_options(options: PreparationOptions, names: Sequence[str]) -> None:
    """Check what can be checked without images.

    Args:
        options: the user's.
        names: of the bundle's sequences.

    Raises:
        InputError: the choice is none of `CHOICES`, a brain mask is not to be used, or the result is wanted on what is no sequence.
    """
    _check_choice(options)
    if options.choice == NEVER and options.mask is not None:
        raise InputError(f"--brain-mask {options.mask} was given with --prepare never, which extracts no brain; leave one of the two out")
    if options.result_on and options.result_on not in names:
        raise InputError(f"--result-on is '{options.result_on}', which is no sequence of this bundle; choose one of {', '.join(names)}")


def _check_choice(options: PreparationOptions) -> None:
    if options.choice not in CHOICES:
        raise InputError(f"the choice '{options.choice}' of preparing is unknown, expected {', '.join(CHOICES)}; choose one of these")


@dataclass(frozen=True)
class Plan:
    """`register` names the sequences to bring onto the reference; `strip` finds the brain; `align` turns it like the space."""

    register: tuple[str, ...] = ()
    strip: bool = False
    align: bool = False
    reasons: tuple[str, ...] = ()

    @property
    def anything(self) -> bool:
        """Whether there is a step to take."""
        return bool(self.register or self.strip or self.align)


def plan(volumes: Mapping[str, Volume], findings: Mapping[str, Findings], reference: str, options: PreparationOptions) -> Plan:
    """Decide from what the images show.

    `automatic` takes the steps that something speaks for. `always` takes all, except that a brain that stands alone already
    is not looked for again, because that would eat into it.

    Args:
        volumes: as read.
        findings: of `foreground.inspect`, by sequence.
        reference: the sequence that the others are brought onto.
        options: the user's.

    Raises:
        InputError: the choice is none of `CHOICES`, or (automatic) the headers put two images in different places altogether.
    """
    _check_choice(options)
    if options.choice == NEVER:
        return Plan()
    others = tuple(name for name in volumes if name != reference)
    skull = [name for name, found in findings.items() if found.skull]
    strip = bool(skull) or options.mask is not None
    reasons = []
    if skull:
        reasons.append(f"{', '.join(skull)} with skull")
    elif strip:
        reasons.append("a brain mask was given")
    if options.choice == ALWAYS:
        return Plan(others, strip, True, tuple([*reasons, "asked for"]))
    apart = tuple(name for name in others if not _lies_on(volumes[name], volumes[reference], findings[name], findings[reference]))
    for name in apart:
        volume, target = volumes[name], volumes[reference]
        # Headers that disagree by more than a field of view are no movement of the patient: files were mixed up.
        if grids.coverage(volume.affine, volume.shape, target.affine, target.shape) == 0.0:
            raise no_overlap(name, volume, reference, target)
    if apart:
        reasons.append(f"{', '.join(apart)} not where {reference} is")
    # With a skull nothing tells cheaply whether the patient has moved.
    return Plan(others if skull else apart, strip, strip or bool(apart), tuple(reasons))


def _lies_on(volume: Volume, reference: Volume, found: Findings, wanted: Findings) -> bool:
    """Whether a sequence is on the reference's grid already, and its brain where the reference's is."""
    array, affine = grids.aligned_axes(volume.array, volume.affine, reference.affine)
    if not grids.same_grid(affine, array.shape, reference.affine, reference.shape):
        return False
    brains = [image != (value or 0.0) for image, value in ((array, found.background), (reference.array, wanted.background))]
    return foreground.foreground_dice(*brains) >= LEAST_FOREGROUND_DICE
