"""`ldmseg synthesize`: new tumour masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from LDMSegLib.api import synthesize
from LDMSegLib.cli import options
from LDMSegLib.cli.computing import load_model
from LDMSegLib.cli.signals import Interruption
from LDMSegLib.cli.tables import table
from LDMSegLib.events import Reporter
from LDMSegLib.io.atomic_folder import check_output
from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.postprocessing.regions import label_values
from LDMSegLib.results.provenance import RESEARCH_USE, plain
from LDMSegLib.synthesis.canvas import choose_canvas
from LDMSegLib.synthesis.mode import synthesis_mode

if TYPE_CHECKING:
    from LDMSegLib.synthesis.synthesize import SynthesisStatistics

CANCELLED = 130


def run(arguments: list[str], reporter: Reporter) -> int:
    """Run the command; see `cli` for what the exit codes mean."""
    args = _parser().parse_args(arguments)
    bundle = find_bundle(args.bundle)
    convention = options.BRATS_LABELS if args.brats_labels else None
    label_values(bundle.specification.labels, convention)
    synthesis_mode(bundle)
    target = check_output(args.output, args.overwrite)
    with Interruption() as interruption:
        canvas = choose_canvas(args.like, bundle.specification.grid, reporter)
        model = load_model(args, bundle, reporter, for_synthesis=True)
        with interruption.waited_for() as cancellation:
            masks = synthesize(
                model,
                like=canvas,
                count=args.count,
                seed=args.seed,
                min_volume_ml=args.min_volume,
                any_shape=args.any_shape,
                threshold=args.threshold,
                batch_size=args.batch_size,
                reporter=reporter,
                cancellation=cancellation,
            )
            files = masks.save(target, args.overwrite, convention=convention, reporter=reporter)
    drawn = masks.statistics
    reporter.result(folder=str(target), files=plain(files), masks=masks.rows, partial=drawn.kept < drawn.wanted, **vars(drawn))
    if not args.json_events:
        print(_text(masks.rows, drawn, target))
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
