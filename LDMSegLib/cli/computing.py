"""The networks on their device. torch is imported here, when everything that does not need it has been checked."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from LDMSegLib.events import Reporter
from LDMSegLib.models.layout import Bundle

if TYPE_CHECKING:
    from LDMSegLib.models.model import Model


def load_model(args: argparse.Namespace, bundle: Bundle, mode: str | None, reporter: Reporter) -> Model:
    """Load a bundle for a sampling mode, as the options say (see `options.add_computing`).

    Raises:
        InputError, BundleError: see `choose_device`, `sampling_mode` and `Model`.
    """
    reporter.stage("load", "Loading the networks")
    with _nothing_collected():
        import torch

        import LDMSegLib.models.networks  # noqa: F401  (MONAI, the larger part)
        from LDMSegLib.models.device import choose_device
        from LDMSegLib.models.model import Model, sampling_mode

    chosen = sampling_mode(bundle.specification, mode, args.steps, getattr(args, "members", None))
    if args.threads:
        torch.set_num_threads(args.threads)
    return Model(bundle, chosen, choose_device(args.device, args.precision))


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
