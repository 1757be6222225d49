"""Whether DICOM series are of one patient, one study and one day. Names, numbers and birth dates are compared and never shown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import combinations

from LDMSegLib.errors import InputError
from LDMSegLib.io.dicom_series import Series
from LDMSegLib.io.dicom_slices import Identity


def reject_different_patients(series: Sequence[Series]) -> list[str]:
    """Refuse series of different patients.

    Patients differ where their IDs, their birth dates or all parts of their names do. What a header does not say is no difference.

    Returns:
        One sentence where names under one ID are merely written differently.

    Raises:
        InputError: naming two series and what differs, without showing it.
    """
    said: list[str] = []
    for one, other in combinations(_distinct(series), 2):
        what = _difference(one, other)
        if what:
            raise InputError(
                f"{one.name} and {other.name} belong to different patients ({what}), expected one patient's sequences; give each patient's "
                "folder alone"
            )
        if not said and _parts(one.identity.name) != _parts(other.identity.name) and one.identity.name and other.identity.name:
            said.append(
                f"{one.name} and {other.name} have one patient ID and differently written patient names; check that they show one patient"
            )
    return said


def date_warnings(chosen: Mapping[str, Series]) -> list[str]:
    """Say that the series of a case are of different studies, days or frames of reference, with both dates.

    Args:
        chosen: sequence name → series.
    """
    said = []
    for how, key, day in (("studies", lambda s: s.study, _day), ("days", _day, _day), ("days", lambda s: s.date, lambda s: s.date)):
        groups: dict[str, list[tuple[str, Series]]] = {}
        for name, one in chosen.items():
            groups.setdefault(key(one), []).append((name, one))
        groups.pop("", None)
        if len(groups) < 2 or (how == "days" and not _further_than_midnight(groups)):
            continue
        parts = [f"{_all([name for name, _ in members])} of {_written(day(members[0][1]))}" for members in groups.values()]
        said.append(
            f"the sequences are of {len(groups)} different {how}: {', '.join(parts)}; what changed in between shows in some of them only, "
            "so use the sequences of one examination"
        )
        break
    return said


def _distinct(series: Sequence[Series]) -> list[Series]:
    """One series for each way in which a patient is named."""
    kept: dict[tuple, Series] = {}
    for one in series:
        kept.setdefault((one.patient, one.identity), one)
    return list(kept.values())


def _difference(one: Series, other: Series) -> str:
    a, b = _identity(one), _identity(other)
    if a.id and b.id and a.id != b.id:
        return "their patient IDs differ"
    if a.birth_date and b.birth_date and a.birth_date != b.birth_date:
        return "their birth dates differ"
    names = _parts(a.name), _parts(b.name)
    if all(names) and not names[0] & names[1]:
        return "their patient names differ"
    return ""


def _identity(series: Series) -> Identity:
    return Identity(" ".join(series.identity.id.casefold().split()), series.identity.name, series.identity.birth_date)


def _parts(name: str) -> frozenset[str]:
    """The parts of a name of more than one letter, without accents and in small letters."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    found = [part for part in re.split(r"[\^=\s,.;_-]+", plain) if part]
    return frozenset([part for part in found if len(part) > 1] or found)


def _day(series: Series) -> str:
    return series.study_date or series.date


def _further_than_midnight(groups: Mapping[str, object]) -> bool:
    """Whether days are further apart than an examination over midnight."""
    days = sorted(groups)
    return abs((_date(days[-1]) - _date(days[0])).days) > 1


def _date(day: str) -> date:
    try:
        return date(int(day[:4]), int(day[4:6]), int(day[6:8]))
    except ValueError:  # a month 13
        return date(int(day[:4]), 1, 1)


def frame_warnings(chosen: Mapping[str, Series]) -> list[str]:
    """Say that the headers of a case's series do not tell how they lie to each other: their frames of reference differ.

    Args:
        chosen: sequence name → series.
    """
    groups: dict[str, list[str]] = {}
    for name, one in chosen.items():
        groups.setdefault(one.frame_of_reference, []).append(name)
    groups.pop("", None)
    if len(groups) < 2:
        return []
    parts = " and ".join(_all(names) for names in groups.values())
    return [
        f"{parts} have different frames of reference, so their headers do not say how they lie to each other; check that the images are "
        "aligned, or add --prepare always"
    ]


def dated(series: Series) -> str:
    """The day of a series for a person: 2020-01-31, or "no date"."""
    return _written(_day(series))


def _written(day: str) -> str:
    return f"{day[:4]}-{day[4:6]}-{day[6:]}" if day else "no date"


def _all(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
