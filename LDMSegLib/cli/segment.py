"""`ldmseg segment`: one case, or with --cohort all cases below a folder."""

from __future__ import annotations

import argparse
import contextlib
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from LDMSegLib.api import Segmentation, segment
from LDMSegLib.cases.given import read_case
from LDMSegLib.cases.loaded import LoadedCase
from LDMSegLib.cases.loading import find_cases, requested_preparation
from LDMSegLib.cli import options
from LDMSegLib.cli.case_files import content_sha256, same_inputs
from LDMSegLib.cli.cohort import FAILED, Outcome, anything_to_do, reject_same_names, run_cohort, summary_csv, take_shard
from LDMSegLib.cli.computing import load_model
from LDMSegLib.cli.signals import Interruption
from LDMSegLib.cli.summary import cohort_event, cohort_text, segmentation_event, segmentation_text
from LDMSegLib.errors import BundleError, InputError, OutputError
from LDMSegLib.events import Reporter
from LDMSegLib.io.atomic_file import check_file, write_file
from LDMSegLib.io.atomic_folder import check_output, is_result
from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.models.layout import Bundle
from LDMSegLib.postprocessing.regions import label_values
from LDMSegLib.preprocessing.plan import AUTOMATIC, PreparationOptions
from LDMSegLib.results.save import check_regions
from LDMSegLib.specification import Specification

if TYPE_CHECKING:
    from LDMSegLib.models.model import Model

CANCELLED = 130
OF_THE_CASE = ("{case}", "{folder}")
"""What stands in --brain-mask for a case's name and its folder, with --cohort."""


def run(arguments: list[str], reporter: Reporter) -> int:
    """Run the command; see `cli` for what the exit codes mean."""
    bundle = _bundle(arguments)
    args = _parser(bundle.specification if bundle else None).parse_args(arguments)
    job = Job(args, bundle, reporter)
    with Interruption() as interruption:
        return _cohort(job, interruption) if args.cohort else _one(job, interruption)


def _bundle(arguments: list[str]) -> Bundle | None:
    try:
        return find_bundle(options.given_bundle(arguments))
    except BundleError:
        if options.wants_help(arguments):
            return None
        raise


def _parser(specification: Specification | None) -> options.Parser:
    sequences = specification.sequences if specification else ()
    regions = [region.name for region in specification.regions if len(region.labels) > 1] if specification else []
    which = " ".join(f"--{s.name} {s.name.upper()}.nii.gz" for s in sequences) or "--SEQUENCE FILE ..."
    parser = options.Parser(
        "segment",
        "Segment one case: a folder in which the file names tell the sequences, or one file for each sequence;\n"
        "or with --cohort every case below a folder.",
        usage=f"ldmseg segment (CASE | {which} | --cohort DIR) -o OUT [options]",
    )
    parser.add_argument("case", nargs="*", type=Path, metavar="CASE", help="the case's folder (NIfTI or DICOM), or its files")
    parser.add_argument("--cohort", type=Path, metavar="DIR", help="segment every case below this folder (NIfTI or DICOM) into OUT/<case>")
    parser.add_argument("--shard", metavar="K/N", help="of a cohort, only the K-th of N equal parts, e.g. 3/16")
    options.add_output(parser, "the folder for the result, or for the cohort's results")
    options.add_case_id(parser)
    parser.add_argument("--dicom-seg", action="store_true", help="of DICOM images: also write the labels as DICOM SEG, segmentation.dcm")
    parser.add_argument(
        "--dicom-seg-regions",
        type=options.names,
        default=(),
        metavar="R,R",
        help=f"the same, with these regions as further, overlapping segments, e.g. {','.join(regions) or 'WT,TC'}",
    )
    files = parser.add_argument_group("one file a sequence (or, beside a DICOM folder, the number of its series)")
    for sequence in sequences:
        needed = "" if sequence.required else " (may be missing)"
        # a bundle may call a sequence like an option; its file is then told by its name
        if f"--{sequence.name}" not in parser._option_string_actions:
            files.add_argument(f"--{sequence.name}", dest=f"file:{sequence.name}", type=Path, metavar="FILE", help=sequence.title + needed)
    options.add_site_rules(files)
    sampling = parser.add_argument_group("sampling")
    options.add_bundle(sampling)
    modes = f"{', '.join(specification.image_modes)}; default: {specification.default_mode}" if specification else "one of the bundle's"
    sampling.add_argument("--mode", metavar="M", help=f"how to sample ({modes})")
    sampling.add_argument("--members", type=options.whole(1), metavar="N", help="samples in the ensemble (default: as the mode says)")
    sampling.add_argument("--steps", type=options.whole(1), metavar="S", help="denoising steps of each (default: as the mode says)")
    options.add_preparing(parser, AUTOMATIC)
    options.add_computing(parser)
    parser.add_argument("--synthetic", action="store_true", help="mark the result as that of a computed image, not a patient")
    return parser


