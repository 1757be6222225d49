"""nnU-Net's flat layout: `case_0000.nii.gz`, `case_0001.nii.gz`, one number for each channel and no word of what it shows.

What a channel is, the data set's `dataset.json` says (`channel_names`, or `modality` in older ones), beside the images or up to two folders
up; or the site's own rules say it ("0000<tab>t1n"). There is no usual order: nnU-Net's own conversion of BraTS 2021 counts T1, T1ce, T2,
FLAIR, the Medical Segmentation Decathlon's brain tumours FLAIR, T1w, T1gd, T2w. So nothing is guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from collections.abc import Sequence as Many
from pathlib import Path

from LDMSegLib.errors import InputError
from LDMSegLib.sequences.names import sequences_in
from LDMSegLib.sequences.site_rules import NONE, SiteRules
from LDMSegLib.specification import Sequence

DATASET = "dataset.json"
_NUMBERED = re.compile(r"(.+)_(\d{4})")


def channels_of(stem: str) -> tuple[str, str] | None:
    """The case and the channel's number in a name; None where it has none."""
    found = _NUMBERED.fullmatch(stem)
    return (found.group(1), found.group(2)) if found else None


def channel_cases(stems: Iterable[str]) -> dict[str, list[str]]:
    """Case → its channels, for names in nnU-Net's layout; empty for any other.

    The layout is taken for that where every name ends in four digits, the first channel is there and some case has a second one.
    """
    cases: dict[str, list[str]] = {}
    for stem in stems:
        found = channels_of(stem)
        if found is None:
            return {}
        cases.setdefault(found[0], []).append(found[1])
    numbers = {channel for channels in cases.values() for channel in channels}
    several = any(len(channels) > 1 for channels in cases.values())
    return cases if several and "0000" in numbers and max(map(int, numbers), default=99) < 20 else {}


def is_channel_layout(stems: Many[str]) -> bool:
    """Whether one case's names tell its channels by number and not by words."""
    return len(channel_cases(stems)) == 1


def channel_names(folder: Path, sequences: Many[Sequence], rules: SiteRules) -> tuple[dict[str, tuple[tuple[str, ...], str]], str]:
    """What each channel is.

    Returns:
        Channel's number ("0000") → (the sequences it may be, what it is called), and where that was read; empty where nothing says it.

    Raises:
        InputError: dataset.json is there and cannot be read.
    """
    said = {"".join(rule.words): rule for rule in rules.rules if len(rule.words) == 1 and re.fullmatch(r"\d{4}", rule.words[0])}
    if said:
        return {number: (() if r.sequence == NONE else (r.sequence,), r.line) for number, r in said.items()}, "the site's rules"
    for place in (folder, *list(folder.resolve().parents)[:2]):
        file = place / DATASET
        if file.is_file():
            names = _read(file)
            return {f"{int(k):04d}": (sequences_in(name, sequences).names, name) for k, name in names.items()}, DATASET
    return {}, ""


def _read(file: Path) -> dict[str, str]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
        names = content.get("channel_names") or content.get("modality") or {}
        return {str(int(key)): str(name) for key, name in names.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(
            f"{file} cannot be read as nnU-Net's description of a data set ({' '.join(str(error).split())[:80]}), expected JSON with "
            "channel_names by number; correct it"
        ) from None
