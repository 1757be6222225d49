"""Which image became which sequence, and what was not used and why: for the terminal, the report, the panel and the provenance."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

CERTAIN, LIKELY, GUESS = "certain", "likely", "guess"
AN_IMAGE = "an image"


@dataclass(frozen=True)
class Use:
    """One sequence's image by its name, how far that can be trusted (CERTAIN, LIKELY or GUESS), and why it was taken."""

    sequence: str
    name: str
    certainty: str
    reason: str


@dataclass(frozen=True)
class Identified:
    """What was used, in the specification's order, and what was not: (name, why)."""

    used: tuple[Use, ...] = ()
    unused: tuple[tuple[str, str], ...] = ()

    def lines(self) -> list[str]:
        """One line for each image that was used or not."""
        used = [f"{use.sequence}: {use.name} ({use.certainty}: {use.reason})" for use in self.used]
        return used + [f"not used: {name} ({why})" for name, why in self.unused]

    def without_names(self) -> Identified:
        """The same without what the files are called: images that are used are named by their sequence."""
        used = (replace(use, name=f"the {use.sequence} image", reason=_unquoted(use.reason)) for use in self.used)
        return Identified(tuple(used), tuple((AN_IMAGE, _unquoted(why)) for _, why in self.unused))

    def record(self) -> dict[str, Any]:
        """Plain values for the provenance and the "inputs" event."""
        return {
            "used": [{"sequence": u.sequence, "name": u.name, "certainty": u.certainty, "reason": u.reason} for u in self.used],
            "unused": [{"name": name, "reason": why} for name, why in self.unused],
        }


def _unquoted(reason: str) -> str:
    return re.sub('"[^"]*"', "its name", reason)


def lines_of(record: dict[str, Any]) -> list[str]:
    """The lines of a record, see `Identified`."""
    return Identified(
        tuple(Use(**one) for one in record.get("used", ())), tuple((one["name"], one["reason"]) for one in record.get("unused", ()))
    ).lines()


def order(uses: Iterable[Use], names: Sequence[str]) -> tuple[Use, ...]:
    """Uses in the order of the specification's sequences."""
    return tuple(sorted(uses, key=lambda use: names.index(use.sequence)))
