"""Options that several commands share, and a parser whose complaints are errors like any other."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from LDMSegLib.cli.console import JSON_EVENTS
from LDMSegLib.errors import InputError
from LDMSegLib.preprocessing.plan import CHOICES, PreparationOptions, check_options
from LDMSegLib.sequences.site_rules import read_site_rules
from LDMSegLib.specification import Specification

BRATS_LABELS = "brats2017"
"""The convention that --brats-labels asks a bundle for."""


class Parser(argparse.ArgumentParser):
    """Raises InputError with one sentence where argparse would print its usage and exit.

    Options are not to be abbreviated: in a longer name of the next bundle an abbreviation would mean something else.
    """

    def __init__(self, command: str = "", description: str = "", **options: object) -> None:
        fixed = {"allow_abbrev": False, "formatter_class": argparse.RawDescriptionHelpFormatter}
        super().__init__(**{"prog": f"ldmseg {command}", "description": description, **fixed, **options})
        self.add_argument(JSON_EVENTS, action="store_true", help="tell everything as one JSON object a line on the standard output")

    def error(self, message: str) -> NoReturn:
        """Raise InputError with the message."""
        raise InputError(f"{message}; see {self.prog} --help")


def add_output(parser: argparse.ArgumentParser, what: str, overwrite: str = "replace an earlier result there") -> None:
    """Where the result goes."""
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help=what)
    parser.add_argument("--overwrite", action="store_true", help=overwrite)


def add_case_id(parser: argparse.ArgumentParser) -> None:
    """What the result calls the case."""
    parser.add_argument(
        "--case-id",
        type=case_id,
        metavar="ID",
        help="what the result calls the case, instead of what the files' names have in common; their names are then left out",
    )


def add_bundle(parser: argparse.ArgumentParser) -> None:
    """Which model."""
    parser.add_argument("--bundle", metavar="B", help="a bundle's name or folder (see ldmseg models list); the default one without")


def add_computing(parser: argparse.ArgumentParser) -> None:
    """Where and how the networks run."""
    group = parser.add_argument_group("computing")
    group.add_argument(
        "--seed",
        type=whole(0),
        default=0,
        metavar="N",
        help="the same seed gives the same result on the same device and at the same precision (default: 0)",
    )
    group.add_argument("--threshold", type=share, metavar="T", help="a region is on at or above this probability (default: the bundle's)")
    group.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda, cuda:1 or mps (auto: the fastest there is)")
    group.add_argument("--precision", default="auto", metavar="P", help="auto, bfloat16 or float32 (auto: what the device does fast)")
    group.add_argument("--batch-size", type=whole(1), default=8, metavar="B", help="members sampled at once at most (default: 8)")
    add_threads(group)
    group.add_argument("--brats-labels", action="store_true", help="write the label map with the integers of BraTS 2017 to 2020")


def add_threads(parser: argparse._ActionsContainer) -> None:
    """How many threads."""
    parser.add_argument("--threads", type=whole(1), metavar="T", help="CPU threads, also to prepare raw scans (default: all cores)")


def add_preparing(parser: argparse.ArgumentParser, default: str) -> None:
    """What is done to raw scans before the networks see them."""
    group = parser.add_argument_group("raw scans")
    group.add_argument(
        "--prepare",
        choices=CHOICES,
        default=default,
        help="register, extract the brain and bring it to the orientation of the training data: automatic (only what the images call for), "
        f"always or never (default: {default})",
    )
    group.add_argument(
        "--brain-mask",
        type=Path,
        metavar="FILE",
        help="a brain mask to use instead of extracting the brain (with --cohort a pattern, {case} for its name, {folder} for its folder)",
    )
    group.add_argument(
        "--brain-extraction", default="deepbet", metavar="M", help="deepbet (light) or hd-bet (stronger, slower, in ldmseg[hd-bet])"
    )
    group.add_argument("--result-on", default="", metavar="SEQUENCE", help="whose native grid the result takes (the reference's)")


def add_site_rules(parser: argparse.ArgumentParser) -> None:
    """A site's own rules for names of series."""
    parser.add_argument(
        "--site-rules",
        type=Path,
        metavar="FILE",
        help="your site's own words: lines of words, a tab and the sequence they mean, e.g. 'stealth<tab>t1c', 'cor t1 km<tab>none'",
    )


