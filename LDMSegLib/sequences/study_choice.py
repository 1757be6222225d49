"""Which of a study's series are the sequences: of one examination before all, then the whole head before thin slices.

`identify` tells what each image is, and of several the finest. Before it is asked, series are set aside that must not be mixed
with the others, and each is named with the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import nibabel as nib
import numpy as np

from LDMSegLib.errors import InputError
from LDMSegLib.io.dicom_identity import dated
from LDMSegLib.io.dicom_series import Series
from LDMSegLib.sequences.candidates import Candidate, Identification
from LDMSegLib.sequences.identify import identify
from LDMSegLib.spatial.volume import Volume
from LDMSegLib.specification import Sequence

# A brain from side to side, front to back and top to bottom, mm: a field of view of less shows a part of it.
BRAIN_MM = (140.0, 170.0, 120.0)
# Of two images of one sequence the one that shows less than this share of what the other shows is set aside.
AS_MUCH, CLEARLY_LESS = 0.95, 0.8


class Unreadable(InputError):
    """An image had to be looked at and cannot be read; `source` is its series."""

    def __init__(self, source: Series, problem: str) -> None:
        super().__init__(problem)
        self.source = source


@dataclass(frozen=True)
class StudyChoice:
    """What was told, and one sentence for each series that was set aside before."""

    told: Identification
    set_aside: tuple[str, ...] = ()


def readable(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The candidates, whose failure to be read says which of them it was (see `Unreadable`)."""

    def guarded(one: Candidate) -> Candidate:
        def read() -> Volume:
            try:
                return one.read()
            except InputError as error:
                raise Unreadable(one.source, str(error)) from None

        return replace(one, read=read)

    return [guarded(one) for one in candidates]


def choose_series(candidates: Iterable[Candidate], sequences: tuple[Sequence, ...], said: Mapping[str, Candidate]) -> StudyChoice:
    """Decide which DICOM series is which sequence.

    Series of one study and, within it, of one frame of reference are preferred. Only what the fullest of them lacks is looked for
    in the others; where two have equally much, that is a question. Of several images of one sequence those that show clearly less of the
    head, or of which slices may be missing, are set aside. Equal times of acquisition are taken for no times.

    Args:
        candidates: whose `source` is a `Series` that is a volume.
        sequences: of the bundle's specification.
        said: sequence name → what the user named; these are no longer among the candidates.

    Raises:
        Unreadable: images had to be looked at and one cannot be read.
    """
    pool, aside = _without_equal_clocks(list(candidates), said), []
    for what, key in (("study", _study), ("frame of reference", lambda series: series.frame_of_reference)):
        pool, dropped, question = _within_one(what, key, pool, sequences, said)
        aside += dropped
        if question:
            return StudyChoice(Identification({}, (question,)), tuple(aside))
    whole, dropped = _whole_heads(pool, sequences)
    told = identify(pool, sequences, said)
    if dropped:
        without = identify(whole, sequences, said)
        if set(without.choices) >= set(told.choices) and len(without.questions) <= len(told.questions):
            return StudyChoice(without, (*aside, *dropped))
    return StudyChoice(told, tuple(aside))


def lost_series(
    usable: list[Candidate], damaged: list[Candidate], told: Identification, sequences: tuple[Sequence, ...], said: Mapping[str, Candidate]
) -> tuple[Series, tuple[str, ...]] | None:
    """The damaged series, if any, that would be a sequence which nothing else is: the true reason why that sequence is missed.

    Args:
        usable: what `told` was told of.
        damaged: series that would be volumes had they not been damaged.
        told: what is known without the damaged ones.
        sequences, said: as `choose_series`.

    Returns:
        The series, and the names of the sequences that it or another like it would have been.
    """
    absent = tuple(s.name for s in sequences if s.name not in told.choices)
    unclear = None
    for one in damaged if absent else ():
        try:
            perhaps = identify([*usable, replace(one, read=_unread)], sequences, said)
        except InputError:  # only a look at the damaged image would tell
            alone = _alone(one, sequences)
            if told.questions and (not alone or alone in absent):
                unclear = unclear or (one.source, (alone,) if alone else absent)
            continue
        names = tuple(name for name in absent if name in perhaps.choices and perhaps.choices[name].candidate.source is one.source)
        if names:
            return one.source, names
        if told.questions and any(one.name in question for question in perhaps.questions if question not in told.questions):
            unclear = unclear or (one.source, absent)
    return unclear


def _without_equal_clocks(pool: list[Candidate], said: Mapping[str, Candidate]) -> list[Candidate]:
    """Acquisitions that begin in the same moment do not: the times were made up, or are those of one acquisition reconstructed twice."""
    times = Counter((_source(one).study, one.acquisition.day, one.acquisition.clock) for one in (*pool, *said.values()))

    def cleared(one: Candidate) -> Candidate:
        shared = one.acquisition.clock is not None and times[_source(one).study, one.acquisition.day, one.acquisition.clock] > 1
        return replace(one, acquisition=replace(one.acquisition, clock=None)) if shared else one

    return [cleared(one) for one in pool]


