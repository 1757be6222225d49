"""Settings of the panel, kept in a parameter node and saved with the scene."""

from __future__ import annotations

import enum
from typing import Annotated, Union

from slicer import vtkMRMLLabelMapVolumeNode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper


class Prepare(enum.Enum):
    """Whether raw scans are registered and stripped of the skull first; the values are those of `ldmseg segment --prepare`."""

    AUTOMATIC = "automatic"
    ALWAYS = "always"
    NEVER = "never"

    def label(self) -> str:
        return {
            Prepare.AUTOMATIC: _("prepare what needs it"),
            Prepare.ALWAYS: _("prepare always"),
            Prepare.NEVER: _("never prepare"),
        }[self]


class BrainExtraction(enum.Enum):
    """The network that finds the brain in scans with a skull; the values are those of `ldmseg segment --brain-extraction`."""

    DEEPBET = "deepbet"
    HD_BET = "hd-bet"

    def label(self) -> str:
        return {BrainExtraction.DEEPBET: _("deepbet (light)"), BrainExtraction.HD_BET: _("hd-bet (stronger, slower)")}[self]


class Map(enum.Enum):
    """What lies over the images in review; the values are those of `Overlay`."""

    PROBABILITY = "probability"
    VARIANCE = "variance"
    NONE = "none"

    def label(self) -> str:
        return {Map.PROBABILITY: _("probability"), Map.VARIANCE: _("variance"), Map.NONE: _("none")}[self]


@parameterNodeWrapper
class Parameters:
    """The names are those of the SlicerParameterName properties in LDMSeg.ui, where a widget of its own shows them.

    0 members or steps and an empty bundle or mode leave the choice to the bundle.
    """

    t1n: vtkMRMLScalarVolumeNode
    t1c: vtkMRMLScalarVolumeNode
    t2w: vtkMRMLScalarVolumeNode
    t2f: vtkMRMLScalarVolumeNode
    prepare: Prepare = Prepare.AUTOMATIC
    brainExtraction: BrainExtraction = BrainExtraction.DEEPBET
    # as the wrapper knows it: not by |, and with the None
    brainMask: Union[vtkMRMLSegmentationNode, vtkMRMLLabelMapVolumeNode, None]  # noqa: UP007

    bundle: str = ""
    mode: str = ""
    members: Annotated[int, WithinRange(0, 200)] = 0
    steps: Annotated[int, WithinRange(0, 1000)] = 0
    seed: Annotated[int, WithinRange(0, 999999)] = 0
    device: str = "auto"
    batchSize: Annotated[int, WithinRange(1, 64)] = 8
    threshold: Annotated[float, WithinRange(0.05, 0.95)] = 0.5

    result: vtkMRMLSegmentationNode
    map: Map = Map.PROBABILITY
    mapRegion: str = ""
    mapOpacity: Annotated[float, WithinRange(0.0, 1.0)] = 0.6
    mapThreshold: Annotated[float, WithinRange(0.0, 1.0)] = 0.1

    masks: Annotated[int, WithinRange(1, 200)] = 4
    masksSeed: Annotated[int, WithinRange(0, 999999)] = 0
    masksMinimum: Annotated[float, WithinRange(0.0, 500.0)] = 1.0
    masksAnyShape: bool = False
    masksLike: vtkMRMLScalarVolumeNode
    # where the masks are saved is not kept: a scene that is passed on would tell the paths of this computer


SEQUENCES = ("t1n", "t1c", "t2w", "t2f")
"""The inputs that have a selector in the panel."""
