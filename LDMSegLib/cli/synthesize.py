"""`ldmseg synthesize`: new tumour masks."""

from __future__ import annotations

import argparse
import time
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from LDMSegLib.cli import options
from LDMSegLib.cli.computing import load_model
from LDMSegLib.cli.signals import Interruption
from LDMSegLib.cli.tables import table
from LDMSegLib.errors import BundleError
from LDMSegLib.events import Reporter
from LDMSegLib.io.atomic_folder import check_output, result_folder
from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.models.layout import Bundle
from LDMSegLib.postprocessing.regions import label_values
from LDMSegLib.results.provenance import RESEARCH_USE, build_provenance, describe_geometry, describe_input
from LDMSegLib.synthesis.canvas import Canvas, blank_canvas, canvas_like

if TYPE_CHECKING:
    from LDMSegLib.models.model import Model
    from LDMSegLib.synthesis.acceptance import Mask
    from LDMSegLib.synthesis.synthesize import SynthesisStatistics

CANCELLED = 130


def run(arguments: list[str], reporter: Reporter) -> int:
    """Run the command; see `cli` for what the exit codes mean."""
    args = _parser().parse_args(arguments)
    bundle = find_bundle(args.bundle)
    convention = options.BRATS_LABELS if args.brats_labels else None
    label_values(bundle.specification.labels, convention)
    mode = _mode(bundle)
    target = check_output(args.output, args.overwrite)
    with Interruption() as interruption:
        canvas = _canvas(args, bundle, reporter)
        model = load_model(args, bundle, mode, reporter)
        with interruption.waited_for() as cancellation:
            drawn, rows, names = _draw(args, bundle, model, canvas, convention, mode, reporter, cancellation)
    files = {name.split(".")[0]: str(target / name) for name in names}
    reporter.result(folder=str(target), files=files, masks=rows, partial=drawn.kept < drawn.wanted, **vars(drawn))
    if not args.json_events:
        print(_text(rows, drawn, target))
    if drawn.kept == drawn.wanted:
        return 0
    return CANCELLED if cancellation.requested else 1


def _parser() -> options.Parser:
    parser = options.Parser("synthesize", "Draw new tumour masks out of noise: label maps of nobody's tumour.")
    parser.add_argument("-n", "--count", type=options.whole(1), default=8, metavar="N", help="how many masks (8)")
    parser.add_argument("--min-volume", type=options.not_negative, default=0.0, metavar="ML", help="keep no mask smaller than this, in mL")
    parser.add_argument("--any-shape", action="store_true", help="keep masks of every shape, also of those that real tumours seldom have")
    parser.add_argument("--like", type=Path, metavar="IMAGE", help="draw into this image's brain, on its grid (without: on a 1 mm grid)")
    options.add_output(parser, "the folder for the masks")
    options.add_bundle(parser)
    parser.add_argument("--steps", type=options.whole(1), metavar="S", help="denoising steps of each (the bundle's)")
    options.add_computing(parser)
    return parser


def _mode(bundle: Bundle) -> str:
    spec = bundle.specification
    if spec.synthesis_mode not in spec.modes or spec.modes[spec.synthesis_mode].controlnet is not None:
        raise BundleError(
            f"bundle '{bundle.name}' has no mode that samples without an image, so it cannot draw masks; choose another bundle"
        )
    return spec.synthesis_mode


def _canvas(args: argparse.Namespace, bundle: Bundle, reporter: Reporter) -> Canvas:
    if args.like is None:
        return blank_canvas(bundle.specification.grid)
    reporter.stage("read", "Reading the image")
    canvas = canvas_like(args.like, bundle.specification.grid)
    for warning in canvas.warnings:
        reporter.warning(warning)
    return canvas