class Job:
    """What is the same for every case of a run: the bundle, and how to sample and write."""

    def __init__(self, args: argparse.Namespace, bundle: Bundle, reporter: Reporter) -> None:
        """Check what can be checked without images and without torch; raises LDMSegError."""
        self.args, self.bundle, self.reporter = args, bundle, reporter
        self.convention = options.BRATS_LABELS if args.brats_labels else None
        self.options = options.preparation_options(args, bundle.specification)
        options.check_site_rules(args, bundle.specification)
        label_values(bundle.specification.labels, self.convention)
        self.mode = bundle.specification.image_mode(args.mode)
        check_regions(args.dicom_seg_regions, bundle.specification)
        args.dicom_seg = args.dicom_seg or bool(args.dicom_seg_regions)
        if args.case_id and args.cohort:
            raise InputError("--case-id was given with --cohort, whose cases are called by their folders; leave it out")
        if args.cohort and args.brain_mask and not any(word in str(args.brain_mask) for word in OF_THE_CASE):
            raise InputError(
                f"--brain-mask {args.brain_mask} was given with --cohort, where one mask would be put on every patient; give a pattern for "
                'all masks with {case} for a case\'s name or {folder} for its folder, e.g. --brain-mask "{folder}/brain_mask.nii.gz"'
            )
        if args.dicom_seg and args.cohort:
            raise InputError("--dicom-seg was given with --cohort, expected a single DICOM case; segment it alone or leave --dicom-seg out")
        if args.dicom_seg and not args.case and options.given_images(args):
            raise InputError(
                "--dicom-seg was given without a DICOM folder, expected one that the result can refer to; give it or leave it out"
            )
        if args.shard and not args.cohort:
            raise InputError("--shard was given without --cohort, expected a cohort to take a part of; add --cohort DIR or leave it out")

    def options_of(self, case: str, folder: Path) -> PreparationOptions:
        """What is done to the raw scans of one case of a cohort: with its own brain mask, where there is a pattern for the masks.

        Raises:
            InputError: its mask does not exist.
        """
        if not self.args.brain_mask:
            return self.options
        named = dict(zip(OF_THE_CASE, (case, str(folder)), strict=True))
        mask = Path(re.sub("|".join(map(re.escape, named)), lambda found: named[found[0]], str(self.args.brain_mask)))
        if not mask.is_file():
            raise InputError(
                f"the brain mask {mask} of '{case}' does not exist, expected one for every case; add it or correct the pattern"
            )
        return replace(self.options, mask=mask)

    def recorded(self, case: str, folder: Path) -> dict[str, Any]:
        """What provenance.json will say of this run's settings for one case of a cohort."""
        args, spec = self.args, self.bundle.specification
        requested = requested_preparation(self.options_of(case, folder), spec, args.site_rules)
        return {
            "bundle.weights_sha256": spec.weights.sha256,
            "sampling.mode": args.mode or spec.default_mode,
            "sampling.steps": args.steps or self.mode.steps,
            "sampling.members_requested": args.members or self.mode.members,
            "sampling.seed": args.seed,
            "sampling.threshold": spec.threshold if args.threshold is None else args.threshold,
            "label_convention": self.convention,
            **{f"preparing.{name}": value for name, value in requested.items()},
            "preparing.site_rules_sha256": requested.get("site_rules_sha256"),
        }

    def segmented(
        self, loaded: LoadedCase, model: Model, target: Path, overwrite: bool, interruption: Interruption
    ) -> tuple[Segmentation, dict[str, Path]]:
        """Segment a case and save the result; what is finished when it is interrupted is saved too."""
        args = self.args
        with interruption.waited_for() as cancellation:
            segmentation = segment(
                loaded,
                model,
                seed=args.seed,
                threshold=args.threshold,
                batch_size=args.batch_size,
                synthetic=args.synthetic,
                dicom_seg=args.dicom_seg,
                dicom_seg_regions=args.dicom_seg_regions,
                reporter=self.reporter,
                cancellation=cancellation,
            )
            return segmentation, segmentation.save(target, overwrite, convention=self.convention, reporter=self.reporter)


