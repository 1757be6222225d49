"""`ldmseg models`: list, verify, convert and export bundles, and say where one is."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from LDMSegLib.cli import options
from LDMSegLib.cli.console import JSON_EVENTS
from LDMSegLib.cli.tables import table
from LDMSegLib.errors import BundleError, InputError, LDMSegError
from LDMSegLib.events import Reporter
from LDMSegLib.models.bundle import VARIABLE, Listed, find_bundle, list_bundles, save_bundle, user_folder, verify
from LDMSegLib.models.layout import WEIGHTS
from LDMSegLib.specification import Specification, from_dict

CHECKPOINTS = ("autoencoder", "unet", "controlnet")


def run(arguments: list[str], reporter: Reporter) -> int:
    """Run the command; see `cli` for what the exit codes mean."""
    args = _parser().parse_args(arguments)
    args.json_events = JSON_EVENTS in arguments  # before or after the action
    return args.action(args, reporter)


def _parser() -> options.Parser:
    parser = options.Parser("models", "What bundles there are, and what can be done with them.", usage="ldmseg models ACTION ...")
    actions = parser.add_subparsers(metavar="ACTION", required=True, prog="ldmseg models")

    def action(name: str, work: Callable[[argparse.Namespace, Reporter], int], title: str) -> options.Parser:
        added = actions.add_parser(name, description=title, help=title)
        added.set_defaults(action=work)
        return added

    action("list", _list, "list all bundles within reach; damaged ones with what is wrong")
    verifying = action("verify", _verify, "check that bundles' weights are exactly what their metadata say")
    verifying.add_argument("bundles", nargs="*", metavar="BUNDLE", help="names or folders; all that are listed without")
    path = action("path", _path, "print a bundle's folder")
    path.add_argument("bundle", nargs="?", metavar="BUNDLE", help="a name; the default bundle without")
    converting = action("convert", _convert, "make a bundle of monai-generative 0.2.3 checkpoints")
    for kind in CHECKPOINTS:
        converting.add_argument(f"--{kind}", type=Path, required=kind != "controlnet", metavar="FILE", help=f"the {kind}'s checkpoint")
    converting.add_argument(
        "--configuration",
        type=Path,
        required=True,
        metavar="JSON",
        help='{"specification": the bundle\'s "ldmseg" entry without weights, "networks": {name: the arguments it was built with}}',
    )
    options.add_output(converting, "the bundle's folder", "replace a folder that is there")
    exporting = action("export-monai", _export, "write a bundle that monai.bundle itself can parse and load")
    exporting.add_argument("bundle", nargs="?", metavar="BUNDLE", help="a name or folder; the default bundle without")
    options.add_output(exporting, "the folder to write", "replace a folder that is there")
    return parser


def _list(args: argparse.Namespace, reporter: Reporter) -> int:
    bundles = list_bundles()
    reporter.result(bundles=[_described(listed) for listed in bundles])
    if args.json_events:
        return 0
    if not bundles:
        print(f"No bundles. Put one into {user_folder()}, or name its folder in {VARIABLE} or with --bundle.")
    for listed in bundles:
        print(f"{listed.name}{'  (default)' if listed.default else ''}")
        told = _described(listed)
        if listed.bundle is None:
            rows = [("problem", listed.problem)]
        else:
            modes = [f"{name} (members {m['members']}, steps {m['steps']})" for name, m in told["modes"].items()]
            rows = [("", told["title"]), ("reads", ", ".join(told["sequences"])), ("finds", ", ".join(told["regions"]))]
            rows += [("modes", ", ".join(modes)), ("version", told["version"])]
        print(table([*rows, ("folder", f"{listed.folder}  ({listed.origin})")], "<<"))
    return 0


def _described(listed: Listed) -> dict[str, Any]:
    told = {
        "name": listed.name,
        "folder": str(listed.folder),
        "origin": listed.origin,
        "default": listed.default,
        "problem": listed.problem,
    }
    if listed.bundle is None:
        return told
    spec = listed.bundle.specification
    return told | {
        "title": spec.title,
        "version": listed.bundle.version,
        "sequences": list(spec.sequence_names),
        "regions": list(spec.region_names),
        "modes": {name: {"members": mode.members, "steps": mode.steps, "title": mode.title} for name, mode in spec.modes.items()},
    }


def _verify(args: argparse.Namespace, reporter: Reporter) -> int:
    names: list[str | Path] = args.bundles or [listed.folder for listed in list_bundles()]
    if not names:
        raise BundleError(f"there is no bundle to verify, expected one within reach; name its folder or put it into {user_folder()}")
    code = 0
    for name in names:
        reporter.stage("verify", f"Verifying {name}")
        try:
            parameters = verify(find_bundle(name))
        except LDMSegError as error:
            reporter.error(str(error), exit_code=error.exit_code)
            code = error.exit_code
            continue
        reporter.result(bundle=str(name), parameters=parameters)
        if not args.json_events:
            counts = ", ".join(f"{network} {count:,}" for network, count in parameters.items())
            print(f"{name}: good; {sum(parameters.values()):,} parameters ({counts})")
    return code


def _path(args: argparse.Namespace, reporter: Reporter) -> int:
    folder = find_bundle(args.bundle).folder
    reporter.result(folder=str(folder))
    if not args.json_events:
        print(folder)
    return 0


def _convert(args: argparse.Namespace, reporter: Reporter) -> int:
    specification, networks = _configuration(args.configuration)
    given = {kind: path for kind in CHECKPOINTS if (path := getattr(args, kind)) is not None}
    absent = [kind for kind in given if kind not in networks]
    if absent:
        raise InputError(
            f"{args.configuration} has no networks.{absent[0]}, expected the arguments that the {absent[0]} was built with; add them"
        )
    reporter.stage("convert", "Converting the checkpoints")
    from LDMSegLib.models.convert import convert_checkpoint  # torch

    configurations: dict[str, Any] = {}
    states: dict[str, Any] = {}
    for kind, path in given.items():
        converted = convert_checkpoint(path, kind, networks[kind])
        configurations |= converted.configurations
        states |= converted.states
    bundle = save_bundle(args.output, specification, configurations, states, overwrite=args.overwrite)
    reporter.result(folder=str(bundle.folder), networks=list(configurations))
    if not args.json_events:
        print(f"{bundle.folder}: {', '.join(configurations)}")
    return 0


def _configuration(path: Path) -> tuple[Specification, dict[str, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({(error.strerror or str(error)).lower()}), expected a JSON file; check the path"
        ) from None
    except ValueError as error:
        raise InputError(f"{path} is not readable JSON ({error}); correct it") from None
    if not isinstance(content, dict) or not all(isinstance(content.get(key), dict) for key in ("specification", "networks")):
        raise InputError(f'{path} lacks "specification" or "networks", expected a JSON object with both; see ldmseg models convert --help')
    weights = {"file": WEIGHTS, "sha256": ""}  # what is written says it itself
    return from_dict(Specification, {**content["specification"], "weights": weights}, "specification"), content["networks"]


def _export(args: argparse.Namespace, reporter: Reporter) -> int:
    bundle = find_bundle(args.bundle)
    reporter.stage("export", f"Exporting {bundle.name}")
    from LDMSegLib.models.export import export_monai  # torch

    folder = export_monai(bundle, args.output, args.overwrite)
    reporter.result(folder=str(folder))
    if not args.json_events:
        print(folder)
    return 0
