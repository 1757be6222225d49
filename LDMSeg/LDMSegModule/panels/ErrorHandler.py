"""The error handler of every slot: an error becomes one sentence in the panel."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any

from LDMSegLib.errors import LDMSegError
from LDMSegModule.install.Installation import InstallationError
from LDMSegModule.install.ModelManager import ModelError
from LDMSegModule.process.Sentences import sentence
from LDMSegModule.scene.PatientSample import SampleError

logger = logging.getLogger("LDMSeg")

FOR_THE_USER = (LDMSegError, InstallationError, ModelError, SampleError)
"""Errors whose message is one sentence for the user."""


class ErrorHandler:
    """Wraps slots and observers, so that nothing they raise reaches Qt or VTK.

    Errors meant for the user are told as they are. Anything else is a mistake of ours: it is told in a sentence that says so, and
    its traceback goes to the application's log.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def __call__(self, slot: Callable[..., Any]) -> Callable[..., Any]:
        """The slot, safe; it takes as many of the signal's arguments as the slot itself has room for."""
        parameters = inspect.signature(slot).parameters.values()
        room = None if any(p.kind is p.VAR_POSITIONAL for p in parameters) else len(parameters)

        def safely(*arguments: Any) -> Any:
            try:
                return slot(*arguments[:room])
            except FOR_THE_USER as error:
                self._tell(sentence(str(error)))
            except Exception as error:  # a slot is where our program ends and Qt's begins: nobody further up could tell the user
                logger.exception("a mistake in LDMSeg")
                self._tell(
                    f"LDMSeg met a problem it does not know ({type(error).__name__}: {error}); your volumes are unchanged: please report "
                    "it with the text in View > Error Log."
                )
            return None

        return safely
