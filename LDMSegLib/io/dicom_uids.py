"""Studies whose unique identifiers are not unique, or not shared, as de-identification and conversion leave them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from LDMSegLib.io.dicom_slices import Slice

# So many images of one description, direction and size, each in a series of its own, are the slices of one volume.
FEWEST_SCATTERED = 4


def clash_of_series(slices: Sequence[Slice]) -> str:
    """Say that several series bear one SeriesInstanceUID; "" where they do not.

    Args:
        slices: all images with that UID.
    """
    numbered = len({one.number for one in slices}) > 1
    kinds = Counter(one.number if numbered else one.description for one in slices)
    if len(kinds) < 2 or min(kinds.values()) < 2:
        return ""
    named = {(one.number if numbered else one.description): one for one in slices}
    which = ", ".join(f'{"?" if one.number is None else one.number} "{one.description}"' for one in named.values())
    return f"shares its SeriesInstanceUID with others ({len(kinds)} series bear it: {which}), expected one for each; export them again"


def clash_of_instances(slices: Sequence[Slice]) -> str:
    """Say that different images bear one SOPInstanceUID; "" where they do not.

    Args:
        slices: of one series, without copies.
    """
    most = Counter(one.instance for one in slices)
    clashing = sum(count for count in most.values() if count > 1)
    if not clashing:
        return ""
    return f"has {clashing} different images that share a SOPInstanceUID with another, expected one for each image; export the series again"


def one_series_per_image(groups: dict[str, list[Slice]]) -> list[list[Slice]]:
    """Find volumes whose slices each bear a SeriesInstanceUID of their own, and take them out of the groups.

    Args:
        groups: series UID → its images; what is found is removed.

    Returns:
        The images of each such volume.
    """
    alike: dict[tuple, list[Slice]] = {}
    for group in groups.values():
        if len(group) == 1 and group[0].modality == "MR" and group[0].position and group[0].orientation and group[0].frame is None:
            one = group[0]
            direction = tuple(round(v, 1) + 0.0 for v in one.orientation)
            alike.setdefault((one.study, one.number, one.description, one.rows, one.columns, direction), []).append(one)
    found = [parts for parts in alike.values() if len({p.position for p in parts}) >= FEWEST_SCATTERED]
    for parts in found:
        for one in parts:
            del groups[one.series]
    return found
