"""A patient's sequences on one grid, and the native grid on which the result belongs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from LDMSegLib.errors import InputError
from LDMSegLib.preprocessing.mirrored import turned_axis
from LDMSegLib.sequences.identified import Identified
from LDMSegLib.spatial import grids
from LDMSegLib.spatial.volume import Volume


@dataclass(frozen=True, eq=False)
class NativeSpace:
    """Where the result of a prepared case belongs: the native grid of one of its sequences.

    `volume` is that sequence as it was read; `matrix` takes its world to the case's (RAS mm, rigid); `inside` (bool) is the
    brain and `images` are all sequences, both on its grid.
    """

    sequence: str
    volume: Volume
    matrix: np.ndarray
    inside: np.ndarray
    images: Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Case:
    """A patient: every present sequence on the grid of the reference one, in the specification's order.

    `volumes` all have the reference's shape and affine; each keeps its own file's path and header, so the header of
    `volumes[reference]` is the one to write results with. `missing` names the sequences that are not there. A case that was
    prepared from raw scans, or whose result is wanted on another sequence, has a `native_space`: there, and not on its own grid, the result
    belongs. `bias_corrected` are the same images after bias field correction, or empty where none was done (see
    `preprocessing.bias_field`). `identified` says which image became which sequence and why.
    """

    id: str
    volumes: Mapping[str, Volume]
    reference: str
    warnings: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    native_space: NativeSpace | None = None
    bias_corrected: Mapping[str, Volume] = field(default_factory=dict)
    identified: Identified = Identified()

    @property
    def grid(self) -> Volume:
        """The reference's volume: all sequences have its shape and affine."""
        return self.volumes[self.reference]

    @property
    def target(self) -> Volume:
        """The volume whose shape, affine and header results have."""
        return self.native_space.volume if self.native_space else self.grid

    @property
    def target_affine(self) -> np.ndarray:
        """Voxels of the target to the case's own world, RAS mm."""
        return self.native_space.matrix @ self.native_space.volume.affine if self.native_space else self.grid.affine

    def target_inside(self) -> np.ndarray:
        """(X, Y, Z) bool on the target: where the brain is, and so where a result may be."""
        return self.native_space.inside if self.native_space else self.foreground()

    def target_image(self, name: str) -> np.ndarray:
        """(X, Y, Z) of one sequence on the target, to be shown under the result."""
        return self.native_space.images[name] if self.native_space else self.volumes[name].array

    def foreground(self) -> np.ndarray:
        """(X, Y, Z) bool: voxels that are not 0 in some sequence."""
        return np.logical_or.reduce([volume.array != 0 for volume in self.volumes.values()])


def no_overlap(name: str, volume: Volume, reference: str, target: Volume) -> InputError:
    """What to raise where the headers put two images in different places altogether."""
    how = grids.difference(volume.affine, volume.shape, target.affine, target.shape)
    way = turned_axis(volume, target)
    if way:
        return InputError(
            f"the header of {volume.path or name} ({name}) seems mirrored {way}: with that axis turned round the image would lie on "
            f"{target.path or reference} ({reference}), as it is the two do not overlap ({how}); correct the header, or export or convert "
            "the image again"
        )
    return InputError(
        f"{volume.path or name} ({name}) does not overlap {target.path or reference} ({reference}) in space ({how}), expected images of "
        "one patient in one position; check that they belong together and register them"
    )
