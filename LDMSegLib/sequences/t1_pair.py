"""Of two T1 images, which was acquired after contrast agent: the classic to get wrong, because the swap makes a plausible result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from LDMSegLib.sequences import appearance, t1
from LDMSegLib.sequences.candidates import GUESS, LIKELY, Candidate
from LDMSegLib.sequences.dicom_rules import contrast_of
from LDMSegLib.sequences.t1 import FEWEST_MINUTES, T1Image, tag_of

# Chosen on 27 real cases, leave one out: see Testing/benchmarks/identification.py for what it lets through.
LEAST_REACH = 0.2


@dataclass(frozen=True)
class Told:
    """What the clock and the images say of two T1 images.

    `after` is 1 where the second is the one after contrast agent, -1 where the first is, and 0 where that is not clear; then
    `why` says why. Else `native_reason` and `after_reason` say by what each was told, and `certainty` how far to trust it.
    """

    after: int
    why: str = ""
    certainty: str = GUESS
    native_reason: str = ""
    after_reason: str = ""


def tell_pair(first: Candidate, second: Candidate) -> Told:
    """Compare two T1 images by when they were acquired and by how far their brightest voxels reach."""
    minutes = minutes_between(first, second)
    timed = 0 if minutes is None or abs(minutes) < FEWEST_MINUTES else (1 if minutes > 0 else -1)
    features = [features_of(one) for one in (first, second)]
    seen = 0 if any(f is None for f in features) else split_t1(*features)
    if timed and seen and timed != seen:
        return Told(0, "the clock and the images contradict each other")
    if not (timed or seen):
        return Told(0, "neither clock nor brightness tells")
    native, after = [], []
    if timed:
        native.append(f"acquired {abs(minutes):.0f} min earlier")
        after.append(f"acquired {abs(minutes):.0f} min later")
    if seen:
        native.append("its brightest voxels reach less far than the other's")
        after.append("its brightest voxels reach further than the other's")
    return Told(timed or seen, "", LIKELY if timed and seen else GUESS, " and ".join(native), " and ".join(after))


def split_t1(first: np.ndarray, second: np.ndarray) -> int:
    """1 where the second image's features are of the one after contrast agent, -1 where the first's are, 0 where that is not clear."""
    further = appearance.reach_difference(first, second)
    return 0 if abs(further) < LEAST_REACH else (1 if further > 0 else -1)


def features_of(candidate: Candidate) -> np.ndarray | None:
    """Of `appearance.measure`; None where the image doesn't allow it."""
    return appearance.measure(candidate.read())


def t1_image(candidate: Candidate) -> T1Image:
    """What `sequences.t1.settle` looks at of a candidate."""
    acquired = candidate.acquisition
    contrast, text, why = contrast_of(candidate.words)
    return T1Image(
        name=candidate.name,
        contrast=contrast,
        text=text,
        why=why,
        tag=tag_of(acquired.agent) if acquired.agent or not acquired.agent_coded else True,
        agent=acquired.agent,
        when=(acquired.day, acquired.clock),
        study=getattr(candidate.source, "study", ""),
    )


def minutes_between(first: Candidate, second: Candidate) -> float | None:
    """Minutes from one acquisition to the other within one study; None where that is not known."""
    return t1.minutes_between(t1_image(first), t1_image(second))
