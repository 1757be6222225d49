"""`ldmseg segment`: one case, or with --cohort all cases below a folder."""

from __future__ import annotations

import argparse
import contextlib
import copy
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from LDMSegLib.cases.loading import Found, Read, find_cases, read_files, read_folder, read_named, to_case
from LDMSegLib.cases.synthetic import DESCRIPTION as SYNTHETIC
from LDMSegLib.cli import options
from LDMSegLib.cli.case_files import content_sha256, same_inputs
from LDMSegLib.cli.cohort import FAILED, Outcome, anything_to_do, reject_same_names, run_cohort, summary_csv, take_shard
from LDMSegLib.cli.computing import load_model
from LDMSegLib.cli.signals import Interruption
from LDMSegLib.cli.summary import cohort_event, cohort_text, segmentation_event, segmentation_text
from LDMSegLib.errors import BundleError, InputError, LDMSegError, OutputError
from LDMSegLib.events import Reporter
from LDMSegLib.io.atomic_file import check_file, write_file
from LDMSegLib.io.atomic_folder import check_output, is_result
from LDMSegLib.io.dicom_seg import DicomSegWriter, dicom_packages
from LDMSegLib.io.hashing import file_sha256
from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.models.layout import Bundle
from LDMSegLib.postprocessing.regions import label_values
from LDMSegLib.preprocessing.case import Case
from LDMSegLib.preprocessing.plan import AUTOMATIC
from LDMSegLib.results.save import DICOM_SEG, SaveOptions, save_segmentation
from LDMSegLib.results.segmentation import Segmentation
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
    modes = ", ".join(specification.modes) if specification else "the bundle's"
    sampling.add_argument("--mode", metavar="M", help=f"the way to sample ({modes})")
    sampling.add_argument("--members", type=options.whole(1), metavar="N", help="samples in the ensemble (the mode's)")
    sampling.add_argument("--steps", type=options.whole(1), metavar="S", help="denoising steps of each (the mode's)")
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
        self.rules = options.site_rules(args, bundle.specification)
        label_values(bundle.specification.labels, self.convention)
        self.mode = bundle.specification.mode(args.mode)
        args.dicom_seg = args.dicom_seg or bool(args.dicom_seg_regions)
        unknown = [name for name in args.dicom_seg_regions if name not in bundle.specification.region_names]
        if unknown:
            raise InputError(
                f"--dicom-seg-regions names '{unknown[0]}', expected some of {', '.join(bundle.specification.region_names)}; correct it"
            )
        if args.case_id and args.cohort:
            raise InputError("--case-id was given with --cohort, whose cases are called by their folders; leave it out")
        self.case_sha256 = ""
        options.preparation_options(args, bundle.specification)
        if args.cohort and args.brain_mask and not any(word in str(args.brain_mask) for word in OF_THE_CASE):
            raise InputError(
                f"--brain-mask {args.brain_mask} was given with --cohort, where one mask would be put on every patient; give a pattern for "
                'all masks with {case} for a case\'s name or {folder} for its folder, e.g. --brain-mask "{folder}/brain_mask.nii.gz"'
            )
        if args.dicom_seg and args.cohort:
            raise InputError("--dicom-seg was given with --cohort, expected a single DICOM case; segment it alone or leave --dicom-seg out")
        if args.dicom_seg and not args.case and _given(args):
            raise InputError(
                "--dicom-seg was given without a DICOM folder, expected one that the result can refer to; give it or leave it out"
            )
        if args.shard and not args.cohort:
            raise InputError("--shard was given without --cohort, expected a cohort to take a part of; add --cohort DIR or leave it out")

    def of_case(self, case: str, folder: Path) -> Job:
        """The same for one case of a cohort: with its own brain mask, where there is a pattern for the masks.

        Raises:
            InputError: its mask does not exist.
        """
        job = copy.copy(self)
        if self.args.brain_mask:
            named = dict(zip(OF_THE_CASE, (case, str(folder)), strict=True))
            mask = Path(re.sub("|".join(map(re.escape, named)), lambda found: named[found[0]], str(self.args.brain_mask)))
            if not mask.is_file():
                raise InputError(
                    f"the brain mask {mask} of '{case}' does not exist, expected one for every case; add it or correct the pattern"
                )
            job.args = argparse.Namespace(**{**vars(self.args), "brain_mask": mask})
        return job

    def recorded(self) -> dict[str, Any]:
        """What provenance.json will say of this run's settings, whatever the case."""
        args, spec = self.args, self.bundle.specification
        return {
            "bundle.weights_sha256": spec.weights.sha256,
            "sampling.mode": args.mode or spec.default_mode,
            "sampling.steps": args.steps or self.mode.steps,
            "sampling.members_requested": args.members or self.mode.members,
            "sampling.seed": args.seed,
            "sampling.threshold": spec.threshold if args.threshold is None else args.threshold,
            "label_convention": self.convention,
            **{f"preparing.{name}": value for name, value in self.preparing().items() if name != "case_sha256"},
            "preparing.site_rules_sha256": self.preparing().get("site_rules_sha256"),
        }

    def preparing(self) -> dict[str, Any]:
        """What was asked for raw scans, as provenance.json keeps it."""
        preparation_options = options.preparation_options(self.args)
        # A mask that isn't there is told where it is read.
        mask = file_sha256(preparation_options.mask) if preparation_options.mask and preparation_options.mask.is_file() else None
        return {
            "preparation": preparation_options.choice,
            "brain_extraction": preparation_options.extraction,
            "brain_mask_sha256": mask,
            "result_grid": preparation_options.result_on or self.bundle.specification.reference,
            **({"site_rules_sha256": file_sha256(self.args.site_rules)} if self.args.site_rules else {}),
            **({"case_sha256": self.case_sha256} if self.case_sha256 else {}),
        }


