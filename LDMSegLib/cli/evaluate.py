"""`ldmseg evaluate`: results against references."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from LDMSegLib.api import evaluate
from LDMSegLib.cli import options
from LDMSegLib.cli.tables import table
from LDMSegLib.evaluation.evaluation import MEASURES
from LDMSegLib.evaluation.lesionwise import BRATS_2023_RULES
from LDMSegLib.events import Reporter
from LDMSegLib.io.atomic_file import check_file, write_file
from LDMSegLib.postprocessing.volumes import to_csv
from LDMSegLib.results.provenance import plain

HEADINGS = {"lesionwise_dice": "LW Dice", "lesionwise_hd95_mm": "LW HD95 mm", "dice": "Dice", "hd95_mm": "HD95 mm"}


def run(arguments: list[str], reporter: Reporter) -> int:
    """Run the command; see `cli` for what the exit codes mean."""
    args = _parser().parse_args(arguments)
    targets = _targets(args.output, args.overwrite)
    done = evaluate(
        args.prediction,
        args.reference,
        labels=args.labels,
        prediction_labels=args.prediction_labels,
        min_component_mm3=args.min_component,
        rules=args.rules,
        bundle=args.bundle,
        reporter=reporter,
    )
    for target, lines in zip(targets, (done.rows, done.summary), strict=False):
        write_file(target, to_csv(plain(lines), ("case", "region")))
    predictions = [str(one) for one in done.predictions]
    reporter.result(
        files=[str(target) for target in targets],
        cases=plain(done.rows),
        summary=plain(done.summary),
        labels={"references": str(done.references), "predictions": predictions},
        failed=dict(done.failures),
        without_reference=list(done.without_reference),
        without_prediction=list(done.without_prediction),
    )
    if not args.json_events:
        files = len({row["case"] for row in done.rows}) + len(done.failures)
        how = "as --labels says" if args.labels else f"decided over {files} file{'s' if files > 1 else ''}"
        print(f"references: {done.references}, {how}; predictions: {'; '.join(predictions)}\n")
        print(_text(done.rows, done.summary, targets))
    return 0 if done.complete else 1


def _parser() -> options.Parser:
    parser = options.Parser("evaluate", "Lesion-wise and global Dice and HD95 by the BraTS 2023 definition, per case and summed up.")
    parser.add_argument(
        "--prediction", type=Path, required=True, metavar="OUT", help="a result, a cohort's folder, or a folder of label maps"
    )
    parser.add_argument(
        "--reference", type=Path, required=True, metavar="DIR", help="below it lies <case>_seg.nii.gz (or <case>.nii.gz) of each case"
    )
    parser.add_argument(
        "--labels",
        metavar="L",
        help="what the integers mean: the name of a labelling (bundle, brats2017, brats2023, brats2024) or e.g. NCR=1,ED=2,ET=3,"
        "background=4; without, all references decide together. Also for label maps of other programs",
    )
    parser.add_argument("--prediction-labels", metavar="L", help="the same for label maps of other programs alone")
    parser.add_argument("-o", "--output", type=Path, metavar="CSV", help="write metrics.csv and, beside it, metrics_summary.csv")
    parser.add_argument("--overwrite", action="store_true", help="replace these files")
    parser.add_argument(
        "--min-component",
        type=options.not_negative,
        default=0.0,
        metavar="MM3",
        help="score also without predicted components smaller than this (not part of the definition)",
    )
    parser.add_argument(
        "--rules",
        choices=BRATS_2023_RULES,
        default="glioma",
        help="the BraTS 2023 challenge whose dilation and smallest lesion count (glioma)",
    )
    parser.add_argument(
        "--bundle", metavar="B", help="whose labels and regions are meant (the bundle that made the result, else the default)"
    )
    return parser


def _targets(output: Path | None, overwrite: bool) -> list[Path]:
    if output is None:
        return []
    beside = output.with_name(f"{output.stem}_summary{output.suffix or '.csv'}")
    return [check_file(output, overwrite), check_file(beside, overwrite)]


def _text(rows: Sequence[dict[str, Any]], summary: Sequence[dict[str, Any]], targets: Sequence[Path]) -> str:
    filtered = any(row["filter_mm3"] for row in rows)
    names = ["region"] + (["filter mm³"] if filtered else [])

    def cells(row: dict[str, Any], suffix: str = "") -> list[str]:
        start = [row["region"]] + ([f"{row['filter_mm3']:g}"] if filtered else [])
        return start + [f"{row[name + suffix]:.{1 if name.endswith('mm') else 3}f}" for name in MEASURES]

    lines = [[row["case"], *cells(row)] for row in rows]
    if len({row["case"] for row in rows}) > 1:
        for kind in ("mean", "median"):
            lines += [[kind, *cells(row, f"_{kind}")] for row in summary]
    text = table(lines, "<<" + ">" * (len(names) - 1 + len(MEASURES)), ("case", *names, *(HEADINGS[name] for name in MEASURES)), indent="")
    return "\n".join([text, *(f"\n{target}" for target in targets)])
