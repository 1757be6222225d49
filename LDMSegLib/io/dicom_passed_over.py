"""What lies in a study and is no MR image, in one sentence."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from LDMSegLib.io.dicom_series import Study

_MOST = 8


def in_words(study: Study, folder: Path) -> list[str]:
    """One sentence about everything in a study that was passed over because it is no MR image; none where there is nothing.

    Args:
        study: of `read_study`.
        folder: that it was read from; files are named relative to it.
    """
    counts = Counter(one.what for one in study.passed_over)
    parts = []
    for what, count in counts.items():
        example = next(one.file for one in study.passed_over if one.what == what)
        parts.append(f"{count} {what}{'' if count == 1 else 's'} ({'' if count == 1 else 'such as '}{_relative(example, folder)})")
    foreign = Counter(one.modality or "unknown" for one in study.series if one.modality != "MR")
    parts += [f"{count} {modality} series" for modality, count in foreign.items()]
    if not parts:
        return []
    more = f" and {len(parts) - _MOST} other kinds" if len(parts) > _MOST else ""
    return [f"passed over in the folder, because it is no MR image: {', '.join(parts[:_MOST])}{more}"]


def _relative(file: Path, folder: Path) -> str:
    try:
        return file.relative_to(folder.expanduser()).as_posix()
    except ValueError:
        return file.name
