"""Bundles: find and list what is installed, read, verify, load and save.

Everything a caller needs of bundles is importable from here. Nothing imports torch until weights are touched.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from LDMSegLib.errors import BundleError, OutputError
from LDMSegLib.io.atomic_file import atomic_file
from LDMSegLib.io.atomic_folder import new_folder
from LDMSegLib.io.hashing import file_sha256
from LDMSegLib.models.card import default_license, default_readme, standard_metadata
from LDMSegLib.models.layout import (
    CONFIGURATIONS,
    KEY,
    LICENSE,
    METADATA,
    README,
    WEIGHTS,
    Bundle,
    check_names,
    inside,
    is_bundle,
    read_bundle,
)
from LDMSegLib.models.weights import check_fit, load_networks, shapes_of, skeletons, verify
from LDMSegLib.specification import Specification, Weights, to_dict

if TYPE_CHECKING:
    import torch

__all__ = [
    "Bundle",
    "Listed",
    "find_bundle",
    "list_bundles",
    "load_networks",
    "read_bundle",
    "save_bundle",
    "save_specification",
    "user_folder",
    "verify",
]

EMBEDDED = Path(__file__).parent / "embedded"
VARIABLE = "LDMSEG_BUNDLES"


@dataclass(frozen=True)
class Listed:
    """One bundle that was found, or why it cannot be used. `origin` is "embedded", "environment" or "user"."""

    name: str
    folder: Path
    origin: str
    default: bool
    bundle: Bundle | None
    problem: str | None


def user_folder() -> Path:
    """Where a user's own bundles go: the system's place for application data. It need not exist."""
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "LDMSeg" / "bundles"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "LDMSeg" / "bundles"
    return Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "ldmseg" / "bundles"


def list_bundles() -> tuple[Listed, ...]:
    """All bundles that a name can stand for, in the order in which names are looked up; damaged ones with their problem."""
    default = _default_name()
    found = []
    for origin, folder in _folders():
        bundle, problem = None, None
        try:
            bundle = read_bundle(folder)
        except BundleError as error:
            problem = str(error)
        found.append(Listed(folder.name, folder, origin, origin == "embedded" and folder.name == default, bundle, problem))
    return tuple(found)


def find_bundle(name_or_path: str | os.PathLike[str] | None = None) -> Bundle:
    """The bundle of that name or in that folder; the embedded default without one.

    A name is looked up among the embedded bundles, then in the folders of $LDMSEG_BUNDLES, then in `user_folder()`.

    Raises:
        BundleError: there is no such bundle, or it cannot be read (see `read_bundle`).
    """
    if name_or_path is None:
        name = _default_name()
        if name is None:
            raise BundleError("no bundle is embedded in this installation, expected one; name a bundle or its folder with --bundle")
        return read_bundle(EMBEDDED / name)
    folders = list(_folders())
    for _, folder in folders:
        if folder.name == str(name_or_path):
            return read_bundle(folder)
    path = Path(name_or_path).expanduser()
    if path.exists() or path.name != str(name_or_path):
        return read_bundle(path)
    names = ", ".join(dict.fromkeys(folder.name for _, folder in folders)) or "none"
    raise BundleError(
        f"there is no bundle '{name_or_path}'; installed: {names}: choose one of these, name a folder, or put it in {user_folder()}"
    )


def save_bundle(
    folder: str | os.PathLike[str],
    specification: Specification,
    configurations: Mapping[str, Mapping[str, Any]],
    networks: Mapping[str, torch.nn.Module | Mapping[str, torch.Tensor]],
    metadata: Mapping[str, Any] | None = None,
    fp16: bool = True,
    documents: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> Bundle:
    """Write a bundle; the folder appears whole or not at all.

    Args:
        folder: a new folder. Its name is the name under which the bundle is found.
        specification: its `weights` entry is replaced: file and SHA-256 are those of the file written here.
        configurations: network name → `_target_` configuration.
        networks: network name → module or state dict, fitting the configuration exactly.
        metadata: MONAI's standard keys where they differ from `card.standard_metadata`.
        fp16: store floating-point weights as float16, except tensors whose values it cannot hold.
        documents: file in the bundle → text, e.g. "LICENSE" or "docs/README.md"; defaults are written for these two.
        overwrite: replace a folder that is already there.

    Returns:
        The bundle as read back.

    Raises:
        BundleError: networks, configurations and specification don't fit each other, or a weight is not finite.
        OutputError: the folder exists or cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    check_names(specification, configurations)
    tensors = _tensors(specification.name, configurations, networks, fp16)
    texts = {LICENSE: default_license(), README: default_readme(specification), **(documents or {})}
    with new_folder(folder, overwrite) as partial:
        for file in (METADATA, WEIGHTS, *texts):
            inside(partial, file).parent.mkdir(parents=True, exist_ok=True)
        # safetensors sorts its keys, so equal weights give an equal file and an equal hash.
        try:
            save_file(tensors, partial / WEIGHTS, metadata={"format": "pt"})
        except SafetensorError as error:  # what safetensors makes of a full disk
            raise OutputError(f"'{folder}' cannot be written ({error}); choose a writable folder with enough space") from error
        # safetensors writes a private file; a bundle has its folder's permissions, so that a colleague can read it too.
        (partial / WEIGHTS).chmod((partial / METADATA).parent.stat().st_mode & 0o666)
        specification = replace(specification, weights=Weights(WEIGHTS, file_sha256(partial / WEIGHTS)))
        described = {**standard_metadata(specification, metadata), KEY: to_dict(specification)}
        _write_json(partial / METADATA, described)
        _write_json(partial / CONFIGURATIONS, to_dict(dict(configurations)))
        for file, text in texts.items():
            (partial / file).write_text(text, encoding="utf-8", newline="\n")
        read_bundle(partial)
    return read_bundle(folder)


