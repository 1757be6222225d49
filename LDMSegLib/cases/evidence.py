"""What the words and the timing of a candidate say about its contrast, and how far each can be trusted.

Only names of sequences that a specification has are ever given out: its aliases decide what words mean; the timing rules know
BraTS's four (t1n t1c t2w t2f) and keep silent about any other.
"""

from __future__ import annotations

import re

from LDMSegLib.cases.dicom_slices import Acquisition
from LDMSegLib.cases.naming import sequences_of, tokens
from LDMSegLib.specification import Sequence

# Words that name something else than a structural sequence, whatever else a description says.
_OTHER_WORDS = frozenset(
    "localizer localiser scout survey plane adc dwi dti trace tracew diffusion ep2d epi swi swan swip venbold phase mip minip "
    "perf perfusion pwi dsc dce asl cbf cbv mtt ttp tof mra mrv angio colfa tensor sub subtraction fmri bold spectroscopy csi mrs "
    "ciss fiesta t2star star medic hemo pd proton screensave report fieldmap calibration asset".split()
)
_WITHOUT = re.compile(r"(?<![a-z0-9])(c ?-|-c|w/?o( (c|gd|contrast|km)|$))(?![a-z0-9])", re.IGNORECASE)
_WITH = re.compile(r"(?<![a-z0-9])(c ?\+|\+ ?c|\+ ?gd|gd ?\+|w/ ?(c|gd|contrast))(?![a-z0-9])", re.IGNORECASE)
_SURGERY = re.compile(r"(?<![a-z0-9])(pre|post)[ -]?(op|operative|surgery|surgical|rt|radiation)(?![a-z0-9])", re.IGNORECASE)
_BEFORE = frozenset("pre nativ native unenhanced plain precontrast noncontrast".split())
_NOT = frozenset("without no non not".split())
_AFTER = frozenset("gd gad gado gadolinium post ce km contrast enhanced postcontrast postgd".split())

OTHER = ""
"""Given instead of a sequence or family where something else was recognised."""


def from_words(words: tuple[str, ...], sequences: tuple[Sequence, ...]) -> tuple[str | None, str]:
    """The one sequence that names and descriptions point at, by the bundle's aliases; the first text that tells counts.

    Args:
        words: texts, most telling first.
        sequences: of the bundle's specification.

    Returns:
        (sequence name, the text it was read from); OTHER and the text where it names something that is none of them;
        (None, "") where nothing is told.
    """
    for text in words:
        said = plain(text)
        if set(tokens(said)) & _OTHER_WORDS:
            return OTHER, text
        fits = sequences_of(said, sequences)
        if len(fits) == 1:
            return fits[0], text
    return None, ""


def contrast_in_words(words: tuple[str, ...]) -> bool | None:
    """Whether the words say that contrast agent was given: True, False (they say it wasn't), None (nothing, or both)."""
    before = after = False
    previous = ""
    for word in (word for text in words for word in (*tokens(plain(text)), "")):
        if word in _AFTER:
            # "no contrast" is before, but "post no fat sat" is after: a "no" belongs to the word behind it.
            before |= previous in _NOT or previous in _BEFORE
            after |= previous not in _NOT and previous not in _BEFORE
        before |= word in _BEFORE
        previous = word
    return None if before == after else after


def contrast_unspoken(words: tuple[str, ...]) -> bool:
    """Whether no word about contrast agent is there at all, as against words that contradict each other."""
    return not any(set(tokens(plain(text))) & (_AFTER | _BEFORE) for text in words)


def plain(text: str) -> str:
    """A description in the words that aliases are made of: "C+" and "+Gd" are contrast, "C-" and "w/o" its absence.

    An operation before or after which a scan was made is no contrast agent.
    """
    text = _SURGERY.sub(" ", text.replace("_", " "))
    text = _WITH.sub(" contrast ", _WITHOUT.sub(" without contrast ", text))
    return text.replace("*", "star").replace(".", " ").replace("/", " ")


def from_timing(a: Acquisition) -> tuple[str | None, str]:
    """The family that repetition, echo and inversion time make, with the reason.

    Returns:
        ("t1", "t2w", "t2f" or OTHER, reason); (None, "") where the header says too little.
    """
    kinds = {k.upper() for k in a.image_type}
    if a.b_value or "EP" in a.scanning_sequence:
        return OTHER, "it is echo-planar or diffusion-weighted"
    if kinds & {"P", "PHASE", "ADC", "MIN IP", "PROJECTION IMAGE", "SUBTRACTION", "LOCALIZER"}:
        return OTHER, f"its image type is {', '.join(a.image_type)}"
    if a.echo_time is None or a.repetition_time is None:
        return None, ""
    said = f"TR {a.repetition_time:.0f}, TE {a.echo_time:.3g}" + (f", TI {a.inversion_time:.0f}" if a.inversion_time else "") + " ms"
    if a.inversion_time and a.inversion_time >= 1500 and a.echo_time >= 60:
        return "t2f", f"{said} make a FLAIR"
    if a.echo_time <= 35 and (a.repetition_time <= 1300 or (a.inversion_time and 200 <= a.inversion_time <= 1300)):
        gradient = "GR" in a.scanning_sequence and "IR" not in a.scanning_sequence
        if gradient and a.echo_time > 12:
            return OTHER, f"{said} of a gradient echo make a T2* image"
        return "t1", f"{said} make a T1 image"
    if not a.inversion_time and a.echo_time >= 60 and a.repetition_time >= 1500:
        return "t2w", f"{said} make a T2 image"
    if not a.inversion_time and a.repetition_time >= 1500 and a.echo_time < 40:
        return OTHER, f"{said} make a proton-density image"
    return None, ""
