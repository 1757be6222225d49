"""The field for a file of the site's own words for sequences, by which the volumes are chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qt

from LDMSegLib.errors import InputError
from LDMSegLib.sequences.site_rules import SiteRules, read_site_rules
from LDMSegLib.specification import Specification
from LDMSegModule.panels.Notice import PROBLEM, Notice
from LDMSegModule.process.Sentences import sentence

KEY = "LDMSeg/SiteRules"


@dataclass(frozen=True, eq=False)
class SiteRulesWidgets:
    path: Any


class SiteRulesPanel:
    """Reads the file that the field names, and says what is wrong with it.

    The path is kept in the application's settings and not in the scene, which is passed on and would tell the paths of this computer.

    Args:
        widgets: ctkPathLineEdit.
        notice: for what is wrong with the file.
        changed: told when another file has been chosen.
        catch_errors: wraps slots.
    """

    def __init__(self, widgets: SiteRulesWidgets, notice: Notice, changed: Callable[[], None], catch_errors: Callable[..., Any]) -> None:
        self._w, self._notice, self._changed = widgets, notice, changed
        self.rules = SiteRules()
        self.problems: list[str] = []
        widgets.path.currentPath = str(qt.QSettings().value(KEY, "") or "")
        # Slicer's path edit tells of a new path only where it is acceptable, so an emptied one is told by the other signal alone
        widgets.path.connect("currentPathChanged(QString)", catch_errors(lambda: self._chosen()))
        widgets.path.connect("validInputChanged(bool)", catch_errors(lambda: self._chosen()))

    @property
    def file(self) -> Path | None:
        """The file whose rules count; None where there is none, or it cannot be used."""
        return Path(self._path).expanduser() if self._path and not self.problems else None

    def use(self, specification: Specification | None) -> None:
        """Read the file for a bundle with these sequences; it may have been edited since."""
        self.rules, self.problems = SiteRules(), []
        if self._path and specification is not None:
            try:
                self.rules = read_site_rules(self._path, specification.sequence_names)
            except InputError as error:
                self.problems = [sentence(str(error))]
        self._notice.show("\n".join(self.problems), PROBLEM)

    def _chosen(self) -> None:
        qt.QSettings().setValue(KEY, self._path)
        self._changed()

    @property
    def _path(self) -> str:
        return self._w.path.currentPath.strip()
