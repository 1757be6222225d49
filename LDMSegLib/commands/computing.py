"""The networks on their device. torch is imported here, when everything that does not need it has been checked."""

from __future__ import annotations

import argparse
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
    import torch

    from LDMSegLib.models.device import choose_device
    from LDMSegLib.models.model import Model, sampling_mode

    chosen = sampling_mode(bundle.specification, mode, args.steps, getattr(args, "members", None))
    if args.threads:
        torch.set_num_threads(args.threads)
    return Model(bundle, chosen, choose_device(args.device, args.precision))
