"""Many cases one after the other: what is done is not done again, and one failure does not stop the rest."""

from __future__ import annotations

import csv
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from LDMSegLib.cli.log import unexpected
from LDMSegLib.errors import Cancelled, InputError, LDMSegError, OutputError
from LDMSegLib.events import Cancellation, Reporter
from LDMSegLib.io.atomic_folder import PROVENANCE, is_result
from LDMSegLib.postprocessing.volumes import to_csv

DONE, SKIPPED, PARTIAL, FAILED, NOT_STARTED = "done", "already there", "partial", "failed", "not started"
SHOWN = ("ensemble_ml", "expected_ml", "mean_ml", "sd_ml", "spread_low_ml", "spread_high_ml")
"""The columns of a result's volumes.csv that the summary repeats for each region."""


Wanted = Mapping[str, Any] | Callable[[str, Path], Mapping[str, Any]]
Same = Callable[[Mapping[str, Any], str, Path], bool]


@dataclass(frozen=True)
class Outcome:
    """What became of one case; `message` says why where it failed."""

    case: str
    status: str
    folder: Path
    message: str = ""


def take_shard(cases: Sequence[Any], shard: str | None) -> tuple[list[Any], str]:
    """The K-th of N parts of a list, every N-th item, so that parts differ by one case at most.

    Args:
        cases: in an order that every part's process finds again.
        shard: "K/N", or None for all.

    Returns:
        The items, and "_K_of_N" (or "") for the names of files that belong to the part alone.

    Raises:
        InputError: not of that form, or K is not one of 1 to N.
    """
    if shard is None:
        return list(cases), ""
    found = re.fullmatch(r"(\d+)/(\d+)", shard)
    k, n = (int(number) for number in found.groups()) if found else (0, 0)
    if not 1 <= k <= n:
        raise InputError(f"--shard is '{shard}', expected K/N with K from 1 to N, e.g. 3/16; correct it")
    return list(cases[k - 1 :: n]), f"_{k}_of_{n}"


def reject_same_names(cases: Iterable[tuple[str, Path]]) -> None:
    """Refuse cases of which one's result would replace another's.

    Args:
        cases: (case id, its folder), all of the cohort, before a part of it is taken.

    Raises:
        InputError: two are called the same, also where only the case of letters tells them apart, which not every disk does.
    """
    called: dict[str, list[tuple[str, Path]]] = {}
    for case, folder in cases:
        called.setdefault(unicodedata.normalize("NFC", case).casefold(), []).append((case, folder))
    same = next((found for found in called.values() if len(found) > 1), None)
    if same:
        where = " and ".join(str(folder) for _, folder in same[:3]) + (f" and {len(same) - 3} more" if len(same) > 3 else "")
        raise InputError(
            f"{len(same)} cases of the cohort would have their results in one folder, '{same[0][0]}' ({where}), expected a name of its own "
            "for each; rename or move them, or take out those that are not to be segmented"
        )


def finished(folder: Path, wanted: Mapping[str, Any]) -> bool:
    """Whether a folder holds this case's result already: complete, with all its files, and made with these settings.

    Args:
        folder: of one case's result.
        wanted: "section.key" of provenance.json → the value that this run would put there.

    Raises:
        OutputError: there is a complete result, made with other settings.
    """
    if not is_result(folder):
        return False
    record = _record(folder)
    if record.get("partial", True) or not all((folder / name).is_file() for name in record.get("files", {})):
        return False
    for name, value in wanted.items():
        found: Any = record
        for key in name.split("."):
            found = found.get(key) if isinstance(found, dict) else None
        if found != value:
            raise OutputError(
                f"'{folder}' holds a result made with another {name.split('.')[-1].replace('_', ' ')} ({found}, now {value}); "
                "add --overwrite to replace it or choose another folder with -o"
            )
    return True


def anything_to_do(
    cases: Iterable[tuple[str, Path]], output: Path, wanted: Wanted, overwrite: bool, same: Same = lambda record, case, folder: True
) -> bool:
    """Whether there is a case that `run_cohort` would work on, and so a reason to load any network."""

    def to_do(case: str, folder: Path) -> bool:
        try:
            return overwrite or not finished(target := output / case, _of(wanted, case, folder)) or not same(_record(target), case, folder)
        except Exception:  # told by `run_cohort`
            return False

    return any(to_do(case, folder) for case, folder in cases)


