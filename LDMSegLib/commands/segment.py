"""`ldmseg segment`: one case, or with --cohort all cases below a folder."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from LDMSegLib.cases.case import Case, load_case
from LDMSegLib.cases.naming import assign, find_case
from LDMSegLib.cases.synthetic import DESCRIPTION as SYNTHETIC
from LDMSegLib.commands import options
from LDMSegLib.commands.summary import segmentation_event, segmentation_text
from LDMSegLib.deliver import deliver
from LDMSegLib.errors import BundleError, InputError
from LDMSegLib.events import Reporter
from LDMSegLib.interruption import Interruption
from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.models.layout import Bundle
from LDMSegLib.results.folder import check_output
from LDMSegLib.results.labels import label_values
from LDMSegLib.results.segmentation import Segmentation
from LDMSegLib.specification import Specification

if TYPE_CHECKING:
    from LDMSegLib.models.model import Model

CANCELLED = 130


def run(arguments: list[str], reporter: Reporter) -> int:
    """Run the command; see `cli` for what the exit codes mean."""
    bundle = _bundle(arguments)
    args = _parser(bundle.specification if bundle else None).parse_args(arguments)
    job = Job(args, bundle, reporter)
    with Interruption() as interruption:
        return _one(job, interruption)


def _bundle(arguments: list[str]) -> Bundle | None:
    try:
        return find_bundle(options.given_bundle(arguments))
    except BundleError:
        if options.wants_help(arguments):
            return None
        raise


def _parser(specification: Specification | None) -> options.Parser:
    sequences = specification.sequences if specification else ()
    which = " ".join(f"--{s.name} {s.name.upper()}.nii.gz" for s in sequences) or "--SEQUENCE FILE ..."
    parser = options.Parser(
        "segment",
        "Segment one case: a folder in which the file names tell the sequences, or one file for each sequence;\n"
        "or with --cohort every case below a folder.",
        usage=f"ldmseg segment (CASE | {which} | --cohort DIR) -o OUT [options]",
    )
    parser.add_argument("case", nargs="*", type=Path, metavar="CASE", help="the case's folder, or its files")
    parser.add_argument("--cohort", type=Path, metavar="DIR", help="segment every case below this folder into OUT/<case>")
    parser.add_argument("--shard", metavar="K/N", help="of a cohort, only the K-th of N equal parts, e.g. 3/16")
    options.add_output(parser, "the folder for the result, or for the cohort's results")
    files = parser.add_argument_group("one file a sequence")
    for sequence in sequences:
        needed = "" if sequence.required else " (may be missing)"
        # a bundle may call a sequence like an option; its file is then told by its name
        if f"--{sequence.name}" not in parser._option_string_actions:
            files.add_argument(f"--{sequence.name}", dest=f"file:{sequence.name}", type=Path, metavar="FILE", help=sequence.title + needed)
    sampling = parser.add_argument_group("sampling")
    options.add_bundle(sampling)
    modes = ", ".join(specification.modes) if specification else "the bundle's"
    sampling.add_argument("--mode", metavar="M", help=f"the way to sample ({modes})")
    sampling.add_argument("--members", type=options.whole(1), metavar="N", help="samples in the ensemble (the mode's)")
    sampling.add_argument("--steps", type=options.whole(1), metavar="S", help="denoising steps of each (the mode's)")
    options.add_computing(parser)
    parser.add_argument("--synthetic", action="store_true", help="mark the result as that of a computed image, not a patient")
    return parser


class Job:
    """What is the same for every case of a run: the bundle, and how to sample and write."""

    def __init__(self, args: argparse.Namespace, bundle: Bundle, reporter: Reporter) -> None:
        """Check what can be checked without images and without torch; raises LDMSegError."""
        self.args, self.bundle, self.reporter = args, bundle, reporter
        self.convention = options.BRATS_LABELS if args.brats_labels else None
        label_values(bundle.specification.labels, self.convention)
        self.mode = bundle.specification.mode(args.mode)
        if args.shard and not args.cohort:
            raise InputError("--shard was given without --cohort, expected a cohort to take a part of; add --cohort DIR or leave it out")


@dataclass(frozen=True)
class Done:
    """One case, segmented and written."""

    segmentation: Segmentation
    files: dict[str, Path]


def _one(job: Job, interruption: Interruption) -> int:
    args, reporter = job.args, job.reporter
    target = check_output(args.output, args.overwrite)
    case, reading = _timed(lambda: _read(_files(args, job.bundle.specification), job))
    model, loading = _timed(lambda: _model(job))
    done = _segmented(job, case, model, target, args.overwrite, interruption, {"read": reading, "load": loading})
    reporter.result(**segmentation_event(done.segmentation, case.id, target, done.files))
    if not args.json_events:
        print(segmentation_text(done.segmentation, done.files))
    return CANCELLED if done.segmentation.partial else 0


def _files(args: argparse.Namespace, specification: Specification) -> dict[str, Path]:
    """Which file is which sequence, from the options or the names."""
    given = {key.removeprefix("file:"): path for key, path in vars(args).items() if key.startswith("file:") and path is not None}
    ways = [bool(args.case), bool(given), bool(args.cohort)]
    if sum(ways) != 1:
        found = "no images were given" if not any(ways) else "images were given in more than one way"
        raise InputError(f"{found}, expected a case's folder, or one file for each sequence, or --cohort DIR; see ldmseg segment --help")
    if given:
        return given
    if len(args.case) == 1 and not args.case[0].is_file():
        return find_case(args.case[0], specification.sequences)
    folders = [path for path in args.case if path.is_dir()]
    if folders:
        raise InputError(
            f"{folders[0]} is a folder given among {len(args.case)} paths, expected one folder or only files; use --cohort for many cases"
        )
    return assign(args.case, specification.sequences)


def _read(files: dict[str, Path], job: Job, id: str | None = None) -> Case:
    job.reporter.stage("read", "Reading the images")
    case = load_case(files, job.bundle.specification, id)
    for warning in case.warnings:
        job.reporter.warning(warning)
    return case


def _model(job: Job) -> Model:
    """The networks on their device. torch is imported here, when everything that does not need it has been checked."""
    job.reporter.stage("load", "Loading the networks")
    import torch

    from LDMSegLib.models.device import choose_device
    from LDMSegLib.models.model import Model, sampling_mode

    args = job.args
    mode = sampling_mode(job.bundle.specification, args.mode, args.steps, args.members)
    if args.threads:
        torch.set_num_threads(args.threads)
    return Model(job.bundle, mode, choose_device(args.device, args.precision))


def _segmented(
    job: Job, case: Case, model: Model, target: Path, overwrite: bool, interruption: Interruption, seconds: dict[str, float]
) -> Done:
    from LDMSegLib.segment import Settings, segment

    args = job.args
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
        files = deliver(segmentation, case, job.bundle.specification, target, job.convention, overwrite, seconds)
    return Done(segmentation, files)


def _says_synthetic(case: Case) -> bool:
    headers = [volume.header for volume in case.volumes.values() if volume.header is not None]
    return any(bytes(header["descrip"]).startswith(SYNTHETIC) for header in headers)


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.monotonic()
    return work(), time.monotonic() - start
