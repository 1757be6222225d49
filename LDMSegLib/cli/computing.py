"""The networks on their device. torch is imported here, when everything that does not need it has been checked."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from LDMSegLib import api
from LDMSegLib.events import Reporter
from LDMSegLib.models.layout import Bundle

if TYPE_CHECKING:
    from LDMSegLib.models.model import Model


def load_model(args: argparse.Namespace, bundle: Bundle, reporter: Reporter, for_synthesis: bool = False) -> Model:
    """Load a bundle as the options say (see `options.add_computing`); raises InputError and BundleError as `api.load_model`."""
    reporter.stage("load", "Loading the networks")
    with _nothing_collected():
        import torch  # noqa: F401

        import LDMSegLib.models.networks  # noqa: F401  (MONAI, the larger part)
    return api.load_model(
        bundle,
        mode=getattr(args, "mode", None),
        members=getattr(args, "members", None),
        steps=args.steps,
        device=args.device,
        precision=args.precision,
        threads=args.threads,
        for_synthesis=for_synthesis,
    )


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Import without looking for garbage, then or later: modules stay, and looking through them takes a fifth of the time."""
    if "torch" in sys.modules:
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
