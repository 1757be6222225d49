"""What is said at the end of a segmentation: a few lines for a person, one event for a program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from LDMSegLib.cli.cohort import FAILED, Outcome
from LDMSegLib.cli.tables import table
from LDMSegLib.results.provenance import RESEARCH_USE, plain
from LDMSegLib.results.segmentation import Segmentation

PLACES = 3
SHOWN_FIRST = ("report", "labels")


def segmentation_event(segmentation: Segmentation, case: str, folder: Path, files: dict[str, Path]) -> dict[str, Any]:
    """The "result" event: every path, every volume in mL, every doubted place, all as plain values."""
    return plain(
        {
            "case": case,
            "folder": folder,
            "files": files,
            "partial": segmentation.partial,
            "members_finished": segmentation.members_finished,
            "members_requested": segmentation.members_requested,
            "views": segmentation.views,
            "views_requested": segmentation.views_requested,
            "volumes_ml": [asdict(volume) for volume in segmentation.volumes],
            "uncertain_regions": [asdict(place) for place in segmentation.uncertain_regions],
            "warnings": segmentation.warnings,
        }
    )


def segmentation_text(segmentation: Segmentation, files: dict[str, Path]) -> str:
    """Volumes with their spread, where to look first, and where everything is."""
    titles = {region.name: region.title for region in segmentation.regions}
    volumes = [
        (v.region, titles[v.region], _ml(v.ensemble), f"{_ml(v.spread_low)} to {_ml(v.spread_high)}" if v.members > 1 else "-")
        for v in segmentation.volumes
    ]
    places = [
        (
            f"{place.rank}.",
            f"{place.region} boundary",
            f"{_ml(place.volume)} mL",
            "RAS " + ", ".join(f"{x:.0f}" for x in place.position) + " mm",
        )
        for place in segmentation.uncertain_regions[:PLACES]
    ]
    members = f"{segmentation.members_finished} of {segmentation.members_requested} members"
    if segmentation.partial and segmentation.views_requested > 1:
        members += f", in {segmentation.views} of {segmentation.views_requested} views"
    parts = ["", table(volumes, "<<>>", ("region", "", "volume mL", "spread mL")), f"  (spread: 2.5th to 97.5th percentile of {members})"]
    if places:
        parts += ["", "Where to look first:", table(places, "<<><")]
    first = [(name, files[name]) for name in SHOWN_FIRST if name in files]
    rest = len(files) - len(first)
    parts += ["", table(first, "<<"), f"  and {rest} more files in {next(iter(files.values())).parent}", "", RESEARCH_USE]
    return "\n".join(parts)


def cohort_event(outcomes: Sequence[Outcome], folder: Path, summary: Path) -> dict[str, Any]:
    """The "result" event of a cohort: every case's status and folder, and the table of volumes."""
    return plain({"folder": folder, "summary": summary, "cases": [asdict(outcome) for outcome in outcomes]})


def cohort_text(outcomes: Sequence[Outcome], summary: Path) -> str:
    """How many cases became what, which failed and why, and where the table is."""
    counts = Counter(outcome.status for outcome in outcomes)
    lines = ["", ", ".join(f"{count} {status}" for status, count in counts.items()) or "no cases"]
    failed = [outcome for outcome in outcomes if outcome.status == FAILED]
    if failed:
        lines += ["", "Failed:", *(f"  {outcome.case}: {outcome.message}" for outcome in failed)]
    return "\n".join([*lines, "", f"  volumes  {summary}", "", RESEARCH_USE])


def _ml(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