def _within_one(
    what: str, key: Callable[[Series], str], pool: list[Candidate], sequences: tuple[Sequence, ...], said: Mapping[str, Candidate]
) -> tuple[list[Candidate], list[str], str]:
    """The candidates of the fullest group, those of others that fill its gaps, what was dropped, and a question if two are equally full."""
    groups: dict[str, list[Candidate]] = {}
    for one in pool:
        groups.setdefault(key(_source(one)), []).append(one)
    anywhere = groups.pop("", [])
    chosen_by_user = {key(_source(one)) for one in said.values()} - {""}
    if len(groups) < 2 and chosen_by_user <= set(groups):
        return pool, [], ""
    told = {name: identify([*members, *anywhere], sequences, said) for name, members in groups.items()}
    names = {name: set(found.choices) - set(said) for name, found in told.items()}
    if len(chosen_by_user) == 1 and chosen_by_user <= set(groups):
        main = next(iter(chosen_by_user))
    else:
        most = max(len(found) for found in names.values())
        fullest = [name for name, found in names.items() if len(found) == most]
        main = fullest[0]
        if most and any(names[main] & names[other] for other in fullest[1:]):
            return pool, [], _which(what, {name: told[name] for name in fullest})
        if not most:
            return pool, [], ""
    kept, filled = [*groups[main], *anywhere], set(names[main]) | set(said)
    dropped = []
    for name, found in told.items():
        if name == main:
            continue
        fills = {sequence: choice.candidate for sequence, choice in found.choices.items() if sequence not in filled}
        kept += [candidate for candidate in fills.values() if not _among(candidate, kept)]
        filled |= set(fills)
        left = [one for one in groups[name] if not _among(one, kept)]
        if left:
            first = _source(groups[main][0])
            dropped.append(
                f"{_listed(left)} of {dated(_source(left[0]))} {'is' if len(left) == 1 else 'are'} not used: another {what} than "
                f"{_listed(groups[main])} of {dated(first)}, which {'has' if len(groups[main]) == 1 else 'have'} more of the sequences"
            )
    return kept, dropped, ""


def _among(candidate: Candidate, others: Iterable[Candidate]) -> bool:
    return any(candidate.source is one.source for one in others)


def _listed(candidates: list[Candidate], most: int = 4) -> str:
    names = [one.name for one in candidates]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _which(what: str, told: Mapping[str, Identification]) -> str:
    parts = []
    for found in told.values():
        first = _source(next(iter(found.choices.values())).candidate)
        listed = ", ".join(f"{name}: {choice.candidate.name}" for name, choice in found.choices.items())
        parts.append(f"one of {dated(first)} ({listed})")
    plural = "studies" if what == "study" else "sets of series in different frames of reference"
    return (
        f"the folder holds {len(told)} {plural} with the same sequences, {' and '.join(parts)}, expected one; give the folder of one of "
        "them, or name the series"
    )


def _whole_heads(pool: list[Candidate], sequences: tuple[Sequence, ...]) -> tuple[list[Candidate], list[str]]:
    """The candidates without those that show less of the head than another image of the same sequence, and what to say of these."""
    alike: dict[str, list[Candidate]] = {}
    for one in pool:
        alike.setdefault(_alone(one, sequences), []).append(one)
    dropped, out = [], []
    for name, members in alike.items():
        best = max(members, key=lambda one: (not _source(one).doubts, _covered(one)))
        enough = AS_MUCH if name else CLEARLY_LESS
        for one in members:
            if _covered(one) < enough * _covered(best):
                axis = int((_extent(one) / BRAIN_MM).argmin())
                why = f"it covers {_extent(one)[axis]:.0f} mm of the head and {best.name} {_extent(best)[axis]:.0f} mm"
            elif name and _source(one).doubts and not _source(best).doubts:
                why = f"slices of it may be missing, and none of {best.name}"
            else:
                continue
            out.append(one)
            dropped.append(f"{one.name} is not used{f' as {name}' if name else ''}: {why}")
    return [one for one in pool if not _among(one, out)], dropped


def _alone(candidate: Candidate, sequences: tuple[Sequence, ...]) -> str:
    """The sequence that a candidate is by its own words and header; "" where these don't tell."""
    try:
        choices = identify([replace(candidate, read=_unread)], sequences).choices
    except InputError:
        return ""
    return next(iter(choices), "")


def _unread() -> Volume:
    raise InputError("an image is not looked at for this")


def _source(candidate: Candidate) -> Series:
    return candidate.source


def _study(series: Series) -> str:
    return f"{series.study} {series.study_date}".strip()


def _extent(candidate: Candidate) -> np.ndarray:
    """Size from side to side, front to back and top to bottom, along the image's own axes, in mm."""
    grid = _source(candidate).grid
    along = nib.io_orientation(grid.affine)[:, 0].astype(int)
    extent = np.zeros(3)
    extent[along] = np.linalg.norm(grid.affine[:3, :3], axis=0) * grid.shape
    return extent


def _covered(candidate: Candidate) -> float:
    """The share of a brain's box that fits into the field of view."""
    return float(np.prod(np.minimum(_extent(candidate) / BRAIN_MM, 1.0)))
