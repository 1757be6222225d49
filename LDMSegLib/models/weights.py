"""A bundle's weights: refused unless they are exactly what the bundle says they are, then loaded.

torch, safetensors and MONAI are imported inside the functions that need them: `ldmseg models list` and the checks
of a bundle's JSON go through the same package and must not wait seconds for torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from LDMSegLib.errors import BundleError
from LDMSegLib.io.hashing import file_sha256
from LDMSegLib.models.layout import CONFIGURATIONS, Bundle, check_weights_file

if TYPE_CHECKING:
    import torch

AGAIN = "copy or download the bundle again"
Shapes = dict[str, tuple[int, ...]]


def verify(bundle: Bundle) -> dict[str, int]:
    """Check a bundle's weights against its metadata and its configuration, without loading them.

    The file's SHA-256 is the metadata's, its header is readable, and it holds every parameter that the configured
    networks have, in the right shape, and nothing else.

    Returns:
        Number of parameters of each network.

    Raises:
        BundleError: the first of these that doesn't hold.
    """
    found = _split(bundle, _shapes(_checked_file(bundle)))
    for name, network in skeletons(bundle.configurations).items():
        check_fit(f"bundle '{bundle.name}', network '{name}'", shapes_of(network.state_dict()), found[name])
    return {name: sum(math.prod(shape) for shape in shapes.values()) for name, shapes in found.items()}


def load_networks(
    bundle: Bundle, device: str | torch.device = "cpu", dtype: torch.dtype | None = None, names: Iterable[str] | None = None
) -> dict[str, torch.nn.Module]:
    """Build a bundle's networks with its weights, in evaluation mode.

    Args:
        bundle: from `read_bundle` or `find_bundle`.
        device: where the networks go.
        dtype: of the parameters, float32 without one, whatever the file stores.
        names: only these networks; all without.

    Returns:
        Networks by name.

    Raises:
        BundleError: as `verify`, or a name the bundle doesn't have.
    """
    import torch
    from safetensors import safe_open

    wanted = list(bundle.configurations if names is None else names)
    unknown = [name for name in wanted if name not in bundle.configurations]
    if unknown:
        raise BundleError(
            f"bundle '{bundle.name}' has no network '{unknown[0]}'; it has {', '.join(bundle.configurations)}: choose one of these"
        )
    dtype = dtype or torch.float32
    path = _checked_file(bundle)
    found = _split(bundle, _shapes(path))
    networks = skeletons({name: bundle.configurations[name] for name in wanted})
    with safe_open(path, framework="pt") as file:
        for name, network in networks.items():
            check_fit(f"bundle '{bundle.name}', network '{name}'", shapes_of(network.state_dict()), found[name])
            # copy: what safetensors hands out may be a view of the mapped file, which must not stay open or change under us.
            state = {key: _cast(file.get_tensor(f"{name}.{key}"), device, dtype) for key in found[name]}
            network.load_state_dict(state, strict=True, assign=True)
            left = [key for key, value in (*network.named_parameters(), *network.named_buffers()) if value.is_meta]
            if left:  # a buffer that is computed, not stored: build for real, which the skeleton only spares the time of
                networks[name] = network = _build(name, bundle.configurations[name]).to(device, dtype)
                network.load_state_dict(state, strict=True)
            network.eval()
    return networks


def skeletons(configurations: Mapping[str, Mapping[str, Any]]) -> dict[str, torch.nn.Module]:
    """The networks without weights: on torch's "meta" device, which has shapes and no memory.

    Raises:
        BundleError: a configuration that no network can be built from.
    """
    import torch

    with torch.device("meta"):
        return {name: _build(name, configuration) for name, configuration in configurations.items()}


def shapes_of(state: Mapping[str, torch.Tensor]) -> Shapes:
    """The shape of every entry of a state dict."""
    return {key: tuple(value.shape) for key, value in state.items()}


def check_fit(whose: str, expected: Shapes, found: Shapes) -> None:
    """Refuse weights that are not exactly those that a network has: none missing, none left over, no other shape.

    Raises:
        BundleError: naming the first parameter that doesn't fit, and how many others don't.
    """
    advice = f"{AGAIN}, or correct {CONFIGURATIONS}"
    missing = sorted(expected.keys() - found.keys())
    if missing:
        raise BundleError(f"{whose}: the weights lack '{missing[0]}'{_others(missing)}, which its configuration asks for; {advice}")
    unknown = sorted(found.keys() - expected.keys())
    if unknown:
        raise BundleError(f"{whose}: the weights hold '{unknown[0]}'{_others(unknown)}, which its configuration has no place for; {advice}")
    wrong = sorted(key for key, shape in expected.items() if found[key] != shape)
    if wrong:
        key = wrong[0]
        raise BundleError(f"{whose}: '{key}'{_others(wrong)} has shape {found[key]}, its configuration asks for {expected[key]}; {advice}")


def _others(keys: list[str]) -> str:
    return f" and {len(keys) - 1} more" if len(keys) > 1 else ""


def _build(name: str, configuration: Mapping[str, Any]) -> torch.nn.Module:
    from LDMSegLib.models.networks import build

    try:
        return build(configuration)
    except BundleError:
        raise
    except Exception as error:  # the arguments come from a file, and a constructor may fail on them in any way
        raise BundleError(f"network '{name}' cannot be built from {CONFIGURATIONS} ({error}); correct that file") from error


def _cast(tensor: torch.Tensor, device: str | torch.device, dtype: torch.dtype) -> torch.Tensor:
    return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else tensor.dtype, copy=True)


def _checked_file(bundle: Bundle) -> Path:
    """The weights file, once it is known to be a safetensors file with the right hash."""
    check_weights_file(bundle.folder, bundle.specification.weights.file)
    path = bundle.weights
    try:
        with path.open("rb") as file:
            head = file.read(9)
        # A safetensors file is eight bytes of length, then JSON. Zip and pickle are what torch.save writes.
        if head[8:9] != b"{":
            if head[:2] == b"PK" or head[:1] == b"\x80":
                raise BundleError(
                    f"'{path}' is a pickle under another name, which can run any code when it is opened; "
                    "expected safetensors: use a bundle from a source you trust"
                )
            raise BundleError(f"'{path}' is not a safetensors file; {AGAIN}")
        digest = file_sha256(path)
    except FileNotFoundError:
        raise BundleError(f"bundle '{bundle.name}' has no weights file '{path}'; {AGAIN}") from None
    except OSError as error:
        raise BundleError(f"'{path}' cannot be read ({error.strerror}); check the permissions of the bundle's folder") from error
    expected = bundle.specification.weights.sha256
    if digest != expected.lower():
        raise BundleError(
            f"'{path}' has SHA-256 {digest[:12]}…, its metadata says {expected[:12]}…: it is damaged or was replaced; {AGAIN}"
        )
    return path


def _shapes(path: Path) -> Shapes:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118  (not a dictionary)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"'{path}' is not readable as safetensors ({error}); {AGAIN}") from error


def _split(bundle: Bundle, shapes: Shapes) -> dict[str, Shapes]:
    """Per network, without the prefix."""
    found: dict[str, Shapes] = {name: {} for name in bundle.configurations}
    for key, shape in shapes.items():
        name, _, rest = key.partition(".")
        if name not in found or not rest:
            raise BundleError(
                f"the weights of bundle '{bundle.name}' hold '{key}', which belongs to none of its networks "
                f"({', '.join(found)}); {AGAIN}, or correct {CONFIGURATIONS}"
            )
        found[name][rest] = shape
    return found
