"""The brain mask of the extension HDBrainExtraction, where the user has installed it."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from LDMSegLib.errors import InputError
from LDMSegLib.specification import Label
from LDMSegModule.NiftiFile import NiftiFile
from LDMSegModule.SegmentLabels import SegmentLabels
from LDMSegModule.VolumeGeometry import VolumeGeometry

MODULE = "HDBrainExtractionTool"


class Extraction(Protocol):
    """What is used of that module's logic: its one public job."""

    def process(self, inputVolume: Any, outputVolume: Any, outputSegmentation: Any, device: Any = None) -> None: ...


def installed_logic() -> Extraction | None:
    """That module's logic; None where the extension is not installed."""
    if importlib.util.find_spec(MODULE) is None:
        return None
    return getattr(importlib.import_module(MODULE), f"{MODULE}Logic")()


def weights_folder() -> Path | None:
    """Where its network lies once it has been fetched; None before its package was set up."""
    if importlib.util.find_spec("HD_BET") is None:
        return None
    return Path(importlib.import_module("HD_BET.paths").folder_with_parameter_files)


class InstalledBrainExtraction:
    """Asks the installed module for the brain of one volume and writes it as a mask for `ldmseg segment --brain-mask`.

    That module computes inside the Slicer process, which answers nothing meanwhile (5 to 10 minutes without a GPU), so the panel
    says so before. It fetches its network when it is first used; that is left to its own panel, where the user is asked:
    here it counts as usable only once the network is on this computer.
    """

    def __init__(
        self,
        scene: Any,
        find: Callable[[], Extraction | None] = installed_logic,
        weights: Callable[[], Path | None] = weights_folder,
    ) -> None:
        self._scene, self._find, self._weights = scene, find, weights

    @property
    def problem(self) -> str:
        """Why it cannot be used, in one sentence; "" where it can."""
        if self._find() is None:
            return (
                "The extension HDBrainExtraction is not installed: install it by the Extensions Manager, or let LDMSeg find the "
                "brain itself."
            )
        folder = self._weights()
        if folder is None or not folder.is_dir() or not any(path.is_file() for path in folder.rglob("*")):
            return (
                "The extension HDBrainExtraction has not fetched its network yet: run it once in its own module, HD Brain Extraction Tool, "
                "or let LDMSeg find the brain itself."
            )
        return ""

    def write_mask(self, volume: Any, file: str | Path) -> Path:
        """Find the brain of a volume and write it, on the volume's grid and in world space; the scene stays as it is.

        Args:
            volume: vtkMRMLScalarVolumeNode, T1-weighted best.
            file: the NIfTI file to write.

        Returns:
            The file.

        Raises:
            InputError: It cannot be used, it failed, it found nothing, or the volume is under a transform that no matrix describes.
            OutputError: The file cannot be written.
        """
        if problem := self.problem:
            raise InputError(problem[0].lower() + problem[1:].rstrip("."))
        name, geometry = volume.GetName(), VolumeGeometry.of(volume)
        if geometry.world is None:
            raise InputError(
                f"the volume '{name}' is under a transform that no matrix describes, expected a linear one; harden it before its brain is "
                "extracted"
            )
        segmentation = self._scene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{name} brain")
        try:
            # The module reads and writes files in the volume's own space: neither it nor the segments know of a parent transform.
            self._extract(volume, segmentation)
            mask = _mask(segmentation, volume)
        finally:
            self._scene.RemoveNode(segmentation)
        if not mask.any():
            raise InputError(
                f"HDBrainExtraction found no brain in '{name}', expected a head; check the volume or extract the brain otherwise"
            )
        NiftiFile(mask, geometry.world).write(file)
        return Path(file)

    def _extract(self, volume: Any, segmentation: Any) -> None:
        try:
            self._find().process(volume, None, segmentation)
        except Exception as error:  # another extension's code: whatever it raises, the user is told what to do
            raise InputError(
                f"HDBrainExtraction failed on '{volume.GetName()}' ({type(error).__name__}: {error}), expected a mask; run it in its own "
                "module to see why, or let LDMSeg find the brain itself"
            ) from error


def _mask(segmentation: Any, volume: Any) -> np.ndarray:
    """(Z, Y, X) uint8 on the volume's grid: the first segment; empty where there is none."""
    segments = segmentation.GetSegmentation()
    labels = [Label(segments.GetNthSegmentID(0), 1, "Brain", (255, 255, 255))] if segments.GetNumberOfSegments() else []
    return SegmentLabels(segmentation, volume, labels).read()
