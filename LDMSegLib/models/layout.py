"""What lies where in a bundle's folder, and how it is read: JSON only, so that listing bundles takes no time.

configs/metadata.json     MONAI's standard keys, and one key "ldmseg" that holds our `Specification`
configs/inference.json    one entry per network, in MONAI's `_target_` form
models/model.safetensors  all networks in one file, keys "<network>.<parameter>"
docs/README.md, LICENSE
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from LDMSegLib.errors import BundleError
from LDMSegLib.specification import Specification, from_dict

METADATA = "configs/metadata.json"
CONFIGURATIONS = "configs/inference.json"
WEIGHTS = "models/model.safetensors"
README = "docs/README.md"
LICENSE = "LICENSE"
KEY = "ldmseg"
EXPORTED_KEY = "ldmseg_export"
PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".ts", ".th")


@dataclass(frozen=True)
class Bundle:
    """A bundle as its JSON files describe it; nothing is known yet of the weights.

    `configurations` maps a network's name to its `_target_` configuration; `metadata` holds MONAI's standard keys.
    """

    folder: Path
    specification: Specification
    configurations: Mapping[str, Mapping[str, Any]]
    metadata: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What `--bundle` calls it."""
        return self.specification.name

    @property
    def version(self) -> str:
        """Of its metadata; empty where it has none."""
        return str(self.metadata.get("version", ""))

    @property
    def weights(self) -> Path:
        """The file of its networks' weights."""
        return self.folder / self.specification.weights.file


def is_bundle(folder: Path) -> bool:
    """Whether a folder looks like a MONAI bundle, ours or another's."""
    return (folder / METADATA).is_file()


def read_bundle(folder: str | os.PathLike[str]) -> Bundle:
    """Read a bundle's description, without torch and without its weights.

    Args:
        folder: the folder that holds `configs/`, `models/` and `docs/`.

    Raises:
        BundleError: not a bundle, unreadable JSON, a bundle made for another program, an inconsistent specification,
            or a weights entry that is a pickle or points outside the folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise BundleError(
            f"'{folder}' is {found}, expected a bundle's folder; name the folder that holds {METADATA} (unzip an archive first)"
        )
    metadata = _read_json(folder, METADATA)
    if KEY not in metadata:
        if EXPORTED_KEY in metadata:
            raise BundleError(f"bundle '{folder}' is an export for MONAI; use the LDMSeg bundle that it was exported from")
        raise BundleError(
            f"bundle '{folder}' was made for another program: its metadata has no '{KEY}' entry; use a bundle made for LDMSeg "
            "(ldmseg models list)"
        )
    specification = from_dict(Specification, metadata.pop(KEY), KEY)
    configurations = _read_json(folder, CONFIGURATIONS)
    check_names(specification, configurations)
    check_weights_file(folder, specification.weights.file)
    return Bundle(folder, specification, configurations, metadata)


def check_names(specification: Specification, configurations: Mapping[str, Any]) -> None:
    """Refuse configurations that cannot belong to a specification, as far as names and channel counts tell.

    Raises:
        BundleError: naming the first entry that doesn't fit.
    """
    where = f"{CONFIGURATIONS} of bundle '{specification.name}'"
    advice = "use an undamaged bundle or correct that file"
    for name, configuration in configurations.items():
        # A name becomes a key's prefix, so it must not hold the separator; MONAI's "_meta_" and the like are no networks.
        if not name.isidentifier() or not isinstance(configuration, Mapping) or "_target_" not in configuration:
            raise BundleError(f"{where} has an entry '{name}' that is no network, expected a name and a '_target_'; {advice}")
    for title, mode in specification.modes.items():
        for name in (mode.unet, mode.controlnet):
            if name is not None and name not in configurations:
                raise BundleError(f"{where} has no network '{name}', which mode '{title}' uses; {advice}")
    if "autoencoder" not in configurations:
        raise BundleError(f"{where} has no network 'autoencoder', expected one; {advice}")
    if any(mode.controlnet for mode in specification.modes.values()) and "conditioning" not in configurations:
        raise BundleError(f"{where} has no network 'conditioning', which every ControlNet needs; {advice}")
    regions, sequences, latent = len(specification.regions), len(specification.sequences), specification.latent.channels
    for name, argument, expected, what in (
        ("autoencoder", "in_channels", regions, "regions"),
        ("autoencoder", "out_channels", regions, "regions"),
        ("autoencoder", "latent_channels", latent, "latent channels"),
        ("conditioning", "in_channels", sequences, "sequences"),
        ("conditioning", "latent_channels", configurations.get("conditioning", {}).get("latent_channels") and latent, "latent channels"),
    ):
        found = configurations.get(name, {}).get(argument, expected)
        if found != expected:
            raise BundleError(f"{where} gives '{name}' {argument} = {found}, expected {expected} for its {what}; {advice}")


def check_weights_file(folder: Path, file: str) -> None:
    """Refuse a weights file that may run code or lies outside the bundle. The file itself need not exist yet.

    Raises:
        BundleError: a pickle's suffix, another suffix than .safetensors, or a path (or link) that leaves the folder.
    """
    suffix = PurePosixPath(file).suffix.lower()
    if suffix in PICKLES:
        raise BundleError(
            f"bundle '{folder}' keeps its weights in '{file}', a pickle, which can run any code when it is opened; "
            "expected a .safetensors file: use a bundle made for LDMSeg, or ldmseg models convert for a checkpoint you trust"
        )
    if suffix != ".safetensors":
        raise BundleError(f"bundle '{folder}' keeps its weights in '{file}', expected a .safetensors file; use an undamaged bundle")
    inside(folder, file)


def inside(folder: Path, file: str) -> Path:
    """The path of a bundle's file, refused when it leaves the bundle: absolute, by "..", or by a link.

    Raises:
        BundleError: the file lies, or would lie, outside the folder.
    """
    # Both kinds of path on every system: a bundle travels, and "C:\x" must not become safe by being read on Linux.
    windows, posix = PureWindowsPath(file), PurePosixPath(file)
    plain = not (windows.drive or windows.root or posix.root or ".." in windows.parts)
    path = folder / file
    if not plain or not path.resolve().is_relative_to(folder.resolve()):
        raise BundleError(f"bundle '{folder}' names '{file}', which lies outside its own folder; use a bundle that holds all its files")
    return path


def _read_json(folder: Path, file: str) -> dict[str, Any]:
    path = inside(folder, file)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"'{folder}' has no {file}, expected a bundle's folder; name one that ldmseg models list shows") from None
    except OSError as error:
        raise BundleError(f"'{path}' cannot be read ({error.strerror}); check the permissions of the bundle's folder") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or nested without end
        raise BundleError(f"'{path}' is not readable JSON ({error}); copy or download the bundle again") from error
    if not isinstance(content, dict):
        raise BundleError(f"'{path}' holds a {type(content).__name__}, expected a JSON object; copy or download the bundle again")
    return content
