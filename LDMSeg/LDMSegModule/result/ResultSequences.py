"""What a result rests on: volumes, members and views; the unused volumes and the warnings of the run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

INPUT_ROLE = "LDMSeg.input."
UNUSED_ROLE = "LDMSeg.unused"
AXES = {0: "left-right", 1: "front-back", 2: "up-down"}
"""Of the model's grid."""


class ResultSequences:
    """Kept in the scene as references of the segmentation to the volumes, so that they say the names that volumes have now.

    What was chosen among files or DICOM series is told by the run's own record.
    """

    def __init__(self, segmentation: Any, record: Mapping[str, Any]) -> None:
        """Take the vtkMRMLSegmentationNode of a result and its record (`Result.provenance`)."""
        self._segmentation, self._record = segmentation, record

    def remember(self, used: Mapping[str, Any], unused: Iterable[Any]) -> None:
        """Store the volume node of each sequence, and the other volumes that were in the scene."""
        for name, node in used.items():
            if node.GetScene() is self._segmentation.GetScene():
                self._segmentation.SetNodeReferenceID(INPUT_ROLE + name, node.GetID())
        for node in unused:
            if node.GetScene() is self._segmentation.GetScene():
                self._segmentation.AddNodeReferenceID(UNUSED_ROLE, node.GetID())

    @property
    def lines(self) -> list[str]:
        """A line for each volume that was used, one for those that were not, the record's own, and those of a partial result."""
        return [*self._of_the_scene(), *self._of_the_record(), *partial_lines(self._record)]

    @property
    def warnings(self) -> list[str]:
        """What the run warned of."""
        found = self._record.get("warnings")
        return [str(text) for text in found] if isinstance(found, (list, tuple)) else []

    def _of_the_scene(self) -> list[str]:
        roles = [self._segmentation.GetNthNodeReferenceRole(k) for k in range(self._segmentation.GetNumberOfNodeReferenceRoles())]
        names = [role.removeprefix(INPUT_ROLE) for role in roles if role.startswith(INPUT_ROLE)]
        nodes = {name: self._segmentation.GetNodeReference(INPUT_ROLE + name) for name in names}
        lines = [
            f"{name}: '{node.GetName()}'" if node is not None else f"{name}: a volume that was deleted" for name, node in nodes.items()
        ]
        count = self._segmentation.GetNumberOfNodeReferences(UNUSED_ROLE)
        others = [self._segmentation.GetNthNodeReference(UNUSED_ROLE, k) for k in range(count)]
        unused = not_used([node.GetName() for node in others if node is not None])
        return [*lines, *([unused] if unused else [])]

    def _of_the_record(self) -> list[str]:
        """What was used is told by the scene where it knows, and else by the record."""
        told = self._record.get("identification")
        told = told if isinstance(told, Mapping) else {}
        lists = [self._record.get("series"), *([] if self._of_the_scene() else [told.get("used")]), told.get("unused")]
        rows = [row for found in lists if isinstance(found, (list, tuple)) for row in found]
        return [line for line in map(_line, rows) if line]


def partial_lines(record: Mapping[str, Any]) -> list[str]:
    """Return on which members and views of the images a partial result rests, a line each; none where it is whole.

    Args:
        record: the content of provenance.json.
    """
    sampling = record.get("sampling")
    if not record.get("partial") or not isinstance(sampling, Mapping):
        return []
    lines = [f"Members: {sampling.get('members_finished', '?')} of {sampling.get('members_requested', '?')} were finished."]
    seen = sampling.get("members_by_view")
    rows = [row for row in seen if isinstance(row, Mapping)] if isinstance(seen, (list, tuple)) else []
    if rows:
        lines.append(f"Views of the images: {sampling.get('views', len(rows))} of {sampling.get('views_requested', '?')}.")
    return lines + [f"{_view(row)}: {row.get('members', '?')} of the finished members" for row in rows]


def _view(row: Mapping[str, Any]) -> str:
    """How a view shows the images: along which axes of the model's grid they are mirrored, and whether their bias field is corrected."""
    axes = row.get("mirrored")
    names = [AXES.get(axis, str(axis)) for axis in axes] if isinstance(axes, (list, tuple)) else []
    said = f"mirrored {' and '.join(names)}" if names else "not mirrored"
    return said + (", bias field corrected" if row.get("bias_corrected") else "")


def not_used(names: list[str], most: int = 6) -> str:
    """Say "Not used: 'a', 'b' and 3 more."; empty without names."""
    if not names:
        return ""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    quoted = [f"'{name}'" for name in names[:most]]
    return f"Not used: {', '.join(quoted)}{more}."


def _line(row: Any) -> str:
    """A record's row: a sentence, or a mapping with a sequence (none = left out), a name, and a reason."""
    if isinstance(row, str):
        return row
    if not isinstance(row, Mapping):
        return ""
    name, why, sequence = (_first(row, names) for names in (("name", "description"), ("reason",), ("sequence",)))
    if not (name or why):
        return ""
    return f"{sequence or 'not used'}: {' — '.join(filter(None, (name, why)))}"


def _first(row: Mapping[str, Any], names: Iterable[str]) -> str:
    values = (row.get(name) for name in names)
    texts = ("; ".join(map(str, value)) if isinstance(value, (list, tuple)) else value for value in values)
    return next((str(text) for text in texts if text not in (None, "", False)), "")