def _one(job: Job, interruption: Interruption) -> int:
    args, reporter = job.args, job.reporter
    target = check_output(args.output, args.overwrite)
    read, reading = _timed(lambda: _read(_found(args, job), job))
    model, loading = _timed(lambda: load_model(args, job.bundle, args.mode, reporter))
    segmentation, files = _segmented(job, read, model, target, args.overwrite, interruption, {"read": reading, "load": loading})
    reporter.result(**segmentation_event(segmentation, read.case.id, target, files))
    if not args.json_events:
        print(segmentation_text(segmentation, files))
    return CANCELLED if segmentation.partial else 0


def _cohort(job: Job, interruption: Interruption) -> int:
    args, reporter, spec = job.args, job.reporter, job.bundle.specification
    if args.case or _given(args):
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

    def wanted(case_id: str, folder: Path) -> dict[str, Any]:
        return job.of_case(case_id, folder).recorded()

    def same(record: Mapping[str, Any], case_id: str, folder: Path) -> bool:
        if case_id not in compared:  # asked twice, and a whole cohort is long to read
            compared[case_id] = same_inputs(record, folder, spec.sequences)
        return compared[case_id]

    model = load_model(args, job.bundle, args.mode, reporter) if anything_to_do(cases, args.output, wanted, args.overwrite, same) else None

    def work(case_id: str, folder: Path, target: Path, overwrite: bool) -> bool:
        target, its = check_output(target, overwrite), job.of_case(case_id, folder)
        its.case_sha256 = content_sha256(folder)
        read, reading = _timed(lambda: _read(lambda: read_folder(folder, spec, cohort_id=case_id, rules=job.rules), its))
        segmentation, _ = _segmented(its, read, model, target, overwrite, interruption, {"read": reading})
        return not segmentation.partial

    def summarised(outcomes: list[Outcome]) -> None:
        # After each case, so that a run that is killed leaves a table; what prevents it is told at the end, when all cases are done.
        with contextlib.suppress(OutputError):
            write_file(summary, summary_csv(outcomes, spec.region_names))

    unwritten = None
    with interruption.waited_for() as cancellation:
        outcomes = run_cohort(cases, args.output, work, wanted, args.overwrite, reporter, cancellation, same, summarised)
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


