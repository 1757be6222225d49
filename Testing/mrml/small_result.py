"""A small made-up result: nested soft balls in an oblique, anisotropic volume, written by the library's own writer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from LDMSegLib.postprocessing.regions import label_map
from LDMSegLib.postprocessing.uncertainty import find_uncertain_regions
from LDMSegLib.postprocessing.volumes import measure
from LDMSegLib.results.segmentation import Segmentation
from LDMSegLib.results.write import write_segmentation
from LDMSegLib.specification import Specification

SHAPE = (40, 36, 30)


def oblique(spacing: tuple[float, float, float], degrees: tuple[float, float, float], origin: tuple[float, float, float]) -> np.ndarray:
    """A (4, 4) affine turned about the three axes."""
    a, b, c = np.radians(degrees)
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = z @ y @ x * spacing
    affine[:3, 3] = origin
    return affine


AFFINE = oblique((-2.0, -2.2, 2.5), (6, -4, 9), (40.0, 38.0, -36.0))


MATRICES = {
    "t1n_to_t1c": oblique((1, 1, 1), (4, -7, 11), (12.0, -5.5, 8.25)),
    "t1c_to_SRI24": oblique((1, 1, 1), (-15, 3, 2), (-3.0, 22.0, 40.5)),
}
"""Between worlds, RAS in mm: as raw scans are moved."""


def distances() -> np.ndarray:
    """mm of each voxel from the tumour's middle."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij"), axis=-1)
    world = index @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    middle = AFFINE[:3, :3] @ np.array([22, 16, 15]) + AFFINE[:3, 3]
    return np.linalg.norm(world - middle, axis=-1)


def probabilities(specification: Specification) -> np.ndarray:
    """(R, X, Y, Z): the more labels a region has, the larger its ball; the rims are soft."""
    far = distances()
    radii = {1: 9.0, 2: 13.0, 3: 20.0}
    soft = [1 / (1 + np.exp((far - radii[len(region.labels)]) / 1.5)) for region in specification.regions]
    # a middle without enhancement, so that all three labels are there
    index = [len(region.labels) for region in specification.regions].index(1)
    soft[index] = np.clip(soft[index] - 1 / (1 + np.exp((far - 4.0) / 1.0)), 0, 1)
    return np.stack(soft).astype(np.float32)


def image() -> np.ndarray:
    """(X, Y, Z) float32: a ball of brain with the tumour brighter, exactly 0 around it."""
    far = distances()
    noise = np.random.default_rng(0).normal(0, 8, SHAPE)
    brain = np.linalg.norm((np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))), axis=0) < 0.95
    return np.where(brain, 300 + 250 * np.exp(-((far / 14) ** 2)) + noise, 0).astype(np.float32)


def write_small_result(folder: Path, specification: Specification, affine: np.ndarray = AFFINE, **provenance) -> Path:
    """Write it; further keywords go into its provenance."""
    p = probabilities(specification)
    labels = label_map(p, specification.labels, specification.regions, specification.threshold)
    masks = np.stack([np.isin(labels, [specification.label(n).value for n in region.labels]) for region in specification.regions])
    members = np.array([[mask.sum() * 0.011 * f for mask in masks] for f in (0.9, 1.0, 1.1)])
    record = {
        "generator": "LDMSeg",
        "intended_use": "Research use only — not a medical device; not for diagnosis or treatment.",
        "bundle": {"name": specification.name, "version": "0.1.0", "weights_sha256": "0" * 64},
        "sampling": {"seed": 7, "mode": "solver", "members_requested": 3, "members_finished": 3, "threshold": specification.threshold},
        "synthetic_input": False,
        "case": "Müller; 50 % <T1> & 'x'=\"y\"",
        **provenance,
    }
    segmentation = Segmentation(
        probabilities=p,
        variance=(p * (1 - p) * 0.6).astype(np.float32),
        label_map=labels,
        affine=affine,
        labels=specification.labels,
        regions=specification.regions,
        threshold=specification.threshold,
        members_finished=int(record["sampling"]["members_finished"]),
        members_requested=int(record["sampling"]["members_requested"]),
        volumes=measure(masks, p, specification.regions, affine, members),
        uncertain_regions=find_uncertain_regions(p, specification.regions, affine),
        warnings=("a warning; with = signs: and %",),
        provenance=record,
    )
    write_segmentation(folder, segmentation)
    return folder


def write_prepared_result(folder: Path, specification: Specification) -> Path:
    """The same as if it had been made of raw scans, with the picture of their preparation (here: any picture)."""
    moved = "moved by 15.6 mm, turned by 13.5°; fits 4.1 times as well as 8 mm away, expected at least 2.1"
    steps = ["Brain, by deepbet: 1.42 litres", f"t1n onto t1c: {moved}"]
    record = {"steps": steps, "matrices_ras_mm": {name: matrix.tolist() for name, matrix in MATRICES.items()}}
    write_small_result(folder, specification, preparation=record)
    (folder / "preparation.png").write_bytes((Path(__file__).parents[2] / "LDMSeg.png").read_bytes())
    return folder
