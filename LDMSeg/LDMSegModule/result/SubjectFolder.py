"""A folder of the subject hierarchy for the nodes of one result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import slicer


@dataclass(frozen=True, eq=False)
class SubjectFolder:
    """A vtkMRMLSubjectHierarchyNode and the ID of a folder's item in it."""

    hierarchy: Any
    item: int

    @classmethod
    def new(cls, scene: Any, name: str) -> SubjectFolder:
        """Make a folder at the top of the scene's hierarchy."""
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        return cls(hierarchy, hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), name))

    @classmethod
    def of(cls, node: Any) -> SubjectFolder:
        """Return the folder that a node of the scene lies in."""
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
        return cls(hierarchy, hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)))

    @property
    def name(self) -> str:
        """The folder's name as it is now."""
        return self.hierarchy.GetItemName(self.item)

    def put(self, nodes: Iterable[Any]) -> None:
        """Put nodes into the folder."""
        for node in nodes:
            # the application has made an item for each node already; without one (no Qt plug-ins) it is made here
            item = self.hierarchy.GetItemByDataNode(node)
            if item:
                self.hierarchy.SetItemParent(item, self.item)
            else:
                self.hierarchy.CreateItem(self.item, node)