def run_cohort(
    cases: Iterable[tuple[str, Path]],
    output: Path,
    work: Callable[[str, Path, Path, bool], bool],
    wanted: Wanted,
    overwrite: bool,
    reporter: Reporter,
    cancellation: Cancellation,
    same: Same = lambda record, case, folder: True,
    on_worked: Callable[[list[Outcome]], None] = lambda outcomes: None,
) -> list[Outcome]:
    """Do every case that is not done.

    Args:
        cases: (case id, its folder).
        output: each case's result goes into output/<case id>.
        work: (case id, its folder, its result's folder, whether a result there may be replaced) → whether it is complete.
        wanted: see `finished`; of all cases, or a function of (case id, its folder).
        overwrite: do also what is done.
        reporter: hears which case begins, of every failure as a warning, and of every result that is made again.
        cancellation: read between cases; the rest is then not started.
        same: (a result's provenance.json, case id, its folder) → whether the result was made of what the case holds now. Where it was
            not, the case is done again, and the new result takes the place of the old one when it is complete.
        on_worked: takes the outcomes so far, after each case that was worked on.

    Returns:
        One outcome per case, in order.
    """
    cases = list(cases)
    outcomes = []
    for number, (case, folder) in enumerate(cases, start=1):
        target = output / case
        if cancellation.requested:
            outcomes.append(Outcome(case, NOT_STARTED, target))
            continue
        before, began = "", False
        try:
            if not overwrite and finished(target, _of(wanted, case, folder)):
                if same(_record(target), case, folder):
                    outcomes.append(Outcome(case, SKIPPED, target))
                    continue
                before = "the inputs changed since its result was made"
                reporter.warning(f"{case}: {before}, so it is done again and the earlier result replaced", case=case)
            reporter.stage("case", f"Case {number} of {len(cases)}: {case}")
            reporter.progress((number - 1) / len(cases), case=number, cases=len(cases))
            # a partial result, or what is left of one, is ours and is done again
            began = True
            complete = work(case, folder, target, overwrite or is_result(target))
            replaced = f"{before}; the earlier result was replaced" if before else ""
            outcomes.append(Outcome(case, DONE if complete else PARTIAL, target, replaced))
        except Exception as error:  # whatever it is, the other cases are not to blame
            if isinstance(error, Cancelled):
                outcomes.append(Outcome(case, NOT_STARTED, target))
                continue
            why = f"{before}, and " if before else ""
            left = f"; {why}an earlier result still lies in '{target}'" if began and is_result(target) else ""
            message = str(error) if isinstance(error, LDMSegError) else f"unexpected problem, {unexpected(error)}"
            outcomes.append(Outcome(case, FAILED, target, " ".join((message + left).split())))
            reporter.warning(f"{case} failed: {outcomes[-1].message}", case=case)
        on_worked(outcomes)
    return outcomes


def _of(wanted: Wanted, case: str, folder: Path) -> Mapping[str, Any]:
    return wanted if isinstance(wanted, Mapping) else wanted(case, folder)


def _record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))


def summary_csv(outcomes: Iterable[Outcome], regions: Sequence[str]) -> str:
    """One row a case: what became of it, and its regions' volumes from the result's own table; empty where there is none."""
    names = [f"{region}_{column}" for region in regions for column in SHOWN]
    rows = []
    for outcome in outcomes:
        volumes = _volumes(outcome.folder) if outcome.status in (DONE, SKIPPED, PARTIAL) else {}
        members = next((row["members"] for row in volumes.values()), "")
        row = {"case": outcome.case, "status": outcome.status, "members": members}
        row |= {f"{region}_{column}": volumes.get(region, {}).get(column, "") for region in regions for column in SHOWN}
        rows.append(row | {"message": outcome.message})
    return to_csv(rows, ("case", "status", "members", *names, "message"))


def _volumes(folder: Path) -> dict[str, dict[str, str]]:
    try:
        with (folder / "volumes.csv").open(encoding="utf-8", newline="") as file:
            return {row["region"]: row for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, csv.Error):  # one damaged table must not cost the others their rows
        return {}
