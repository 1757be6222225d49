"""What can go wrong because of an input, said in one sentence a user can act on."""

from __future__ import annotations


class LDMSegError(Exception):
    """Base of every error the library raises on purpose.

    The message is one sentence: which input, what was found, what was expected and what to do.
    The command line prints it without a traceback and exits with `exit_code`.
    """

    exit_code = 2


class InputError(LDMSegError):
    """An image, folder or option given by the user cannot be used."""


class BundleError(LDMSegError):
    """A model bundle is missing, damaged, foreign or does not fit its own configuration."""


class OutputError(LDMSegError):
    """A result cannot be written: no space, no permission, or something is already there."""


class Cancelled(LDMSegError):
    """The user asked to stop before there was anything worth keeping."""

    exit_code = 130
