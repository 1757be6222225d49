"""Many cases one after the other: what is done is not done again, and one failure does not stop the rest."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from LDMSegLib.commands.log import unexpected
from LDMSegLib.errors import Cancelled, InputError, LDMSegError, OutputError
from LDMSegLib.events import Cancellation, Reporter
from LDMSegLib.results.folder import PROVENANCE, is_result
from LDMSegLib.results.measurements import to_csv

DONE, SKIPPED, PARTIAL, FAILED, NOT_STARTED = "done", "already there", "partial", "failed", "not started"
SHOWN = ("ensemble_ml", "expected_ml", "mean_ml", "sd_ml", "spread_low_ml", "spread_high_ml")
"""The columns of a result's volumes.csv that the summary repeats for each region."""


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
    record = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
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


def anything_to_do(cases: Iterable[tuple[str, Path]], output: Path, wanted: Mapping[str, Any], overwrite: bool) -> bool:
    """Whether there is a case that `run_cohort` would work on, and so a reason to load any network."""

    def to_do(folder: Path) -> bool:
        try:
            return overwrite or not finished(folder, wanted)
        except OutputError:
            return False

    return any(to_do(output / case) for case, _ in cases)


def run_cohort(
    cases: Iterable[tuple[str, Path]],
    output: Path,
    work: Callable[[str, Path, Path, bool], bool],
    wanted: Mapping[str, Any],
    overwrite: bool,
    reporter: Reporter,
    cancellation: Cancellation,
) -> list[Outcome]:
    """Do every case that is not done.

    Args:
        cases: (case id, its folder).
        output: each case's result goes into output/<case id>.
        work: (case id, its folder, its result's folder, whether a result there may be replaced) → whether it is complete.
        wanted: see `finished`.
        overwrite: do also what is done.
        reporter: hears which case begins, and of every failure as a warning.
        cancellation: read between cases; the rest is then not started.

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
        try:
            if not overwrite and finished(target, wanted):
                outcomes.append(Outcome(case, SKIPPED, target))
                continue
            reporter.stage("case", f"Case {number} of {len(cases)}: {case}")
            reporter.progress((number - 1) / len(cases), case=number, cases=len(cases))
            # a partial result, or what is left of one, is ours and is done again
            complete = work(case, folder, target, overwrite or is_result(target))
            outcomes.append(Outcome(case, DONE if complete else PARTIAL, target))
        except Exception as error:  # whatever it is, the other cases are not to blame
            if isinstance(error, Cancelled):
                outcomes.append(Outcome(case, NOT_STARTED, target))
                continue
            message = str(error) if isinstance(error, LDMSegError) else f"unexpected problem, {unexpected(error)}"
            outcomes.append(Outcome(case, FAILED, target, " ".join(message.split())))
            reporter.warning(f"{case} failed: {outcomes[-1].message}", case=case)
    return outcomes


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
        with open(folder / "volumes.csv", encoding="utf-8", newline="") as file:
            return {row["region"]: row for row in csv.DictReader(file)}
    except (OSError, KeyError):
        return {}