def save_specification(bundle: Bundle, specification: Specification) -> Bundle:
    """Replace what a bundle says about itself, e.g. its calibration; weights, networks and documents stay as they are.

    Returns:
        The bundle as read back.

    Raises:
        BundleError: the specification doesn't fit the bundle's networks.
        OutputError: the bundle cannot be written.
    """
    check_names(specification, bundle.configurations)
    described = {**bundle.metadata, KEY: to_dict(replace(specification, weights=bundle.specification.weights))}
    path = inside(bundle.folder, METADATA)
    with atomic_file(path, "make the bundle's folder writable or copy it") as partial:
        _write_json(partial, described)
    return read_bundle(bundle.folder)


def _tensors(
    bundle: str,
    configurations: Mapping[str, Mapping[str, Any]],
    networks: Mapping[str, torch.nn.Module | Mapping[str, torch.Tensor]],
    fp16: bool,
) -> dict[str, torch.Tensor]:
    if networks.keys() != configurations.keys():
        raise BundleError(
            f"bundle '{bundle}' is given weights of {sorted(networks)} and configurations of {sorted(configurations)}; "
            "give one of each for every network"
        )
    tensors = {}
    for name, skeleton in skeletons(configurations).items():
        network = networks[name]
        state = network if isinstance(network, Mapping) else network.state_dict()
        check_fit(f"bundle '{bundle}', network '{name}'", shapes_of(skeleton.state_dict()), shapes_of(state))
        for key, value in state.items():
            tensors[f"{name}.{key}"] = _stored(f"{name}.{key}", value, fp16)
    return tensors


def _stored(key: str, value: torch.Tensor, fp16: bool) -> torch.Tensor:
    value = value.detach().cpu()
    if not value.is_floating_point():
        return value.clone(memory_format=_contiguous())
    if not value.isfinite().all():
        raise BundleError(f"the weights '{key}' hold NaN or infinity, expected finite values; save an earlier state of the training")
    half = value.half() if fp16 else value
    # float16 ends at 65504; a tensor that goes beyond is kept as it is.
    kept = half if half.isfinite().all() else value
    return kept.clone(memory_format=_contiguous())


def _contiguous() -> torch.memory_format:
    import torch

    return torch.contiguous_format


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8", newline="\n")


def _default_name() -> str | None:
    """The embedded bundle that `embedded/DEFAULT` names: which one it is, is data, not code."""
    try:
        return (EMBEDDED / "DEFAULT").read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def _folders() -> Iterator[tuple[str, Path]]:
    """(origin, folder) of every bundle within reach, in the order of look-up."""
    for origin, parent in _parents():
        if origin == "environment" and is_bundle(parent):
            yield origin, parent
            continue
        try:
            children = sorted(parent.iterdir())
        except OSError:  # not there, or not ours to read: no bundles within reach
            continue
        for folder in children:
            # a dot: what a killed save left behind
            if is_bundle(folder) and not folder.name.startswith("."):
                yield origin, folder


def _parents() -> Iterator[tuple[str, Path]]:
    yield "embedded", EMBEDDED
    for entry in os.environ.get(VARIABLE, "").split(os.pathsep):
        if entry:
            yield "environment", Path(entry).expanduser()
    yield "user", user_folder()
