"""What the figures about raw scans share: preparing with its cost, and carrying points and masks from one world to another."""

from __future__ import annotations

import hashlib
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from LDMSegLib.preprocessing import (
    bias_field,
    brain_mask,
    coregistered,
    pipeline,
    plan,
    registration,
    registration_quality,
    similarity,
    skull_strip,
)
from LDMSegLib.preprocessing.pipeline import preprocess_case
from LDMSegLib.preprocessing.plan import PreparationOptions
from LDMSegLib.preprocessing.prepared import Prepared
from LDMSegLib.spatial import atlas, foreground, grids, resampling
from LDMSegLib.spatial.atlas import find_space
from LDMSegLib.spatial.boxes import bounding_box
from LDMSegLib.spatial.resampling import resample_to
from LDMSegLib.spatial.volume import Volume
from LDMSegLib.specification import Specification

APART_MM = 10.0


def code(*more: ModuleType) -> str:
    """A fingerprint of the code that is judged: figures of another version are not taken for this one's."""
    modules = (
        similarity,
        skull_strip,
        brain_mask,
        registration_quality,
        grids,
        resampling,
        plan,
        pipeline,
        registration,
        bias_field,
        atlas,
        coregistered,
        *more,
    )
    return hashlib.sha256(b"".join(Path(module.__file__).read_bytes() for module in modules)).hexdigest()[:12]


def prepared_with_cost(id: str, volumes: Mapping[str, Volume], spec: Specification) -> tuple[Prepared, dict[str, Any]]:
    """Prepare raw volumes as `ldmseg segment` would by itself; with seconds, processor seconds, memory and warnings."""
    wall, cpu = time.monotonic(), time.process_time()
    findings = {name: foreground.inspect(volume) for name, volume in volumes.items()}
    todo = plan.plan(volumes, findings, spec.reference, PreparationOptions())
    done = preprocess_case(id, volumes, findings, spec.reference, find_space(spec.grid.space), todo, PreparationOptions())
    unit = 1 if sys.platform == "darwin" else 1024
    return done, {
        "seconds": dict(done.record["seconds"]),
        "wall_s": time.monotonic() - wall,
        "cpu_s": time.process_time() - cpu,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30,
        "warnings": list(done.case.warnings),
    }


def points_of(volume: Volume) -> np.ndarray:
    """World points (n, 3) of the brain of a stripped volume, on a lattice 10 mm apart."""
    steps = [max(1, round(APART_MM / s)) for s in volume.spacing]
    index = np.argwhere(volume.array[tuple(slice(s // 2, None, s) for s in steps)] > 0) * steps + np.array(steps) // 2
    return at(volume.affine, index)


def distances(matrix: np.ndarray, other: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(n,) mm between where two transforms take each point."""
    return np.linalg.norm(at(matrix, points) - at(other, points), axis=1)


def at(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (n, 3) carried by a 4×4 matrix."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def onto(masks: np.ndarray, affine: np.ndarray, target: Volume) -> np.ndarray:
    """Masks (R, X, Y, Z) on another grid: what a target voxel is mostly. Only where the masks lie anything is computed."""
    found = np.zeros((len(masks), *target.shape), bool)
    if not masks.any():
        return found
    box = bounding_box(masks.any(axis=0), 1)
    ends = np.array(np.meshgrid(*[(part.start, part.stop - 1) for part in box], indexing="ij")).reshape(3, -1).T
    reached = at(np.linalg.inv(target.affine) @ affine, ends)
    low = np.clip(np.floor(reached.min(axis=0)).astype(int) - 1, 0, np.array(target.shape) - 1)
    high = np.clip(np.ceil(reached.max(axis=0)).astype(int) + 2, 1, np.array(target.shape))
    corner, start = target.affine.copy(), affine.copy()
    corner[:3, 3] = at(target.affine, low[None])[0]
    start[:3, 3] = at(affine, np.array([[part.start for part in box]]))[0]
    there = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    for mask, out in zip(masks, found, strict=True):
        out[there] = resample_to(mask[box].astype(np.float32), start, corner, tuple(high - low), smooth=False) >= 0.5
    return found
