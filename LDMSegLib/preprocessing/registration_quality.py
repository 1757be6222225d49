"""Whether two images that were registered belong to one patient: where the two lines are drawn."""

from __future__ import annotations

import numpy as np

from LDMSegLib.errors import InputError
from LDMSegLib.preprocessing.registration import Registration
from LDMSegLib.preprocessing.similarity import AWAY_MM
from LDMSegLib.preprocessing.skull_strip import around, deep
from LDMSegLib.spatial.volume import Volume

# Agreement is measured in the brain and this far around it, that of detail this deep inside: further out there is the outline.
AROUND_BRAIN_MM, INSIDE_BRAIN_MM = 10.0, 4.0

# How many times better two images must agree where registration ended than a little way off (`similarity.distinctness`): see
# Documentation/decisions/ for what was measured. Below the first a second search is made and the user is warned; below the
# second the images are refused.
DOUBTFUL, UNRELATED = 2.1, 1.8


def where_compared(brain: np.ndarray, volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    """(X, Y, Z) bool twice, from a brain's mask on a volume's grid: where images are compared as they are, and where their detail is."""
    return around(brain, volume, AROUND_BRAIN_MM), deep(brain, volume, INSIDE_BRAIN_MM)


def doubt(found: Registration, moving: tuple[str, object], fixed: tuple[str, object]) -> str | None:
    """What is to be said of a registration that hardly fits; None of one that does.

    Args:
        found: with its distinctness, which was asked for.
        moving: the moved sequence's name, and its file if there is one.
        fixed: the same of the sequence that it was brought onto.

    Raises:
        InputError: the images fit nowhere, as those of two patients do not.
    """
    how = f"where it fits best they agree {found.distinct:.2f} times as well as {AWAY_MM:g} mm away, expected at least {DOUBTFUL:g}"
    if found.distinct < UNRELATED:
        one, other = (f"{file or name} ({name})" for name, file in (moving, fixed))
        raise InputError(
            f"{one} does not fit {other} wherever it is moved ({how}), as images of different patients do not; check that both "
            "show one patient's whole head and give the right file, or images that are in register with --prepare never"
        )
    if found.distinct < DOUBTFUL:
        return (
            f"{moving[0]} could hardly be brought onto {fixed[0]} ({how}, {found.attempts} searches made); look at the picture of "
            "this step before using the result"
        )
    return None
