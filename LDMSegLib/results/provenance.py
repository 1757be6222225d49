"""How a result came about, as one dictionary that JSON can hold: enough to tell it apart and to make it again."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import LDMSegLib
from LDMSegLib import GENERATOR
from LDMSegLib.io.hashing import file_sha256
from LDMSegLib.io.printable import printable

FORMAT = 1
RESEARCH_USE = "Research use only — not a medical device; not for diagnosis or treatment."
PACKAGES = ("torch", "monai", "numpy", "scipy", "nibabel", "safetensors", "matplotlib")


def build_provenance(
    *,
    bundle: Mapping[str, Any],
    inputs: Iterable[Mapping[str, Any]],
    geometry: Mapping[str, Any],
    seed: int,
    mode: str,
    sampler: str,
    steps: int,
    members_requested: int,
    members_finished: int,
    threshold: float,
    device: Mapping[str, Any],
    threads: int,
    views: int = 1,
    views_requested: int | None = None,
    members_by_view: Iterable[Mapping[str, Any]] = (),
    direct: float = 0.0,
    attenuation: float = 1.0,
    timings: Mapping[str, float],
    warnings: Iterable[str] = (),
    software: Mapping[str, str] | None = None,
    synthetic: bool = False,
    finished_at: datetime | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Put together the content of provenance.json.

    Args:
        bundle: Name, version, weights and their SHA-256, e.g. {"name": ..., "version": ..., "sha256": {file: hash}}.
        inputs: One mapping per sequence, see `describe_input`.
        geometry: Shape, spacing in mm and affine (voxel to world RAS in mm) of the result's grid.
        seed, mode, sampler, steps, members_requested, members_finished, threshold: What was sampled and how.
        device: E.g. {"kind": "cuda", "name": ..., "precision": "bfloat16"}.
        threads: CPU threads used.
        views: In how many ways the finished members looked at the images.
        views_requested: In how many ways all members would have; as `views` by default.
        members_by_view: How each of those views was and how many finished members it has.
        direct: Share of each member that is the conditioning network's own answer.
        attenuation: How far members of a view agree on that answer, 1 = wholly.
        timings: Seconds by stage.
        warnings: Sentences the user was told.
        software: Versions, `software_versions()` by default.
        synthetic: The input is not a patient.
        finished_at: Now by default; written in UTC.
        **more: Further plain values, kept under their names.

    Returns:
        A dictionary of plain values.
    """
    finished_at = finished_at or datetime.now(UTC)
    return {
        "generator": GENERATOR,
        "format": FORMAT,
        "intended_use": RESEARCH_USE,
        "finished_at": finished_at.astimezone(UTC).isoformat(timespec="seconds"),
        "synthetic_input": bool(synthetic),
        "partial": members_finished < members_requested,
        "bundle": plain(bundle),
        "sampling": {
            "seed": int(seed),
            "mode": mode,
            "sampler": sampler,
            "steps": int(steps),
            "views": int(views),
            "views_requested": int(views if views_requested is None else views_requested),
            "members_by_view": plain(list(members_by_view)),
            "direct": float(direct),
            "attenuation": float(attenuation),
            "members_requested": int(members_requested),
            "members_finished": int(members_finished),
            "threshold": plain(threshold),
        },
        "inputs": [plain(item) for item in inputs],
        "geometry": plain(geometry),
        "device": {**plain(device), "threads": int(threads)},
        "software": plain(software if software is not None else software_versions()),
        "timings_s": {name: round(float(seconds), 3) for name, seconds in timings.items()},
        "warnings": [str(sentence) for sentence in warnings],
        **plain(more),
    }


def describe_input(sequence: str, path: str | Path, named: bool = True) -> dict[str, Any]:
    """Describe a file that was read.

    Which sequence, its name without the folders above it, size in bytes and SHA-256; without even the name unless `named`.
    """
    path = Path(path)
    name = {"file": path.name} if named else {}
    return {"sequence": sequence, **name, "bytes": path.stat().st_size, "sha256": file_sha256(path)}


def describe_geometry(shape: Iterable[int], affine: Any) -> dict[str, Any]:
    """Shape, spacing in mm and affine (voxel to world RAS in mm) of a grid."""
    rows = [[float(x) for x in row] for row in affine]
    spacing = [sum(rows[i][j] ** 2 for i in range(3)) ** 0.5 for j in range(3)]
    return {"shape": [int(n) for n in shape], "spacing_mm": [round(s, 6) for s in spacing], "affine_ras_mm": rows}


def software_versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Versions of LDMSeg, Python, the system and the packages that are installed; imports none of them."""
    versions = {GENERATOR: LDMSegLib.__version__, "python": platform.python_version(), "system": platform.platform()}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def to_json(record: Mapping[str, Any]) -> str:
    """The text of provenance.json; names of files in it are printable, see `printable`. Raises TypeError as `plain`."""
    text = json.dumps(plain(record), indent=2, ensure_ascii=False, allow_nan=False)
    return "\n".join(printable(line) for line in text.split("\n")) + "\n"


def plain(value: Any) -> Any:
    """The same value made of dict, list, str, int, float, bool and None; numbers that JSON has no word for become None.

    Raises:
        TypeError: Something that is not a plain value.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # numpy arrays and scalars
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float):
        return value if value - value == 0 else None
    if value is None or isinstance(value, (str, int, bool)):
        return value
    raise TypeError(f"{type(value).__name__} cannot go into provenance.json, expected a plain value")
