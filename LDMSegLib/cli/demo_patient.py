"""`ldmseg demo-patient`: four sequences of nobody's brain, with a drawn-in tumour."""

from __future__ import annotations

from pathlib import Path

from LDMSegLib.cases.synthetic import write_synthetic_patient
from LDMSegLib.cli import options
from LDMSegLib.cli.tables import table
from LDMSegLib.events import Reporter


def run(arguments: list[str], reporter: Reporter) -> int:
    """Run the command; see `cli` for what the exit codes mean."""
    parser = options.Parser("demo-patient", "Make a synthetic patient: t1n, t1c, t2w, t2f and the truth, all called synthetic.")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="the folder for the images; made if it is not there"
    )
    parser.add_argument("--seed", type=options.whole(0), default=0, metavar="N", help="the same seed makes the same patient (0)")
    args = parser.parse_args(arguments)
    reporter.stage("make", "Making a synthetic patient")
    files = write_synthetic_patient(args.output, args.seed)
    reporter.result(folder=str(args.output), files={name: str(path) for name, path in files.items()})
    if not args.json_events:
        print(f"A synthetic patient, nobody's images:\n{table(list(files.items()), '<<')}")
    return 0
