"""A case that the networks can take, and where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from LDMSegLib.io.dicom_source import DicomSource
from LDMSegLib.preprocessing.case import Case
from LDMSegLib.preprocessing.prepared import Prepared


@dataclass(frozen=True, eq=False)
class LoadedCase:
    """A case, what was done to it if it was raw, and what provenance.json says of how it was loaded.

    Attributes:
        case: Ready for the networks.
        prepared: The preparation of raw scans, if there was one.
        sources: The DICOM series that the sequences came from, if any.
        inputs: One mapping per image that was read, see `io.input_record`; None = those of the case's files, described when needed.
        requested: What was asked for raw scans, see `loading.requested_preparation`.
        seconds: What loading took, by stage.
    """

    case: Case
    prepared: Prepared | None = None
    sources: Mapping[str, DicomSource] = field(default_factory=dict)
    inputs: tuple[Mapping[str, Any], ...] | None = None
    requested: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
