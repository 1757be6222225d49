"""The menu that makes surfaces, region segments or a label map of a result, and opens its report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from LDMSegModule.panels.Dialogs import Dialogs
from LDMSegModule.panels.Notice import GOOD, WARNING
from LDMSegModule.result.Result import Result
from LDMSegModule.result.ResultExtras import ResultExtras
from LDMSegModule.result.ResultFiles import REPORT, ResultFiles


class MoreMenu:
    """Fills the menu of a button with what can be made of a result.

    Args:
        button: QToolButton that gets the menu.
        catch_errors: wraps slots.
        result: the result under review, None where there is none.
        files: where the results' files lie.
        dialogs: chooses a folder, opens a picture.
        tell: says a sentence of a kind.
    """

    def __init__(
        self,
        button: Any,
        catch_errors: Callable[..., Any],
        result: Callable[[], Result | None],
        files: ResultFiles,
        dialogs: Dialogs,
        tell: Callable[[str, str], None],
    ) -> None:
        self._result, self._files, self._dialogs, self._tell = result, files, dialogs, tell
        self._menu = qt.QMenu(button)
        self.actions = {}
        for name, title, slot in (
            ("surfaces", _("Surfaces in 3D"), self._surfaces),
            ("regions", _("Regions as segments (ET, TC, WT)"), self._regions),
            ("label_map", _("Label map volume"), self._label_map),
            ("report", _("Open the report"), self._open_report),
            ("save", _("Save the run's files…"), self._save),
        ):
            action = self._menu.addAction(title)
            action.connect("triggered(bool)", catch_errors(slot))
            self.actions[name] = action
        button.setMenu(self._menu)

    def _extras(self) -> ResultExtras | None:
        result = self._result()
        if result is None or not result.exists:
            self._tell(_("This result is no longer in the scene; run the segmentation again."), WARNING)
            return None
        return ResultExtras(result)

    def _surfaces(self) -> None:
        extras = self._extras()
        if extras is not None:
            shown = extras.toggle_surfaces()
            self._tell(_("Surfaces are shown in the 3D view.") if shown else _("Surfaces are hidden."), GOOD)

    def _regions(self) -> None:
        extras = self._extras()
        if extras is not None:
            self._tell(_("'{name}' was added to the scene.").format(name=extras.regions().GetName()), GOOD)

    def _label_map(self) -> None:
        extras = self._extras()
        if extras is not None:
            self._tell(_("'{name}' was added to the scene.").format(name=extras.label_map().GetName()), GOOD)

    def _open_report(self) -> None:
        report = self._files.picture(self._result(), REPORT)
        if report is None:
            self._tell(
                _("The report lies beside the files of a run and is gone with them; run the segmentation again for a new one."), WARNING
            )
        else:
            self._dialogs.show(report)

    def _save(self) -> None:
        result = self._result()
        if result is None:
            return
        if self._files.folder(result) is None:
            self._tell(_("The files of this run are gone; save the scene, which holds all maps, or run the segmentation again."), WARNING)
            return
        chosen = self._dialogs.choose_folder(_("Folder to save the run's files in"))
        if chosen:
            self._tell(_("Saved in {folder}, as computed: without your edits.").format(folder=self._files.save(result, Path(chosen))), GOOD)
