"""SimpleITK, which belongs to the optional extra "prepare": imported only when something needs it."""

from __future__ import annotations

from typing import Any

from LDMSegLib.errors import InputError


def simpleitk(purpose: str, instead: str = "") -> Any:
    """The module; `purpose` begins the sentence that is said without it, `instead` ends it.

    Raises:
        InputError: it is not installed.
    """
    try:
        import SimpleITK
    except ImportError:
        raise InputError(
            f'{purpose} needs the package SimpleITK, which is not installed; install it by pip install "ldmseg[prepare]"{instead}'
        ) from None
    return SimpleITK
