"""The command line: finds the command, gives it somebody to talk to, and turns what went wrong into one sentence.

Exit codes:
    0    all that was asked for is done
    1    done in part: cases that failed, masks that could not be drawn, predictions without a reference
    2    an input, a bundle or an output cannot be used, or memory does not suffice; the message says which and what to do
    70   a mistake in the program itself; a log beside the output (or in the system's temporary folder) says where
    130  cancelled; members that were finished by then are a result, marked partial
    141  nobody reads the output any more
"""

from __future__ import annotations

import difflib
import importlib
import logging
import os
import sys
import traceback
import warnings

import LDMSegLib
from LDMSegLib.cli.console import console
from LDMSegLib.cli.log import Logged, run_log, unexpected
from LDMSegLib.cli.stop_file import VARIABLE as STOP_FILE
from LDMSegLib.cli.stop_file import watched
from LDMSegLib.errors import Cancelled, InputError, LDMSegError
from LDMSegLib.events import Reporter

COMMANDS = {
    "segment": "MRI in; label map, probabilities, variance, volumes and a report out",
    "prepare": "raw scans in; co-registered images of the brain alone out, as segmenting needs them",
    "synthesize": "draw new tumour masks",
    "evaluate": "compare results with reference segmentations: lesion-wise and global Dice and HD95",
    "models": "list, verify, convert or export bundles, or say where one is",
    "info": "what is installed, on which device, with how much memory",
    "demo-patient": "make a synthetic patient to try the software with",
}
BUG = 70
NOBODY_READS = 141
DEBUG = "LDMSEG_DEBUG"
_log = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Run `ldmseg` with these arguments (the process's own without any) and return its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with console(arguments) as reporter, run_log(arguments), warnings.catch_warnings():
            return _run_with_error_handling(arguments, Logged(reporter))
    except BrokenPipeError:
        return NOBODY_READS


def _run_with_error_handling(arguments: list[str], reporter: Reporter) -> int:
    debug = bool(os.environ.get(DEBUG))
    if not debug and not sys.warnoptions:
        warnings.simplefilter("ignore")  # of the libraries: their users are programmers, ours are not
    try:
        with watched():
            code = _run(arguments, reporter)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        raise
    except SystemExit as done:  # argparse, after --help
        return int(done.code or 0)
    except BaseException as error:
        if debug:
            traceback.print_exc()
        told = _in_one_sentence(error, arguments)
        reporter.error(str(told).replace("\n", " "), exit_code=told.exit_code)
        return told.exit_code


def _run(arguments: list[str], reporter: Reporter) -> int:
    name, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if name in ("-h", "--help"):
        print(_help())
        return 0
    if name == "--version":
        print(LDMSegLib.__version__)
        return 0
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        advice = f"did you mean '{close[0]}'?" if close else "see ldmseg --help"
        raise InputError(f"there is no command '{name}', expected one of {', '.join(COMMANDS)}; {advice}")
    # only the command that runs is imported, so that listing bundles does not wait for what segmenting needs
    return importlib.import_module(f"LDMSegLib.cli.{name.replace('-', '_')}").run(rest, reporter)


def _help() -> str:
    lines = [f"  {name:<14}{title}" for name, title in COMMANDS.items()]
    return "\n".join(
        [
            f"ldmseg {LDMSegLib.__version__}: brain tumour sub-regions from MRI, with their uncertainty",
            "",
            "usage: ldmseg COMMAND ...        (ldmseg COMMAND --help for its options)",
            "",
            *lines,
            "",
            "Every command takes --json-events: one JSON object a line instead of text, for a program that drives it.",
            "Ctrl-C (or SIGTERM) stops: what is finished is kept and marked partial. Once more kills.",
            f"A program asks for the same by making the file that the environment variable {STOP_FILE} names.",
            "",
            "Research use only, not a medical device.",
        ]
    )


class _Bug(LDMSegError):
    exit_code = BUG


def _in_one_sentence(error: BaseException, arguments: list[str]) -> LDMSegError:
    if isinstance(error, LDMSegError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Cancelled("cancelled before there was a result; nothing was written")
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        _log.error("memory ran out", exc_info=error)
        # What a GPU could not hold says so; anything else happened in the computer's own memory, where the CPU's is what there is.
        elsewhere = ("cuda" in str(error).lower() or "mps" in str(error).lower()) and _option(arguments, "--device") != "cpu"
        return InputError(
            f"the memory does not suffice; close other programs, or use {'--device cpu or ' * elsewhere}a bundle with a smaller grid"
        )
    return _Bug(f"LDMSeg met a problem it does not know ({unexpected(error)}); please report it with that file")


def _option(arguments: list[str], name: str) -> str | None:
    """What an option was given, "--name value" or "--name=value"."""
    given = [after for word, after in zip(arguments, [*arguments[1:], ""], strict=False) if word == name]
    given += [word.partition("=")[2] for word in arguments if word.startswith(f"{name}=")]
    return given[-1] if given else None
