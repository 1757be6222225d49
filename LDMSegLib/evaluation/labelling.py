"""What the integers of label maps mean, decided once for all maps of one kind, or stated.

BraTS wrote enhancing tumour as 4 until 2021 and as 3 from 2023 on, and since 2024 has 4 for the resection cavity. A single file
without a 3 does not tell which; a cohort mostly does, and where it contradicts itself nobody should guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from LDMSegLib.errors import InputError
from LDMSegLib.postprocessing.regions import label_values
from LDMSegLib.specification import Specification

OWN = "bundle"
BACKGROUND = "background"
_YEARS = {"brats2018": "brats2017", "brats2019": "brats2017", "brats2020": "brats2017", "brats2021": "brats2017"}
_PUBLISHED = {"brats2023": {"NCR": 1, "ED": 2, "ET": 3}, "brats2024": {"NCR": 1, "ED": 2, "ET": 3, BACKGROUND: 4}}
"""Of BraTS's adult gliomas; a bundle with other labels has none of these."""


@dataclass(frozen=True)
class Labelling:
    """Which integer is which label.

    Attributes:
        name: how it is called.
        values: label's name → integer.
        ignored: integers that are background here, e.g. a resection cavity that no region counts.
    """

    name: str
    values: Mapping[str, int]
    ignored: frozenset[int] = frozenset()

    def __str__(self) -> str:
        parts = [f"{value} = {label}" for label, value in self.values.items()] + [
            f"{value} = {BACKGROUND}" for value in sorted(self.ignored)
        ]
        return f"{', '.join(parts)} ({self.name})"

    @property
    def known(self) -> set[int]:
        """Every integer that has a meaning, 0 apart."""
        return {*self.values.values(), *self.ignored}

    def masks(self, label_map: np.ndarray, specification: Specification, path: Path | str) -> np.ndarray:
        """(R, X, Y, Z) bool of a uint8 label map (X, Y, Z); raises InputError naming `path` where an integer has no meaning."""
        unknown = sorted(set(present(label_map)) - self.known)
        if unknown:
            raise InputError(
                f"{path} holds the value {unknown[0]}, expected only 0 and {self}; give a map in this labelling, or say "
                "what its values mean with --labels"
            )
        lookup = np.zeros((len(specification.regions), 256), bool)
        for row, region in zip(lookup, specification.regions, strict=True):
            row[[self.values[label] for label in region.labels if label in self.values]] = True
        return np.stack([row[label_map] for row in lookup])


def present(label_map: np.ndarray) -> list[int]:
    """The integers of a uint8 label map, without 0."""
    return [value for value in np.flatnonzero(np.bincount(label_map.ravel())).tolist() if value]


def labellings(specification: Specification) -> dict[str, Labelling]:
    """Those that a bundle knows, its own first."""
    conventions = [None, *sorted({name for label in specification.labels for name in label.conventions})]
    names = [label.name for label in specification.labels]
    return {
        convention or OWN: Labelling(convention or OWN, dict(zip(names, label_values(specification.labels, convention), strict=True)))
        for convention in conventions
    }


def stated(text: str, specification: Specification) -> Labelling:
    """What --labels says: the name of a labelling, or NCR=1,ED=2,ET=4 and so on, where background=4 is a value that counts for nothing.

    Raises:
        InputError: no such labelling or label, or a value that is used twice or is none.
    """
    known, names = labellings(specification), [label.name for label in specification.labels]
    text = text.strip()
    if "=" not in text:
        name = _YEARS.get(text.lower(), text.lower())
        if name in known:
            return known[name]
        if name in _PUBLISHED and set(names) == set(_PUBLISHED[name]) - {BACKGROUND}:
            return _of_pairs(name, _PUBLISHED[name].items())
        offered = ", ".join([*known, *(name for name in _PUBLISHED if set(names) == set(_PUBLISHED[name]) - {BACKGROUND})])
        raise InputError(f"--labels names the labelling '{text}', expected {offered}, or e.g. {_example(names)}; choose one of these")
    pairs = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*([^=]+?)\s*=\s*([0-9]{1,3})\s*", part)
        label = next((name for name in (*names, BACKGROUND) if found and name.lower() == found.group(1).lower()), None)
        if label is None or not 1 <= int(found.group(2)) <= 255:
            raise InputError(
                f"--labels has the part '{part}', expected {', '.join(names)} or {BACKGROUND} = 1 to 255; e.g. {_example(names)}"
            )
        pairs.append((label, int(found.group(2))))
    values, labels = [value for _, value in pairs], [label for label, _ in pairs if label != BACKGROUND]
    if len(set(values)) != len(values) or len(set(labels)) != len(labels):
        raise InputError(f"--labels '{text}' gives a label or a value twice, expected each once; e.g. {_example(names)}")
    absent = [name for name in names if name not in labels]
    if absent:
        raise InputError(f"--labels '{text}' does not say which value is {absent[0]}, expected all of {', '.join(names)}; add it")
    return _of_pairs("stated", pairs)


def decide(maps: Iterable[tuple[Path, Iterable[int]]], specification: Specification, what: str) -> Labelling:
    """The one labelling that fits all maps of a kind.

    Args:
        maps: each map's file and its integers. What has a value that no labelling knows is passed over: it fails on its own.
        specification: the bundle's.
        what: the maps, for the sentence, e.g. "references".

    Returns:
        The first that fits, the bundle's own before others.

    Raises:
        InputError: none fits all, naming the two files that contradict each other.
    """
    known = list(labellings(specification).values())
    every = set().union(*(labelling.known for labelling in known))
    usable = [(file, set(values)) for file, values in maps if set(values) <= every]
    fitting = [labelling for labelling in known if all(values <= labelling.known for _, values in usable)]
    if fitting:
        return fitting[0]
    # Each labelling is contradicted by some value; the first file with each says where to look.
    found = {value: file for file, values in reversed(usable) for value in values}
    telling = sorted(value for value in found if not all(value in labelling.known for labelling in known))
    where = " and ".join(f"{value} in {found[value]}" for value in telling)
    names = [label.name for label in specification.labels]
    offered = " nor ".join(str(labelling) for labelling in known)
    raise InputError(
        f"the {what} contradict each other: there is {where}, which fits neither {offered}; say what the values mean, e.g. --labels "
        f"{_example(names)},{BACKGROUND}={telling[-1]}, and evaluate maps of another labelling apart"
    )


def _of_pairs(name: str, pairs: Iterable[tuple[str, int]]) -> Labelling:
    pairs = list(pairs)
    return Labelling(
        name,
        {label: value for label, value in pairs if label != BACKGROUND},
        frozenset(value for label, value in pairs if label == BACKGROUND),
    )


def _example(names: list[str]) -> str:
    return ",".join(f"{name}={number}" for number, name in enumerate(names, start=1))
