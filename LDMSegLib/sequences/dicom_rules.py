"""What the words and the timing of a candidate say about its contrast, and how far each can be trusted.

Only names of sequences that a specification has are ever given out; the timing rules know BraTS's four (t1n t1c t2w t2f) and keep silent
about any other.
"""

from __future__ import annotations

from LDMSegLib.io.dicom_slices import Acquisition
from LDMSegLib.sequences.reading import read

OTHER = ""
"""Given instead of a sequence or family where something else was recognised."""


def contrast_of(words: tuple[str, ...]) -> tuple[str, str, str]:
    """What descriptions say of contrast agent: `reading.Reading.contrast`, the text it was read from, and what is unclear in it.

    The first text counts, a series description; a protocol's name only where it names a T1 too: "BRAIN W/WO" is a whole examination's.
    """
    for k, text in enumerate(words):
        told = read(text)
        if told.contrast and (k == 0 or told.family == "t1"):
            return told.contrast, text, told.why
    return "", words[0] if words else "", ""


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
    if a.inversion_time and 80 <= a.inversion_time <= 300 and a.repetition_time >= 1500:
        return OTHER, f"{said} make a STIR, which nulls fat and not fluid"
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
