"""The command line of the scripts of this folder: the options they share, and how they end when the user can mend what went wrong."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from LDMSegLib.errors import LDMSegError

# torchrun takes --run for an abbreviation of an option of its own, wherever it stands; hence the longer name.
_SHARED = {
    "config": (("--config",), {"type": Path, "help": "one of Training/configs/*.json"}),
    "data": (("--data",), {"type": Path, "help": "folder with BraTS cases and .npz files"}),
    "run": (("--run", "--run-folder"), {"type": Path, "help": "folder for prepared data, checkpoints and curves"}),
    "bundle": (("--bundle",), {"help": "the bundle's name or folder"}),
}


def parser(description: str, *required: str, seed: int | None = None) -> argparse.ArgumentParser:
    """A parser with the named shared options, "config", "data", "run" and "bundle", all required; and --seed where a default is given."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in required:
        flags, about = _SHARED[name]
        made.add_argument(*flags, required=True, **about)
    if seed is not None:
        made.add_argument("--seed", type=int, default=seed)
    return made


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn the library's own errors into their sentence on standard error and their exit code; others pass unchanged."""
    try:
        yield
    except LDMSegError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        raise SystemExit(error.exit_code) from None
