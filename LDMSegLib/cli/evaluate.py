"""`ldmseg evaluate`: results against references."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from LDMSegLib.cli import options
from LDMSegLib.cli.tables import table
from LDMSegLib.errors import InputError
from LDMSegLib.evaluation.evaluation import MEASURES, summary_rows
from LDMSegLib.evaluation.labelling import OWN, stated
from LDMSegLib.evaluation.lesionwise import BRATS_2023_GLIOMA, BRATS_2023_MENINGIOMA, BRATS_2023_METASTASES
from LDMSegLib.evaluation.matching import decide_labellings, evaluate_pair, find_predictions, find_references, made_with, match
from LDMSegLib.events import Reporter
from LDMSegLib.io.atomic_file import check_file, write_file
from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.postprocessing.volumes import to_csv
from LDMSegLib.results.provenance import plain

RULES = {"glioma": BRATS_2023_GLIOMA, "meningioma": BRATS_2023_MENINGIOMA, "metastases": BRATS_2023_METASTASES}
HEADINGS = {"lesionwise_dice": "LW Dice", "lesionwise_hd95_mm": "LW HD95 mm", "dice": "Dice", "hd95_mm": "HD95 mm"}


def run(arguments: list[str], reporter: Reporter) -> int:
    """Run the command; see `cli` for what the exit codes mean."""
    args = _parser().parse_args(arguments)
    targets = _targets(args.output, args.overwrite)
    predictions, single = find_predictions(args.prediction)
    specification = find_bundle(args.bundle or made_with(predictions.values())).specification
    labels = stated(args.labels, specification) if args.labels else None
    own = stated(args.prediction_labels, specification) if args.prediction_labels else labels
    matched = match(predictions, find_references(args.reference), single)
    reporter.stage("evaluate", f"Comparing {len(matched.pairs)} case{'s' if len(matched.pairs) > 1 else ''}")
    meant, of = decide_labellings(matched.pairs, specification, labels, own)
    if labels is None and meant.name != OWN:
        reporter.warning(f"the references are read as {meant} as no value contradicts it; where they mean something else, add --labels")
    rows: list[dict[str, Any]] = []
    failures: dict[str, str] = {}
    for number, pair in enumerate(matched.pairs, start=1):
        try:
            rows += evaluate_pair(pair, specification, RULES[args.rules], args.min_component, (meant, of[pair.prediction]))
        except InputError as error:
            if single:
                raise
            failures[pair.case] = str(error)
            reporter.warning(f"{pair.case} failed: {error}", case=pair.case)
        reporter.progress(number / len(matched.pairs), case=number, cases=len(matched.pairs))
    summary = summary_rows(rows)
    for target, lines in zip(targets, (rows, summary), strict=False):
        write_file(target, to_csv(plain(lines), ("case", "region")))
    for case in matched.without_reference:
        reporter.warning(f"{case} has no reference below {args.reference}", case=case)
    for case in matched.without_prediction:
        reporter.warning(f"{case} has a reference but no result in {args.prediction}", case=case)
    incomplete = bool(failures or matched.without_reference or matched.without_prediction)
    reporter.result(
        files=[str(target) for target in targets],
        cases=plain(rows),
        summary=plain(summary),
        labels={"references": str(meant), "predictions": sorted({str(one) for one in of.values()})},
        failed=failures,
        without_reference=list(matched.without_reference),
        without_prediction=list(matched.without_prediction),
    )
    if not args.json_events:
        how = "as --labels says" if labels else f"decided over {len(matched.pairs)} file{'s' if len(matched.pairs) > 1 else ''}"
        print(f"references: {meant}, {how}; predictions: {'; '.join(sorted({str(one) for one in of.values()}))}\n")
        print(_text(rows, summary, targets))
    return 1 if incomplete else 0


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
        "--rules", choices=RULES, default="glioma", help="the BraTS 2023 challenge whose dilation and smallest lesion count (glioma)"
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
