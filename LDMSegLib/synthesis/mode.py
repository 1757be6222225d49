"""Which mode of a bundle draws masks."""

from __future__ import annotations

from LDMSegLib.errors import BundleError
from LDMSegLib.models.layout import Bundle


def synthesis_mode(bundle: Bundle, name: str | None = None) -> str:
    """Name the mode that samples without an image.

    Args:
        bundle: a bundle.
        name: of the mode that is wanted; the bundle's own choice without.

    Raises:
        BundleError: there is no such mode, or it needs an image.
    """
    spec = bundle.specification
    name = name or spec.synthesis_mode
    if name not in spec.modes or spec.modes[name].controlnet is not None:
        raise BundleError(
            f"bundle '{bundle.name}' has no mode that samples without an image, so it cannot draw masks; choose another bundle"
        )
    return name
