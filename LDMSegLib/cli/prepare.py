"""`ldmseg prepare`: raw scans to skull-stripped, co-registered images as in BraTS, with the transforms and pictures of each step."""

from __future__ import annotations

from pathlib import Path

from LDMSegLib.api import prepare
from LDMSegLib.cli import options
from LDMSegLib.cli.tables import table
from LDMSegLib.errors import BundleError, InputError
from LDMSegLib.events import Reporter
from LDMSegLib.io.atomic_folder import check_output
from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.preprocessing.plan import ALWAYS, NEVER
from LDMSegLib.results.provenance import RESEARCH_USE, plain


def run(arguments: list[str], reporter: Reporter) -> int:
    """Run the command; see `cli` for what the exit codes mean."""
    try:
        sequences = find_bundle(options.given_bundle(arguments)).specification.sequences
    except BundleError:
        if not options.wants_help(arguments):
            raise
        sequences = ()
    parser = options.Parser("prepare", "Register raw scans, extract the brain and turn it like a bundle's training data; segments nothing.")
    parser.add_argument("case", nargs="*", type=Path, metavar="CASE", help="the case's folder (NIfTI or DICOM), or its files")
    for sequence in sequences:
        parser.add_argument(f"--{sequence.name}", dest=f"file:{sequence.name}", type=Path, metavar="FILE", help=sequence.title)
    options.add_site_rules(parser)
    options.add_output(parser, "the folder for the prepared images")
    options.add_case_id(parser)
    options.add_bundle(parser)
    options.add_preparing(parser, ALWAYS)
    options.add_threads(parser)
    args = parser.parse_args(arguments)
    bundle = find_bundle(args.bundle)
    if args.prepare == NEVER:
        raise InputError("--prepare never leaves nothing for ldmseg prepare to do, expected automatic or always; leave it out")
    options.preparation_options(args, bundle.specification)
    images, series = options.chosen_images(args, "prepare")
    target = check_output(args.output, args.overwrite)
    prepared = prepare(
        images,
        bundle,
        case_id=args.case_id,
        series=series,
        site_rules=args.site_rules,
        prepare=args.prepare,
        brain_mask=args.brain_mask,
        brain_extraction=args.brain_extraction,
        result_on=args.result_on,
        threads=args.threads,
        reporter=reporter,
    )
    files = prepared.save(target, args.overwrite, reporter=reporter)
    said = {"case": prepared.id, "folder": target, "files": list(files), "warnings": prepared.warnings, **prepared.record}
    reporter.result(**plain(said))
    if not args.json_events:
        print(table([(step.title, step.measure) for step in prepared.steps], "<<") + f"\n\n{target}\n\n{RESEARCH_USE}")
    return 0
