"""Guess which volume of the scene is which sequence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import slicer

from LDMSegLib.errors import InputError
from LDMSegLib.sequences import naming
from LDMSegLib.sequences.file_names import read_together
from LDMSegLib.sequences.names import Named, named, sequences_in
from LDMSegLib.sequences.site_rules import NONE, SiteRules
from LDMSegLib.sequences.t1 import T1Image, settle, tag_of
from LDMSegLib.specification import Sequence

RESULT_ATTRIBUTE = "LDMSeg.Result"
"""Marks every node of a result, so that it is never taken for an input."""


class DicomTags(Protocol):
    """What the guess asks about the first image of a volume that came from DICOM."""

    def tag(self, node: Any, tag: str) -> str:
        """The value of a tag such as "0008,103e" in the image's file; empty where unknown."""


class DicomDatabase:
    """Reads tags from the application's DICOM database; knows nothing where there is none."""

    def tag(self, node: Any, tag: str) -> str:
        """A value of the volume's first DICOM file; empty where there is none."""
        database = getattr(slicer, "dicomDatabase", None)
        instances = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
        if database is None or not instances:
            return ""
        return database.instanceValue(instances[0], tag) or ""


@dataclass(frozen=True, eq=False)
class Guessed:
    """What is told of one volume: the sequence that it is taken for or "", and why it is that or none.

    `excluded`: the site's rules say that it is never to be used.
    """

    node: Any
    sequence: str
    reason: str
    excluded: bool = False


class SequenceGuess:
    """Guesses from names, the subject hierarchy and DICOM attributes; what is not clear is left to the user.

    The rules are those of the command line (LDMSegLib.sequences): what all volumes of a patient share in their names is left out, and a
    T1 is before or after contrast agent by its words, its header and the clock together. What comes first decides: the volume's
    name, its file, its DICOM description, the names above it in the subject hierarchy.
    """

    DESCRIPTION, PROTOCOL, CONTRAST_AGENT = "0008,103e", "0018,1030", "0018,0010"
    DATE, TIME = "0008,0022", "0008,0032"

    def __init__(self, sequences: Iterable[Sequence], dicom: DicomTags | None = None, rules: SiteRules | None = None) -> None:
        """Take the bundle's sequences, a source of DICOM tags, and the site's own rules, which come before all others."""
        self._sequences = tuple(sequences)
        self._rules = rules or SiteRules()
        self._dicom = dicom or DicomDatabase()
        self.guessed: tuple[Guessed, ...] = ()

    def guess(self, nodes: Iterable[Any]) -> dict[str, Any]:
        """Sequence name → node, for those that are clear; `guessed` then says of every volume of that patient why.

        Of several patients in the scene, the most complete one is taken, of equals the one loaded last. Where two of its
        volumes could be one sequence, that sequence is left out.
        """
        patients: dict[Any, list[Any]] = {}
        for node in nodes:
            if _is_image(node):
                patients.setdefault(_patient(node), []).append(node)
        best: tuple[Guessed, ...] = ()
        for members in patients.values():
            told = self._told_apart(members)
            if _sequences(told) and len(_sequences(told)) >= len(_sequences(best)):
                best = told
        twice = {name for name in _sequences(best) if sum(one.sequence == name for one in best) > 1}
        self.guessed = tuple(
            Guessed(one.node, "", f"another volume could be {one.sequence} as well; choose one") if one.sequence in twice else one
            for one in best
        )
        taken = {one.sequence: one.node for one in self.guessed if one.sequence}
        return {s.name: taken[s.name] for s in self._sequences if s.name in taken}

    def _told_apart(self, nodes: list[Any]) -> tuple[Guessed, ...]:
        """What each volume of one patient is, by the site's rules and then by all others."""
        ruled = [self._ruled(node) for node in nodes]
        others = iter(self._read([node for node, told in zip(nodes, ruled, strict=True) if told is None]))
        return tuple(told or next(others) for told in ruled)

    def _ruled(self, node: Any) -> Guessed | None:
        """What the site's rules say of a volume; None where none fits."""
        for text in (node.GetName() or "", *self._texts(node)) if self._rules.rules else ():
            try:
                rule = self._rules.match(text)
            except InputError as error:
                return Guessed(node, "", str(error))
            if rule is not None:
                excluded = rule.sequence == NONE
                return Guessed(node, "" if excluded else rule.sequence, f'the site\'s rule "{rule.line}"', excluded)
        return None

    def _read(self, nodes: list[Any]) -> tuple[Guessed, ...]:
        """What volumes of one patient are, by words, headers and clocks."""
        names = [node.GetName() or "" for node in nodes]
        by_name = [named(one, name, self._sequences) for one, name in zip(read_together(names), names, strict=True)]
        named_ = [self._named(node, told) for node, told in zip(nodes, by_name, strict=True)]
        t1 = [k for k, told in enumerate(named_) if told.reading.family == "t1" and told.names]
        settled = settle([self._t1_image(nodes[k], named_[k]) for k in t1], plain_is_native=True)
        result = [Guessed(node, told.names[0] if told.clear else "", _why(told)) for node, told in zip(nodes, named_, strict=True)]
        there = {s.name for s in self._sequences}
        for k, verdict in zip(t1, settled.verdicts, strict=True):
            result[k] = Guessed(nodes[k], verdict.sequence if verdict.sequence in there else "", verdict.reason)
        return tuple(result)

    def _named(self, node: Any, by_name: Named) -> Named:
        """By its name, and where that says nothing, by the first of its other texts that does."""
        if by_name.names or by_name.other:
            return by_name
        for text in self._texts(node):
            if _no_image(text):
                break
            told = sequences_in(text, self._sequences)
            if told.names or told.other:
                return told
        return by_name

    def _t1_image(self, node: Any, told: Named) -> T1Image:
        agent = " ".join(self._dicom.tag(node, self.CONTRAST_AGENT).split())
        day, clock = _when(self._dicom.tag(node, self.DATE), self._dicom.tag(node, self.TIME))
        name = node.GetName() or ""
        return T1Image(name, told.reading.contrast, name, told.reading.why, tag_of(agent), agent, (day, clock))

    def _texts(self, node: Any) -> Iterable[str]:
        storage = node.GetStorageNode()
        if storage is not None and storage.GetFileName():
            yield naming.stem(Path(storage.GetFileName()))
        for tag in (self.DESCRIPTION, self.PROTOCOL):
            yield self._dicom.tag(node, tag)
        yield from _names_above(node)


