"""Co-registered images of one patient: each keeps its grid and a transform, and is resampled once, from its file's grid to another."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from LDMSegLib.errors import InputError
from LDMSegLib.preprocessing.case import NativeSpace
from LDMSegLib.spatial.resampling import resample_inside, resample_mask, resample_to
from LDMSegLib.spatial.volume import Volume


class CoregisteredSeries:
    """`volumes` by sequence; `onto` takes each one's world (RAS mm) to the world of the `reference`."""

    def __init__(self, volumes: Mapping[str, Volume], reference: str) -> None:
        self.volumes, self.reference, self.fixed = volumes, reference, volumes[reference]
        self.onto = {name: np.eye(4) for name in volumes}
        self._on_reference = {reference: self.fixed.array}

    def on_reference(self, name: str) -> np.ndarray:
        """A sequence on the reference's grid, once computed: its move must be known by then."""
        if name not in self._on_reference:
            self._on_reference[name] = self._on(self.fixed, self.onto[name], self.volumes[name])
        return self._on_reference[name]

    def inside(self, brain: np.ndarray, grid: np.ndarray, to_space: np.ndarray, backgrounds: Mapping[str, float]) -> dict[str, Volume]:
        """Every sequence on a grid in another space, with 0 outside the brain.

        Args:
            brain: (X, Y, Z) bool on that grid.
            grid: 4×4 voxel→world RAS mm of that grid.
            to_space: 4×4, from the reference's world to that space.
            backgrounds: what each sequence's file holds where there is nothing.
        """

        def one(name: str) -> Volume:
            volume = self.volumes[name]
            matrix = to_space @ self.onto[name] @ volume.affine
            return Volume(resample_inside(volume.array - np.float32(backgrounds[name]), matrix, grid, brain), grid, volume.path)

        with ThreadPoolExecutor(max_workers=2) as pool:
            return dict(zip(self.volumes, pool.map(one, self.volumes), strict=True))

    def native_space(self, name: str, brain: np.ndarray, to_space: np.ndarray) -> NativeSpace:
        """The native grid of one sequence, with every image resampled onto it for the report.

        Args:
            name: of the sequence.
            brain: (X, Y, Z) bool on the reference's grid.
            to_space: 4×4, from the reference's world to where the case is prepared.

        Raises:
            InputError: there is no such sequence.
        """
        if name not in self.volumes:
            raise InputError(f"the result is wanted on {name}, which is not there; choose one of {', '.join(self.volumes)}")
        target = self.volumes[name]
        if name == self.reference:
            return NativeSpace(name, target, to_space, brain, {other: self.on_reference(other) for other in self.volumes})
        back = np.linalg.inv(self.onto[name])
        images = {
            other: volume.array if other == name else self._on(target, back @ self.onto[other], volume)
            for other, volume in self.volumes.items()
        }
        there = resample_mask(brain, back @ self.fixed.affine, target.affine, target.shape)
        return NativeSpace(name, target, to_space @ self.onto[name], there, images)

    @staticmethod
    def _on(target: Volume, matrix: np.ndarray, volume: Volume) -> np.ndarray:
        return resample_to(volume.array, matrix @ volume.affine, target.affine, target.shape)
