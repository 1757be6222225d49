"""New tumour masks in memory: drawn, kept compressed, with their provenance, and saved when they are wanted."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch

from LDMSegLib.events import Cancellation, Reporter, Silent
from LDMSegLib.io.atomic_folder import result_folder
from LDMSegLib.io.input_record import describe_input
from LDMSegLib.models.model import Model
from LDMSegLib.results.provenance import build_provenance, describe_geometry
from LDMSegLib.specification import Specification
from LDMSegLib.synthesis.acceptance import Mask, SynthesisRequest
from LDMSegLib.synthesis.canvas import Canvas
from LDMSegLib.synthesis.mask_folder import MaskFolder, mask_row
from LDMSegLib.synthesis.synthesize import SynthesisStatistics
from LDMSegLib.synthesis.synthesize import synthesize as sample_masks


class SyntheticMasks(Sequence[Mask]):
    """Masks of nobody's tumour, on one grid: a sequence of `Mask`, whose labels are decompressed when they are asked for.

    Attributes:
        affine: (4, 4), voxel→world RAS in mm.
        statistics: How many were drawn, kept, and not kept for which reason.
        warnings: Sentences that the user should read.
        provenance: What provenance.json says.
    """

    def __init__(
        self,
        masks: Sequence[tuple[Mask, bytes]],
        canvas: Canvas,
        specification: Specification,
        statistics: SynthesisStatistics,
        warnings: tuple[str, ...],
        provenance: dict[str, Any],
    ) -> None:
        """Args: masks without labels and these compressed; where they were drawn; the bundle's specification; and see above."""
        self._masks, self._canvas, self._specification = masks, canvas, specification
        self.affine, self.statistics, self.warnings, self.provenance = canvas.affine, statistics, warnings, provenance

    def __len__(self) -> int:
        return len(self._masks)

    @overload
    def __getitem__(self, index: int) -> Mask: ...
    @overload
    def __getitem__(self, index: slice) -> list[Mask]: ...
    def __getitem__(self, index: int | slice) -> Mask | list[Mask]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        mask, content = self._masks[index]
        return replace(mask, labels=np.frombuffer(zlib.decompress(content), np.uint8).reshape(self._canvas.shape))

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The table volumes.csv: each mask's file, its member, and its regions' volumes in mL."""
        return [mask_row(mask.number, mask.member, mask.volumes_ml) for mask, _ in self._masks]

    def save(
        self, folder: str | os.PathLike[str], overwrite: bool = False, *, convention: str | None = None, reporter: Reporter | None = None
    ) -> dict[str, Path]:
        """Write the files that `ldmseg synthesize` writes; the folder appears complete or not at all.

        Args:
            folder: Where; made if it is not there.
            overwrite: Whether an earlier result there may be replaced.
            convention: Of the integers written, e.g. "brats2017"; the bundle's own without.
            reporter: Hears the stage "write".

        Returns:
            The files by name without extension, e.g. "mask_0001", "volumes", "montage", "provenance".

        Raises:
            OutputError: The folder cannot be written, or holds something else.
            InputError: The convention is unknown.
        """
        (reporter or Silent()).stage("write", "Writing the masks, the table and the montage")
        canvas, target = self._canvas, Path(folder).expanduser().resolve()
        header, image = (canvas.image.header, canvas.image.array) if canvas.image else (None, None)
        with result_folder(folder, overwrite) as temporary:
            files = MaskFolder(temporary, self._specification, canvas.affine, header, image, convention, canvas.inside)
            for mask in self:
                files.add(mask.number, mask.member, mask.labels, mask.volumes_ml)
            seed = self.provenance["sampling"]["seed"]
            names = files.finish(f"SYNTHETIC masks by {self._specification.name}, seed {seed}", self.provenance)
        return {name.split(".")[0]: target / name for name in names}


def draw_masks(
    model: Model,
    canvas: Canvas,
    request: SynthesisRequest,
    reporter: Reporter | None = None,
    cancellation: Cancellation | None = None,
) -> SyntheticMasks:
    """Draw masks and say how they came about.

    Args:
        model: a bundle's networks, loaded for a mode without a ControlNet.
        canvas: where they are drawn.
        request: how many, and which.
        reporter: hears the stage "sample", how far it is, and a warning where there are fewer than were wanted.
        cancellation: asked between steps; what is finished by then is the result.

    Raises:
        InputError: not one mask could be kept. Cancelled: before there was one.
    """
    reporter, cancellation = reporter or Silent(), cancellation or Cancellation()
    start = time.monotonic()
    # Sampling takes hours, and a temporary folder that old is taken for a killed run's by the next one: a folder is opened only to write.
    kept: list[tuple[Mask, bytes]] = []
    statistics = sample_masks(model, canvas, request, lambda mask: kept.append(_packed(mask)), reporter, cancellation)
    seconds = time.monotonic() - start
    warnings = canvas.warnings
    if statistics.kept < statistics.wanted:
        why = "it was stopped" if cancellation.requested else f"{statistics.drawn} were drawn, the most that are tried"
        warnings += (f"{statistics.kept} of {statistics.wanted} masks, because {why}",)
        reporter.warning(warnings[-1])
    spec, device = model.specification, model.device
    provenance = build_provenance(
        bundle={"name": model.bundle.name, "version": model.bundle.version, "weights_sha256": spec.weights.sha256},
        inputs=[describe_input("like", canvas.image.path)] if canvas.image and canvas.image.path else [],
        geometry=describe_geometry(canvas.shape, canvas.affine),
        seed=request.seed,
        mode=model.mode_name,
        sampler=model.mode.sampler,
        steps=model.mode.steps,
        members_requested=statistics.wanted,
        members_finished=statistics.kept,
        threshold=spec.threshold if request.threshold is None else request.threshold,
        device={"kind": device.kind, "name": device.name, "precision": device.precision},
        threads=torch.get_num_threads(),
        timings={"sample": seconds},
        warnings=warnings,
        synthetic=True,
        kind="SYNTHETIC masks: computed, nobody's tumour",
        drawn={**vars(statistics), "min_volume_ml": request.min_volume_ml, "any_shape": request.any_shape},
        model_grid=describe_geometry(canvas.placed.shape, canvas.placed.affine),
    )
    return SyntheticMasks(kept, canvas, spec, statistics, warnings, provenance)


def _packed(mask: Mask) -> tuple[Mask, bytes]:
    """A mask without its labels, and these compressed: almost all of a label map is background."""
    return replace(mask, labels=mask.labels[:0]), zlib.compress(np.ascontiguousarray(mask.labels).tobytes(), 1)