def _is_image(node: Any) -> bool:
    """Whether a node is a grey-value volume that is no result, mask or label map."""
    if node is None or not node.IsA("vtkMRMLScalarVolumeNode") or node.IsA("vtkMRMLLabelMapVolumeNode"):
        return False
    if node.GetAttribute(RESULT_ATTRIBUTE) or node.IsA("vtkMRMLVectorVolumeNode"):
        return False
    return not _no_image(node.GetName() or "")


def _no_image(text: str) -> bool:
    """Whether words say that it is a mask or a result."""
    return bool(set(naming.tokens(text.replace("/", " ").replace("\\", " "))) & naming.NOT_AN_IMAGE)


def _sequences(told: Iterable[Guessed]) -> set[str]:
    return {one.sequence for one in told if one.sequence}


def _why(told: Named) -> str:
    if told.clear:
        return "its name says so"
    if told.names:
        return f"it could be {' or '.join(told.names)}: {told.why or 'its name fits both'}"
    return told.other or "its name names no sequence"


def _when(date: str, time: str) -> tuple[int | None, float | None]:
    """Day and seconds of the day of DICOM's date and time."""
    try:
        begun = datetime.strptime(f"{date} {time[:6]}", "%Y%m%d %H%M%S")
    except ValueError:
        return None, None
    return begun.toordinal(), begun.hour * 3600.0 + begun.minute * 60.0 + begun.second


def _names_above(node: Any) -> Iterable[str]:
    hierarchy = _hierarchy(node)
    if hierarchy is None:
        return
    item = hierarchy.GetItemByDataNode(node)
    while item and item != hierarchy.GetSceneItemID():
        yield hierarchy.GetItemName(item)
        item = hierarchy.GetItemParent(item)


def _patient(node: Any) -> Any:
    """What tells patients apart: the item above in the subject hierarchy, else the folder of the file."""
    hierarchy = _hierarchy(node)
    if hierarchy is not None:
        item = hierarchy.GetItemByDataNode(node)
        parent = hierarchy.GetItemParent(item) if item else 0
        if parent and parent != hierarchy.GetSceneItemID():
            return parent
    storage = node.GetStorageNode()
    return str(Path(storage.GetFileName()).parent) if storage is not None and storage.GetFileName() else None


def _hierarchy(node: Any) -> Any:
    scene = node.GetScene()
    return None if scene is None else slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
