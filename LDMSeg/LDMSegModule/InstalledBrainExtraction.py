"""The brain as the extension HDBrainExtraction finds it, where the user has installed that."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from LDMSegLib.errors import InputError
from LDMSegModule.BrainMask import BrainMask
from LDMSegModule.VolumeGeometry import world_matrix

MODULE = "HDBrainExtractionTool"


class Extraction(Protocol):
    """What is used of that module's logic: its one public job."""

    def process(self, inputVolume: Any, outputVolume: Any, outputSegmentation: Any, device: Any = None) -> None: ...


def is_installed() -> bool:
    """Whether the extension is there; nothing of it is imported."""
    return importlib.util.find_spec(MODULE) is not None


def installed_logic() -> Extraction | None:
    """That module's logic; None where the extension is not installed."""
    if not is_installed():
        return None
    return getattr(importlib.import_module(MODULE), f"{MODULE}Logic")()


def weights_folder() -> Path | None:
    """Where its network lies once it has been fetched; None before its package was set up."""
    if importlib.util.find_spec("HD_BET") is None or importlib.util.find_spec("HD_BET.paths") is None:
        return None
    return Path(importlib.import_module("HD_BET.paths").folder_with_parameter_files)


class InstalledBrainExtraction:
    """Asks the installed module for the brain of one volume; the brain is a segmentation that the user can look at and correct.

    That module computes inside the Slicer process, which answers nothing meanwhile (5 to 10 minutes without a GPU), so whoever
    calls this asks the user before. It fetches its network when it is first used; that is left to its own panel, where the user
    is asked: here it counts as usable only once the network is on this computer.
    """

    def __init__(
        self,
        find: Callable[[], Extraction | None] = installed_logic,
        weights: Callable[[], Path | None] = weights_folder,
    ) -> None:
        self._find, self._weights = find, weights

    @property
    def problem(self) -> str:
        """Why it cannot be used, in one sentence; "" where it can."""
        try:
            logic, folder = self._find(), self._weights()
        except Exception as error:  # another extension's code: whatever it raises, the user is told what to do
            return (
                f"The extension HDBrainExtraction cannot be loaded ({type(error).__name__}: {error}): install it anew by the Extensions "
                "Manager, or let LDMSeg find the brain itself."
            )
        if logic is None:
            return (
                "The extension HDBrainExtraction is not installed: install it by the Extensions Manager, or let LDMSeg find the "
                "brain itself."
            )
        if folder is None or not folder.is_dir() or not any(path.is_file() for path in folder.rglob("*")):
            return (
                "The extension HDBrainExtraction has not fetched its network yet: run it once in its own module, HD Brain Extraction Tool, "
                "or let LDMSeg find the brain itself."
            )
        return ""

    def extract(self, volume: Any) -> Any:
        """Find the brain of a volume. Nothing else in the scene changes; when it fails, nothing at all.

        Args:
            volume: vtkMRMLScalarVolumeNode, T1-weighted best.

        Returns:
            A new vtkMRMLSegmentationNode named after the volume, shown where the volume is shown.

        Raises:
            InputError: It cannot be used, it failed, it found nothing, or the volume is under a transform that no matrix describes.
        """
        if problem := self.problem:
            raise InputError(problem[0].lower() + problem[1:].rstrip("."))
        name = volume.GetName()
        if world_matrix(volume) is None:
            raise InputError(
                f"the volume '{name}' is under a transform that no matrix describes, expected a linear one; harden it before its brain is "
                "extracted"
            )
        scene = volume.GetScene()
        title = scene.GenerateUniqueName(f"{name} brain")  # one that was made before stays
        segmentation, found = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", title), False
        try:
            # The module reads and writes files in the volume's own space: neither it nor the segments know of a parent transform.
            self._extract(volume, segmentation)
            found = bool(BrainMask.of(segmentation).array.any())
        finally:
            if not found:
                scene.RemoveNode(segmentation)
        if not found:
            raise InputError(
                f"HDBrainExtraction found no brain in '{name}', expected a head; check the volume or extract the brain otherwise"
            )
        segmentation.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)  # the Segment Editor goes on on the volume's grid
        segmentation.CreateDefaultDisplayNodes()
        return segmentation

    def _extract(self, volume: Any, segmentation: Any) -> None:
        try:
            self._find().process(volume, None, segmentation)
        except Exception as error:  # another extension's code: whatever it raises, the user is told what to do
            raise InputError(
                f"HDBrainExtraction failed on '{volume.GetName()}' ({type(error).__name__}: {error}), expected a mask; run it in its own "
                "module to see why, or let LDMSeg find the brain itself"
            ) from error
