"""The extension HDBrainExtraction as far as LDMSeg uses it, on disk as it is installed; its network is a threshold."""

from __future__ import annotations

from pathlib import Path

MODULE = '''
import pathlib

import numpy as np
import slicer


class HDBrainExtractionToolLogic:
    """Gives its segment by way of a file in the volume's own space, as the real one does."""

    def process(self, inputVolume, outputVolume, outputSegmentation, device=None):
        folder = pathlib.Path(__file__).parent
        assert outputVolume is None and outputSegmentation.GetScene() is slicer.mrmlScene
        (folder / "computed").open("a").write("once ")
        if (folder / "fails").exists():
            raise RuntimeError("CUDA out of memory")
        mask = slicer.mrmlScene.CreateNodeByClass("vtkMRMLLabelMapVolumeNode")
        mask.UnRegister(None)
        mask.CopyOrientation(inputVolume)
        slicer.util.updateVolumeFromArray(mask, (slicer.util.arrayFromVolume(inputVolume) > 100).astype(np.uint8))
        storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
        storage.SetFileName(str(folder / "hdbet-output_mask.nii.gz"))
        assert storage.WriteData(mask)
        reader = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentationStorageNode")
        reader.UnRegister(None)
        reader.SetFileName(str(folder / "hdbet-output_mask.nii.gz"))
        assert reader.ReadData(outputSegmentation)
        outputSegmentation.GetSegmentation().GetNthSegment(0).SetName("brain")
'''


def install_extension(folder: Path, fetched: bool = True) -> None:
    """Put it into a folder, which is to be on the path; with `fetched` its network's files are there."""
    package = folder / "HD_BET"
    package.mkdir(parents=True)
    weights = folder / "hd-bet_params"
    (folder / "HDBrainExtractionTool.py").write_text(MODULE, encoding="utf-8")
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "paths.py").write_text(f"folder_with_parameter_files = {str(weights)!r}\n", encoding="utf-8")
    weights.mkdir()
    if fetched:
        (weights / "0.model").write_bytes(b"weights")
