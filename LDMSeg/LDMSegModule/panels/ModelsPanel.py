"""The table of models on this computer: view, verify, delete."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import qt
from slicer.i18n import tr as _

from LDMSegLib.errors import OutputError
from LDMSegModule.install.ModelManager import Model, ModelManager
from LDMSegModule.panels.Dialogs import Dialogs
from LDMSegModule.panels.Notice import GOOD, INFO, PROBLEM, Notice
from LDMSegModule.panels.VolumesView import ROW_HEIGHT
from LDMSegModule.process.RunControl import RunControl
from LDMSegModule.process.RunEvent import RunEvent
from LDMSegModule.process.RunOutcome import FAILED, RunOutcome


@dataclass(frozen=True, eq=False)
class ModelsWidgets:
    table: Any
    verify: Any
    delete: Any
    open: Any


class ModelsPanel:
    """Lists the models; verifies and deletes them.

    Args:
        widgets, notice: of this group.
        manager: the models.
        control: runs verifications in the background.
        dialogs: asks before a model is deleted, shows a folder.
        models_changed: told when there are other models than before.
        catch_errors: wraps slots.
    """

    def __init__(
        self,
        widgets: ModelsWidgets,
        notice: Notice,
        manager: ModelManager,
        control: RunControl,
        dialogs: Dialogs,
        models_changed: Callable[[], None],
        catch_errors: Callable[..., Any],
    ) -> None:
        self._w, self._notice, self._manager, self._control = widgets, notice, manager, control
        self._dialogs, self._models_changed = dialogs, models_changed
        self._items: list[Any] = []
        self._verified: Model | None = None
        self.models: tuple[Model, ...] = ()
        header = widgets.table.horizontalHeader()
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        for column in (1, 2):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        widgets.table.verticalHeader().setVisible(False)
        widgets.table.verticalHeader().defaultSectionSize = ROW_HEIGHT
        widgets.table.connect("itemSelectionChanged()", catch_errors(self._selected))
        for widget, slot in ((widgets.verify, self._verify), (widgets.delete, self._delete), (widgets.open, self._open)):
            widget.connect("clicked(bool)", catch_errors(slot))

    def refresh(self) -> None:
        """Look at the folders again."""
        self.models = self._manager.models()
        self._w.table.setRowCount(len(self.models))
        self._items = []
        for row, model in enumerate(self.models):
            origin = {"embedded": _("part of LDMSeg"), "user": _("yours")}.get(model.origin, _("LDMSEG_BUNDLES"))
            for column, text in enumerate((model.title, f"{model.megabytes:.1f} MB", origin)):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(model.problem or f"{model.name} {model.version}\n{model.folder}")
                if model.problem:
                    item.setForeground(qt.QBrush(qt.QColor(179, 38, 30)))
                self._w.table.setItem(row, column, item)
                self._items.append(item)
        if self.models:
            self._w.table.selectRow(0)
        self._selected()

    @property
    def selected(self) -> Model | None:
        row = self._w.table.currentRow()
        return self.models[row] if 0 <= row < len(self.models) else None

    def abandon(self) -> None:
        """The panel goes away."""
        self._control.abandon()

    def _selected(self) -> None:
        model = self.selected
        busy = self._control.running
        why = _("Choose a model.") if model is None else _("A verification is running.") if busy else ""
        self._w.verify.enabled = not why
        self._w.verify.toolTip = why or _("Reads the weights and compares them with their recorded hash.")
        if not why and model is not None and not model.can_be_deleted:
            why = (
                _("This model is part of LDMSeg and stays.")
                if model.origin == "embedded"
                else _("This model lies outside LDMSeg's own folder; delete it there.")
            )
        self._w.delete.enabled = not why
        self._w.delete.toolTip = why or _("Removes the model's folder from this computer, after asking.")

    def _verify(self) -> None:
        self._verified = self.selected
        if self._verified is not None and not self._control.running:
            self._notice.show(_("Verifying {name}.").format(name=self._verified.name), INFO)
            self._control.start(self._manager.verify_arguments(self._verified), self)
            self._selected()

    def on_event(self, event: RunEvent) -> None: ...

    def on_end(self, outcome: RunOutcome) -> None:
        self._selected()
        if outcome.status == FAILED or self._verified is None:
            self._notice.show(outcome.sentence, PROBLEM)
        else:
            self._notice.show(_("The model '{name}' is whole: its weights are those recorded.").format(name=self._verified.name), GOOD)

    def _delete(self) -> None:
        model = self.selected
        if model is None:
            return
        text = _("Delete the model '{name}' ({size:.1f} MB) from {folder}? This cannot be undone.")
        if self._dialogs.ask(text.format(name=model.name, size=model.megabytes, folder=model.folder)):
            self._notice.show(self._manager.delete(model), INFO)
            self.refresh()
            self._models_changed()

    def _open(self) -> None:
        folder = self._manager.user_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise OutputError(
                f"the folder for models, {folder}, cannot be made ({reason}), expected a place of your own; "
                "check the permissions of your home folder"
            ) from None
        self._dialogs.show(folder)
