"""Which of a bundle's sequences a text names: the words mean t1n, t1c, t2w and t2f; any other sequence is told by its aliases."""

from __future__ import annotations

import re
from collections.abc import Sequence as Many
from dataclasses import dataclass

from LDMSegLib.sequences.reading import EITHER, FLAIR, OTHER, T1, T2, UNCLEAR, WITH, Reading, read, read_words
from LDMSegLib.specification import Sequence

_FAMILIES = {T2: ("t2w",), FLAIR: ("t2f",)}
KNOWN = ("t1n", "t1c", "t2w", "t2f")
# BIDS entities that say nothing of the sequence: "sub-01_ses-post_space-T1w_FLAIR".
_ENTITIES = re.compile(
    r"(?:(?<=^)|(?<=[_ ]))(?:sub|ses|space|run|res|den|label|split|chunk|dir|hemi|cohort|trc|stain)-[A-Za-z0-9+]+(?=[_ .]|$)"
)


@dataclass(frozen=True)
class Named:
    """The sequences that a text may name: one where it is clear, several where it is not, none where it names nothing.

    `other` says why it is none of the sequences although it is told what it is; `why` what is not clear.
    """

    names: tuple[str, ...] = ()
    other: str = ""
    why: str = ""
    reading: Reading = Reading()

    @property
    def clear(self) -> bool:
        """Whether it names one sequence, and nothing that is none of them."""
        return len(self.names) == 1 and not self.reading.families


def sequences_in(text: str, sequences: Many[Sequence]) -> Named:
    """Read a text by the words that it holds."""
    return named(read(without_entities(text)), text, sequences)


def named(reading: Reading, text: str, sequences: Many[Sequence]) -> Named:
    """What a reading of a text means for a bundle's sequences."""
    there = [s.name for s in sequences]
    own = _by_alias(text, [s for s in sequences if s.name not in KNOWN])
    if own and reading.family == OTHER:
        return Named(own, "", "", reading)
    if reading.family == OTHER:
        return Named((), reading.why, "", reading)
    names = [name for family in reading.families or (reading.family,) for name in _of_family(family, reading) if name in there]
    if names or own:
        return Named((*own, *names), "", reading.why, reading)
    if reading.family:
        return Named((), f"it is a {reading.family.upper()} image, which this model does not read", "", reading)
    aliased = _by_alias(text, list(sequences))
    if {"t1n", "t1c"} & set(aliased) and reading.contrast:  # an alias names a T1; what is said of contrast agent tells which
        aliased = tuple(name for name in _of_family(T1, reading) if name in there)
    return Named(aliased, "", reading.why, reading)


def without_entities(text: str) -> str:
    """A file's name without the BIDS entities that say nothing of its sequence."""
    return _ENTITIES.sub(" ", text)


def _of_family(family: str, reading: Reading) -> tuple[str, ...]:
    if family == T1:
        if reading.contrast in (EITHER, UNCLEAR):
            return ("t1n", "t1c")
        return ("t1c",) if reading.contrast == WITH else ("t1n",)
    return _FAMILIES.get(family, ())


def _by_alias(text: str, sequences: list[Sequence]) -> tuple[str, ...]:
    """The sequences whose longest alias fits best.

    An alias fits when its letters and digits are those of some neighbouring words, or each of its own words is somewhere in the text.
    """
    said = re.findall(r"[a-z0-9]+", text.lower())
    lengths = {s.name: max(_fit(alias, said) for alias in (s.name, *s.aliases)) for s in sequences}
    best = max(lengths.values(), default=0)
    return tuple(name for name, length in lengths.items() if best and length == best)


def _fit(alias: str, said: list[str]) -> int:
    parts = re.findall(r"[a-z0-9]+", alias.lower())
    whole = "".join(parts)
    if not whole:
        return 0
    joined = any("".join(said[i:j]) == whole for i in range(len(said)) for j in range(i + 1, len(said) + 1))
    return len(whole) if joined or set(parts) <= set(said) else 0


__all__ = ["KNOWN", "Named", "named", "read", "read_words", "sequences_in", "without_entities"]