def _draw(
    args: argparse.Namespace,
    bundle: Bundle,
    model: Model,
    canvas: Canvas,
    convention: str | None,
    mode: str,
    reporter: Reporter,
    cancellation: Any,
) -> tuple[SynthesisStatistics, list[dict[str, Any]], list[str]]:
    from LDMSegLib.synthesis.acceptance import SynthesisRequest  # torch
    from LDMSegLib.synthesis.mask_folder import MaskFolder  # matplotlib
    from LDMSegLib.synthesis.synthesize import synthesize

    header, image = (canvas.image.header, canvas.image.array) if canvas.image else (None, None)
    request = SynthesisRequest(args.count, args.seed, args.min_volume, args.threshold, args.batch_size, args.any_shape)
    start = time.monotonic()
    # Sampling takes hours, and a temporary folder that old is taken for a killed run's by the next one: it is opened only to write.
    kept: list[tuple[Mask, bytes]] = []
    drawn = synthesize(model, canvas, request, lambda mask: kept.append(_packed(mask)), reporter, cancellation)
    seconds = time.monotonic() - start
    warnings = list(canvas.warnings)
    if drawn.kept < drawn.wanted:
        why = "it was stopped" if cancellation.requested else f"{drawn.drawn} were drawn, the most that are tried"
        warnings.append(f"{drawn.kept} of {drawn.wanted} masks, because {why}")
        reporter.warning(warnings[-1])
    reporter.stage("write", "Writing the masks, the table and the montage")
    with result_folder(args.output, args.overwrite) as folder:
        masks = MaskFolder(folder, bundle.specification, canvas.affine, header, image, convention, canvas.inside)
        for mask, content in kept:
            labels = np.frombuffer(zlib.decompress(content), np.uint8).reshape(canvas.shape)
            masks.add(mask.number, mask.member, labels, mask.volumes_ml)
        record = _provenance(args, bundle, model, canvas, mode, drawn, warnings, seconds)
        names = masks.finish(f"SYNTHETIC masks by {bundle.name}, seed {args.seed}", record)
    return drawn, masks.rows, names


def _packed(mask: Mask) -> tuple[Mask, bytes]:
    """A mask without its labels, and these compressed: almost all of a label map is background."""
    return replace(mask, labels=mask.labels[:0]), zlib.compress(np.ascontiguousarray(mask.labels).tobytes(), 1)


def _provenance(
    args: argparse.Namespace,
    bundle: Bundle,
    model: Model,
    canvas: Canvas,
    mode: str,
    drawn: SynthesisStatistics,
    warnings: list[str],
    seconds: float,
) -> dict[str, Any]:
    import torch

    spec, device = bundle.specification, model.device
    return build_provenance(
        bundle={"name": bundle.name, "version": bundle.version, "weights_sha256": spec.weights.sha256},
        inputs=[describe_input("like", canvas.image.path)] if canvas.image else [],
        geometry=describe_geometry(canvas.shape, canvas.affine),
        seed=args.seed,
        mode=mode,
        sampler=model.mode.sampler,
        steps=model.mode.steps,
        members_requested=drawn.wanted,
        members_finished=drawn.kept,
        threshold=spec.threshold if args.threshold is None else args.threshold,
        device={"kind": device.kind, "name": device.name, "precision": device.precision},
        threads=torch.get_num_threads(),
        timings={"sample": seconds},
        warnings=warnings,
        synthetic=True,
        kind="SYNTHETIC masks: computed, nobody's tumour",
        drawn={**vars(drawn), "min_volume_ml": args.min_volume, "any_shape": args.any_shape},
        model_grid=describe_geometry(canvas.placed.shape, canvas.placed.affine),
    )


def _text(rows: list[dict[str, Any]], drawn: SynthesisStatistics, target: Path) -> str:
    shown = [[row["mask"], *(f"{value:.2f}" for name, value in row.items() if name.endswith("_ml"))] for row in rows]
    header = ["mask", *(name.replace("_ml", " mL") for name in rows[0] if name.endswith("_ml"))]
    lines = ["", table(shown, "<" + ">" * (len(header) - 1), header), ""]
    lines += [
        f"  {drawn.drawn} drawn, {drawn.kept} kept, {drawn.empty} empty, {drawn.outside} too far outside the brain, "
        f"{drawn.too_small} too small, {drawn.odd_shaped} of a shape that real tumours seldom have",
        f"  montage  {target / 'montage.png'}",
    ]
    return "\n".join([*lines, "", f"SYNTHETIC: nobody's tumour. {RESEARCH_USE}"])