def check_site_rules(args: argparse.Namespace, specification: Specification) -> None:
    """Read what `add_site_rules` was answered; raises InputError where the file is none."""
    if args.site_rules:
        read_site_rules(args.site_rules, specification.sequence_names)


def given_images(args: argparse.Namespace) -> dict[str, Path]:
    """What --t1c and the like were given: sequence name → file, or the number of a series as a path."""
    return {key.removeprefix("file:"): path for key, path in vars(args).items() if key.startswith("file:") and path is not None}


def chosen_images(args: argparse.Namespace, command: str) -> tuple[list[Path] | dict[str, Path], dict[str, int]]:
    """The one way in which images were given, and the numbers of series beside a DICOM folder; for `read_case`.

    Raises:
        InputError: none were, or in more than one way.
    """
    given = given_images(args)
    if len(args.case) == 1 and args.case[0].is_dir() and (numbers := _series_numbers(given)):
        return args.case, numbers
    if bool(args.case) == bool(given):
        found = "images were given in more than one way" if given else "no images were given"
        ways = "a case's folder, or one file for each sequence" + (", or --cohort DIR" if "cohort" in args else "")
        raise InputError(f"{found}, expected {ways}; see ldmseg {command} --help")
    return given or args.case, {}


def _series_numbers(given: Mapping[str, Path]) -> dict[str, int]:
    """What --t1c 5 and the like mean beside a DICOM folder: sequence name → number of its series; empty where files are given."""
    numbers = {name: int(str(value)) for name, value in given.items() if re.fullmatch(r"[0-9]+", str(value))}
    return numbers if len(numbers) == len(given) else {}


def preparation_options(args: argparse.Namespace, specification: Specification) -> PreparationOptions:
    """What `add_preparing` was answered; raises InputError as `check_options`."""
    chosen = PreparationOptions(args.prepare, args.brain_extraction, args.brain_mask, args.result_on, args.threads)
    check_options(chosen, specification.sequence_names)
    return chosen


def given_bundle(arguments: list[str]) -> str | None:
    """What --bundle says, before the other options are known: some of them are the bundle's own."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--bundle")
    try:
        return parser.parse_known_args(arguments)[0].bundle
    except argparse.ArgumentError as error:
        raise InputError(f"{error}; name a bundle or its folder") from None


def wants_help(arguments: list[str]) -> bool:
    """Whether help is asked for."""
    return "-h" in arguments or "--help" in arguments


def whole(least: int):
    """A parser of whole numbers from `least` up."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or value < least:
            raise argparse.ArgumentTypeError(f"{text!r} given, expected a whole number from {least} up")
        return value

    return parse


def case_id(text: str) -> str:
    """A name that can also be part of a file's."""
    if not re.fullmatch(r"\w[\w .+-]{0,63}", text):
        raise argparse.ArgumentTypeError(f"{text!r} given, expected at most 64 letters, digits, spaces, dots, -, + and _")
    return text.strip()


def names(text: str) -> tuple[str, ...]:
    """Words with commas between them."""
    return tuple(dict.fromkeys(word for part in text.split(",") if (word := part.strip())))


def share(text: str) -> float:
    """A probability above 0 and at most 1."""
    value = _number(text)
    if not 0.0 < value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} given, expected a number above 0 and at most 1")
    return value


def not_negative(text: str) -> float:
    """A finite number from 0 up."""
    value = _number(text)
    if not 0.0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} given, expected a number from 0 up")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
