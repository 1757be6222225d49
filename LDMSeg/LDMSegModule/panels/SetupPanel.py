"""The set-up group, shown when a package is missing or broken; nothing is installed without consent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from LDMSegModule.install.Installation import Installation
from LDMSegModule.install.Installed import Installed
from LDMSegModule.panels.Dialogs import Dialogs
from LDMSegModule.panels.Notice import GOOD, INFO, PROBLEM, WARNING, Notice


@dataclass(frozen=True, eq=False)
class SetupWidgets:
    group: Any
    install: Any
    folder: Any
    check: Any
    progress: Any


class SetupPanel:
    """Shows which packages are missing, and has them installed.

    Args:
        widgets, notice: of this group.
        installation: knows what is missing and installs it.
        timer: QTimer, by which a trial import is asked for news.
        dialogs: asks for consent, and for a folder.
        state_changed: told when what is installed has become known.
        catch_errors: wraps slots.
    """

    def __init__(
        self,
        widgets: SetupWidgets,
        notice: Notice,
        installation: Installation,
        timer: Any,
        dialogs: Dialogs,
        state_changed: Callable[[], None],
        catch_errors: Callable[..., Any],
    ) -> None:
        self._w, self._notice, self._installation, self._timer = widgets, notice, installation, timer
        self._dialogs, self._state_changed = dialogs, state_changed
        self._run: Any = None
        self.installed: Installed | None = None
        timer.setInterval(100)
        timer.connect("timeout()", catch_errors(self._poll))
        for widget, slot in ((widgets.install, self._install), (widgets.folder, self._install_folder), (widgets.check, self.check)):
            widget.connect("clicked(bool)", catch_errors(slot))
        widgets.progress.visible = False

    def look(self) -> None:
        """A quick look without importing anything: shows the group when something cannot even be found."""
        missing = self._installation.absent()
        self.installed = Installed(missing=missing) if missing else None
        self._show()

    def open(self) -> None:
        """Unfold the group and check."""
        self._w.group.collapsed = False
        self.check()

    def check(self) -> None:
        """Import everything once, in a process of its own, to find what is broken too."""
        if self._run is not None and self._run.running:
            return
        self._w.group.visible = True
        self._w.progress.visible = True
        self._switch(_("The packages are being tried."))
        self._notice.show(_("Trying the packages in a process of its own."), INFO)
        self._run = self._installation.start_check(self._checked)
        self._timer.start()

    def need(self, package: str) -> None:
        """A run missed this package: it is offered for installation from now on."""
        self._installation.want(package)
        self.check()

    @property
    def problems(self) -> list[str]:
        """Why nothing can be run yet."""
        if self.installed is None or self.installed.ready:
            return []
        return [self._obstacle or self.installed.sentence.replace(_("press Install"), _("see Set-up"))]

    @property
    def _obstacle(self) -> str:
        return self._installation.obstacle(self.installed) if self.installed is not None else ""

    def abandon(self) -> None:
        """The panel goes away."""
        self._timer.stop()
        if self._run is not None and self._run.running:
            self._run.end()

    def _poll(self) -> None:
        if self._run is not None:
            self._run.poll()
        if self._run is None or not self._run.running:
            self._timer.stop()

    def _checked(self, installed: Installed) -> None:
        self.installed = installed
        self._w.progress.visible = False
        self._show()
        if installed.ready:
            self._w.group.visible = True
            self._notice.show(installed.sentence, GOOD)

    def _install(self) -> None:
        if self.installed is not None and self._dialogs.ask(self._installation.consent(self.installed)):
            self._notice.show(_("Installing; this may take a few minutes."), INFO)
            self._installation.install(self.installed)
            self.check()

    def _install_folder(self) -> None:
        chosen = self._dialogs.choose_folder(_("Folder with downloaded Python packages"))
        if chosen and self.installed is not None and self._dialogs.ask(self._installation.consent(self.installed, Path(chosen))):
            self._notice.show(_("Installing from {folder}.").format(folder=chosen), INFO)
            self._installation.install_from_folder(self.installed, Path(chosen))
            self.check()

    def _show(self) -> None:
        self._w.group.visible = self.installed is not None and not self.installed.ready
        if self.installed is None or self.installed.ready:
            self._notice.clear()
            self._switch(_("Everything is installed."))
        elif self._obstacle:  # said before anybody presses Install and waits for a download that cannot succeed
            self._notice.show(self._obstacle, PROBLEM)
            self._switch(self._obstacle)
        else:
            self._notice.show(self.installed.sentence, WARNING)
            self._switch("")
        self._state_changed()

    def _switch(self, why_off: str) -> None:
        for button, tip in (
            (self._w.install, _("Shows what would be installed and its size, and asks before anything is downloaded.")),
            (self._w.folder, _("For a computer without internet: installs from a folder of downloaded packages (wheels).")),
        ):
            button.enabled = not why_off
            button.toolTip = why_off or tip