def _found(args: argparse.Namespace, job: Job) -> Callable[[], Found]:
    """How to read what the options or the names point at; what is wrong with them is said at once."""
    given, specification = _given(args), job.bundle.specification
    numbers = options.series_numbers(given)
    if numbers and len(args.case) == 1 and args.case[0].is_dir():
        return lambda: read_folder(args.case[0], specification, args.case_id, numbers, rules=job.rules)
    if bool(args.case) == bool(given):
        found = "images were given in more than one way" if given else "no images were given"
        raise InputError(f"{found}, expected a case's folder, or one file for each sequence, or --cohort DIR; see ldmseg segment --help")
    if given:
        return lambda: read_files(given, specification, args.case_id)
    if len(args.case) == 1 and not args.case[0].is_file():
        return lambda: read_folder(args.case[0], specification, args.case_id, rules=job.rules)
    folders = [path for path in args.case if path.is_dir()]
    if folders:
        raise InputError(
            f"{folders[0]} is a folder given among {len(args.case)} paths, expected one folder or only files; use --cohort for many cases"
        )
    return lambda: read_named(args.case, specification, job.rules, args.case_id)


def _given(args: argparse.Namespace) -> dict[str, Path]:
    return {key.removeprefix("file:"): path for key, path in vars(args).items() if key.startswith("file:") and path is not None}


def _read(find: Callable[[], Found], job: Job) -> Read:
    job.reporter.stage("read", "Reading the images")
    return to_case(find(), job.bundle.specification, options.preparation_options(job.args), job.reporter)


def _segmented(
    job: Job, read: Read, model: Model, target: Path, overwrite: bool, interruption: Interruption, seconds: dict[str, float]
) -> tuple[Segmentation, dict[str, Path]]:
    from LDMSegLib.inference.segment import Settings, segment

    args, case, spec = job.args, read.case, job.bundle.specification
    writer = None
    if args.dicom_seg:
        writer, said = _dicom_seg(job, read)
        for warning in said:
            job.reporter.warning(warning)
        case = replace(case, warnings=(*case.warnings, *said))
    settings = Settings(
        seed=args.seed,
        threshold=args.threshold,
        batch_size=args.batch_size,
        mode_name=args.mode or job.bundle.specification.default_mode,
        synthetic=args.synthetic or _says_synthetic(case),
    )
    with interruption.waited_for() as cancellation:
        segmentation = segment(case, model, settings, job.reporter, cancellation)
        for warning in segmentation.warnings[len(case.warnings) :]:
            job.reporter.warning(warning)
        job.reporter.stage("write", "Writing the result")
        save_options = SaveOptions(job.convention, writer, job.preparing(), names=args.case_id is None)
        files = save_segmentation(
            segmentation, case, spec, target, save_options, overwrite, seconds, read.prepared, read.sources, job.reporter
        )
    return segmentation, files


def _dicom_seg(job: Job, read: Read) -> tuple[DicomSegWriter | None, tuple[str, ...]]:
    """Who writes the DICOM SEG, found out before the long computation; None where the series' headers forbid it, and what to tell.

    Raises:
        InputError: there is no DICOM series to refer to, or highdicom is not installed.
    """
    case, spec = read.case, job.bundle.specification
    on = case.native_space.sequence if case.native_space else case.reference
    source = read.sources.get(on)
    if source is None:
        raise InputError(
            f"--dicom-seg was given, but {on} is not from DICOM, expected a DICOM folder as input; give it, or leave --dicom-seg out"
        )
    dicom_packages()
    regions = tuple(region for region in spec.regions if region.name in job.args.dicom_seg_regions)
    try:
        writer = DicomSegWriter(source.files, spec.labels, regions, job.bundle.name)
        writer.check(case.target.shape, case.target.affine)
    except LDMSegError as problem:
        return None, (f"{DICOM_SEG} will not be written, the rest of the result will: {problem}",)
    mended = f"{DICOM_SEG} differs from the headers of {on}, which are not legal DICOM: {'; '.join(writer.notes)}" if writer.notes else ""
    return writer, (mended,) if mended else ()


def _says_synthetic(case: Case) -> bool:
    headers = [volume.header for volume in case.volumes.values() if volume.header is not None]
    return any(bytes(header["descrip"]).startswith(SYNTHETIC) for header in headers)


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.monotonic()
    return work(), time.monotonic() - start