def _one(job: Job, interruption: Interruption) -> int:
    args, reporter, spec = job.args, job.reporter, job.bundle.specification
    target = check_output(args.output, args.overwrite)
    images, series = options.chosen_images(args, "segment")
    loaded = read_case(images, spec, job.options, id=args.case_id, series=series, site_rules=args.site_rules, reporter=reporter)
    start = time.monotonic()
    model = load_model(args, job.bundle, reporter)
    loaded = replace(loaded, seconds={**loaded.seconds, "load": time.monotonic() - start})
    segmentation, files = job.segmented(loaded, model, target, args.overwrite, interruption)
    reporter.result(**segmentation_event(segmentation, loaded.case.id, target, files))
    if not args.json_events:
        print(segmentation_text(segmentation, files))
    return CANCELLED if segmentation.partial else 0


def _cohort(job: Job, interruption: Interruption) -> int:
    args, reporter, spec = job.args, job.reporter, job.bundle.specification
    if args.case or options.given_images(args):
        raise InputError("images were given beside --cohort, expected only the cohort's folder; leave them out")
    if is_result(args.output):
        raise OutputError(
            f"the output '{args.output}' holds a single case's result, expected a folder for a cohort's; choose another one with -o"
        )
    every = find_cases(args.cohort, spec)
    reject_same_names(every)
    cases, part = take_shard(every, args.shard)
    summary = check_file(args.output / f"cohort_volumes{part}.csv", overwrite=True)
    compared: dict[str, bool] = {}

    def same(record: Mapping[str, Any], case_id: str, folder: Path) -> bool:
        if case_id not in compared:  # asked twice, and a whole cohort is long to read
            compared[case_id] = same_inputs(record, folder, spec.sequences)
        return compared[case_id]

    to_do = anything_to_do(cases, args.output, job.recorded, args.overwrite, same)
    model = load_model(args, job.bundle, reporter) if to_do else None

    def work(case_id: str, folder: Path, target: Path, overwrite: bool) -> bool:
        target, its, sha256 = check_output(target, overwrite), job.options_of(case_id, folder), content_sha256(folder)
        loaded = read_case(folder, spec, its, cohort_id=case_id, site_rules=args.site_rules, reporter=reporter)
        loaded = replace(loaded, requested={**loaded.requested, "case_sha256": sha256})
        segmentation, _ = job.segmented(loaded, model, target, overwrite, interruption)
        return not segmentation.partial

    def summarised(outcomes: list[Outcome]) -> None:
        # After each case, so that a run that is killed leaves a table; what prevents it is told at the end, when all cases are done.
        with contextlib.suppress(OutputError):
            write_file(summary, summary_csv(outcomes, spec.region_names))

    unwritten = None
    with interruption.waited_for() as cancellation:
        outcomes = run_cohort(cases, args.output, work, job.recorded, args.overwrite, reporter, cancellation, same, summarised)
        try:
            write_file(summary, summary_csv(outcomes, spec.region_names))
        except OutputError as error:  # e.g. open in a spreadsheet
            unwritten = error
    reporter.result(**cohort_event(outcomes, args.output, summary))
    if not args.json_events:
        print(cohort_text(outcomes, summary))
    if unwritten:
        raise OutputError(f"all cases were worked through, but the table of their volumes was not written: {unwritten}")
    if cancellation.requested:
        return CANCELLED
    failed = [outcome for outcome in outcomes if outcome.status == FAILED]
    if failed and args.json_events:
        reporter.error(f"{len(failed)} of {len(outcomes)} cases failed", exit_code=1)
    return 1 if failed else 0
