"""Which volume of the scene is which sequence, told by what the scene says of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import slicer

from LDMSegLib.cases import naming
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
        database = getattr(slicer, "dicomDatabase", None)
        instances = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
        if database is None or not instances:
            return ""
        return database.instanceValue(instances[0], tag) or ""


class SequenceGuess:
    """Guesses from names, the subject hierarchy and DICOM attributes; what is not clear is left to the user.

    `sequences` are those of the bundle's specification (`specification.sequences`), whose aliases are the words looked for.
    Words are weighed as for file names (LDMSegLib.cases.naming). What comes first decides: the volume's name, its file, its
    DICOM description, the names above it in the subject hierarchy.
    """

    DESCRIPTION, PROTOCOL, CONTRAST_AGENT = "0008,103e", "0018,1030", "0018,0010"

    def __init__(self, sequences: Iterable[Sequence], dicom: DicomTags | None = None) -> None:
        self._sequences = tuple(sequences)
        self._dicom = dicom or DicomDatabase()

    def guess(self, nodes: Iterable[Any]) -> dict[str, Any]:
        """Sequence name → node, for those that are clear.

        Of several patients in the scene, the most complete one is taken, of equals the one loaded last. Where two of its
        volumes could be one sequence, that sequence is left out.
        """
        candidates: dict[Any, dict[str, list[Any]]] = {}
        for node in nodes:
            name = self.sequence_of(node)
            if name is not None:
                candidates.setdefault(_patient(node), {}).setdefault(name, []).append(node)
        best: Mapping[str, list[Any]] = {}
        for found in candidates.values():
            if len(found) >= len(best):
                best = found
        return {s.name: best[s.name][0] for s in self._sequences if len(best.get(s.name, ())) == 1}

    def sequence_of(self, node: Any) -> str | None:
        """The one sequence a volume node seems to be, None where nothing or several fit."""
        if node is None or not node.IsA("vtkMRMLScalarVolumeNode") or node.IsA("vtkMRMLLabelMapVolumeNode"):
            return None
        if node.GetAttribute(RESULT_ATTRIBUTE) or node.IsA("vtkMRMLVectorVolumeNode"):
            return None
        for text in self._texts(node):
            words = text.replace("/", " ").replace("\\", " ")
            if set(naming.tokens(words)) & naming.NOT_AN_IMAGE:
                return None
            fits = naming.sequences_of(words, self._sequences)
            if len(fits) == 1:
                return self._enhanced(fits[0], words, node)
        return None

    def _enhanced(self, name: str, words: str, node: Any) -> str:
        """A name that says only "T1" of an image taken with a contrast agent is the enhanced one's, if there is such a sequence."""
        if not self._dicom.tag(node, self.CONTRAST_AGENT):
            return name
        fits = naming.sequences_of(f"{words} gd", self._sequences)
        return fits[0] if len(fits) == 1 else name

    def _texts(self, node: Any) -> Iterable[str]:
        yield node.GetName() or ""
        storage = node.GetStorageNode()
        if storage is not None and storage.GetFileName():
            yield naming.stem(Path(storage.GetFileName()))
        for tag in (self.DESCRIPTION, self.PROTOCOL):
            yield self._dicom.tag(node, tag)
        yield from _names_above(node)


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
