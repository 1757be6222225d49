"""`ldmseg prepare`: raw scans to skull-stripped, co-registered images as in BraTS, with the transforms and pictures of each step."""

from __future__ import annotations

from pathlib import Path

from LDMSegLib import GENERATOR
from LDMSegLib.cases.loading import read_files, read_folder, to_case
from LDMSegLib.cli import options
from LDMSegLib.cli.tables import table
from LDMSegLib.errors import BundleError, InputError
from LDMSegLib.events import Reporter
from LDMSegLib.io.atomic_folder import PROVENANCE, check_output, result_folder
from LDMSegLib.io.dicom_source import describe_source
from LDMSegLib.io.hashing import file_sha256
from LDMSegLib.io.nifti_out import write_nifti
from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.preprocessing.plan import ALWAYS, NEVER
from LDMSegLib.results.provenance import FORMAT, RESEARCH_USE, describe_input, plain, software_versions, to_json
from LDMSegLib.results.save import attached


def run(arguments: list[str], reporter: Reporter) -> int:
    """Run the command; see `cli` for what the exit codes mean."""
    try:
        sequences = find_bundle(options.given_bundle(arguments)).specification.sequences
    except BundleError:
        if not options.wants_help(arguments):
            raise
        sequences = ()
    parser = options.Parser("prepare", "Register raw scans, extract the brain and turn it like a bundle's training data; segments nothing.")
    parser.add_argument("case", nargs="?", type=Path, metavar="CASE", help="a folder of NIfTI files or of DICOM series")
    for sequence in sequences:
        parser.add_argument(f"--{sequence.name}", dest=f"file:{sequence.name}", type=Path, metavar="FILE", help=sequence.title)
    options.add_site_rules(parser)
    options.add_output(parser, "the folder for the prepared images")
    options.add_case_id(parser)
    options.add_bundle(parser)
    options.add_preparing(parser, ALWAYS)
    options.add_threads(parser)
    args = parser.parse_args(arguments)
    specification = find_bundle(args.bundle).specification
    given = {key.removeprefix("file:"): path for key, path in vars(args).items() if key.startswith("file:") and path is not None}
    numbers = options.series_numbers(given) if args.case and args.case.is_dir() else {}
    if bool(args.case) == bool(given) and not numbers:
        raise InputError("expected either a case's folder or one file for each sequence; see ldmseg prepare --help")
    if args.prepare == NEVER:
        raise InputError("--prepare never leaves nothing for ldmseg prepare to do, expected automatic or always; leave it out")
    preparation_options = options.preparation_options(args, specification)
    target = check_output(args.output, args.overwrite)
    reporter.stage("read", "Reading the images")
    rules = options.site_rules(args, specification)
    if args.case:
        found = read_folder(args.case, specification, args.case_id, numbers, rules=rules)
    else:
        found = read_files(given, specification, args.case_id)
    read = to_case(found, specification, preparation_options, reporter)
    if read.prepared is None:
        raise InputError(
            f"the images of '{found.id}' are prepared already, so there is nothing to do; add --prepare always to do it all the same"
        )
    reporter.stage("write", "Writing the prepared images")
    with result_folder(target, args.overwrite) as folder:
        case = read.case
        for name, volume in case.volumes.items():
            top = float(volume.array.max())
            write_nifti(folder / f"{case.id}_{name}.nii.gz", volume.array, volume.affine, "", f"LDMSeg: prepared {name}", top)
        mask = read.prepared.brain.astype("uint8")
        write_nifti(folder / f"{case.id}_brainmask.nii.gz", mask, case.grid.affine, "labels", "LDMSeg: brain", 1.0)
        for name, content in attached(read.prepared).items():
            (folder / name).write_bytes(content)
        names = sorted(file.name for file in folder.iterdir())
        record = {
            "generator": GENERATOR,
            "format": FORMAT,
            "intended_use": RESEARCH_USE,
            "case": case.id,
            "inputs": [
                describe_source(name, read.sources[name])
                if name in read.sources
                else describe_input(name, volume.path, named=args.case_id is None)
                for name, volume in case.volumes.items()
            ],
            "identification": case.identified.record(),
            "preparation": read.prepared.record,
            "warnings": case.warnings,
            "software": software_versions(),
            "files": {name: file_sha256(folder / name) for name in names},
        }
        (folder / PROVENANCE).write_text(to_json(record), encoding="utf-8", newline="")
    reporter.result(**plain({"case": case.id, "folder": target, "files": names, "warnings": case.warnings, **read.prepared.record}))
    if not args.json_events:
        print(table([(step.title, step.measure) for step in read.prepared.steps], "<<") + f"\n\n{target}\n\n{RESEARCH_USE}")
    return 0
