"""How a script of this folder ends when the user can mend what went wrong: one sentence, no traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from LDMSegLib.errors import LDMSegError


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn the library's own errors into their sentence on standard error and their exit code; others pass unchanged."""
    try:
        yield
    except LDMSegError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        raise SystemExit(error.exit_code) from None
