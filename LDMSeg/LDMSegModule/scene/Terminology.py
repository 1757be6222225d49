"""Coded terminology of the segments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import vtk

from LDMSegLib.specification import Label, Region

FILE = Path(__file__).resolve().parents[2] / "Resources" / "Terminology" / "LDMSeg.term.json"

_ANATOMY = ("Anatomic codes - DICOM master list", ("SCT", "12738006", "Brain"))
_NOTHING = ("", "", "")


class Terminology:
    """The terminology of Resources/Terminology/LDMSeg.term.json, by the names of labels and regions.

    What the file does not know (another bundle's label) is coded as the bundle's metadata says; without that it is a tissue.
    """

    def __init__(self, file: Path = FILE) -> None:
        self.file = file
        content = json.loads(file.read_text(encoding="utf-8"))
        self.context: str = content["SegmentationCategoryTypeContextName"]
        self._entries: dict[str, tuple[tuple[str, str, str], tuple[str, str, str]]] = {}
        for category in content["SegmentationCodes"]["Category"]:
            for entry in category["Type"]:
                self._entries[entry["3dSlicerLabel"]] = (_code(category), _code(entry))

    def tag(self, what: Label | Region) -> str:
        """The value of a segment's terminology tag, as Slicer serialises it: context, category, type, modifier, anatomy."""
        if what.name in self._entries:
            category, kind = self._entries[what.name]
        elif {"scheme", "code", "meaning"} <= set(what.terminology):
            category = ("SCT", "49755003", "Morphologically Abnormal Structure")
            kind = tuple(what.terminology[key] for key in ("scheme", "code", "meaning"))
        else:
            category = kind = ("SCT", "85756007", "Tissue")
        anatomy, region = _ANATOMY
        return "~".join(
            (self.context, *("^".join(code) for code in (category, kind, _NOTHING)), anatomy, *("^".join(c) for c in (region, _NOTHING)))
        )

    def register(self, logic: Any) -> bool:
        """Make the file known to Slicer, so that its entries can be chosen in the Segment Editor. Does nothing the second time.

        Args:
            logic: vtkSlicerTerminologiesModuleLogic.

        Returns:
            Whether it is known now.
        """
        known = vtk.vtkStringArray()
        logic.GetLoadedTerminologyNames(known)
        if self.context in [known.GetValue(k) for k in range(known.GetNumberOfValues())]:
            return True
        return logic.LoadTerminologyFromFile(str(self.file)) == self.context


def _code(entry: Mapping[str, str]) -> tuple[str, str, str]:
    return entry["CodingSchemeDesignator"], entry["CodeValue"], entry["CodeMeaning"]
