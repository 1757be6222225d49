"""Group 4 of the panel: synthetic masks, sampled in the background, saved as files and shown in the scene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from slicer.i18n import tr as _

from LDMSegModule.panels.Notice import GOOD, INFO, PROBLEM, WARNING, Notice
from LDMSegModule.panels.ProgressView import ProgressView
from LDMSegModule.parameters.SynthesizeParameters import SynthesizeParameters
from LDMSegModule.process.RunControl import RunControl
from LDMSegModule.process.RunEvent import RunEvent
from LDMSegModule.process.RunFolders import RunFolders, free_folder
from LDMSegModule.process.RunOutcome import CANCELLED, FAILED, RunOutcome
from LDMSegModule.process.Sentences import sentence


@dataclass(frozen=True, eq=False)
class SyntheticWidgets:
    button: Any
    frame: Any
    progress: Any
    stage: Any
    cancel: Any
    folder: Any


class Exporter(Protocol):
    def write(self, nodes: dict[str, Any], folder: str | Path) -> dict[str, Path]: ...


class SyntheticPanel:
    """Samples synthetic masks, from the click to the masks in the scene.

    Args:
        widgets, notice: of this group.
        control: runs the background process.
        folders: for temporary files.
        exporter: volume nodes → NIfTI files.
        load_result: (folder, volume drawn over or None) → how many masks are now in the scene.
        home: under which a folder for masks is suggested.
        state_changed: told when a run has begun or ended.
        catch_errors: wraps slots.
    """

    def __init__(
        self,
        widgets: SyntheticWidgets,
        notice: Notice,
        control: RunControl,
        folders: RunFolders,
        exporter: Exporter,
        load_result: Callable[[Path, Any], int],
        home: Path,
        state_changed: Callable[[], None],
        catch_errors: Callable[..., Any],
    ) -> None:
        self._w, self._notice, self._control, self._folders = widgets, notice, control, folders
        self._exporter, self._load_result, self._home, self._state_changed = exporter, load_result, home, state_changed
        self._view = ProgressView(widgets.progress, widgets.stage, None, self._ended)
        self._parameters: Any = None
        self._bundle = self._device = ""
        self._problems: list[str] = []
        self._temporary: Path | None = None
        self._like: tuple[Any, str] = (None, "")
        self._why_stopped = ""
        self._suggested = False
        widgets.button.connect("clicked(bool)", catch_errors(self._start))
        widgets.cancel.connect("clicked(bool)", catch_errors(self._cancel))
        # Slicer's path edit tells of a new path only where it is acceptable, so an emptied one is told by the other signal alone
        widgets.folder.connect("currentPathChanged(QString)", catch_errors(lambda: self._state_changed()))
        widgets.folder.connect("validInputChanged(bool)", catch_errors(lambda: self._state_changed()))
        widgets.frame.visible = False

    @property
    def running(self) -> bool:
        return self._control.running

    def bind(self, parameters: Any) -> None:
        """Take these parameters; None while a scene closes."""
        self._parameters = parameters
        if parameters is not None and not self._path and not self._suggested:
            self._suggest()

    def show_readiness(self, problems: list[str]) -> None:
        """Switch the button, and say in its tooltip why it is off. The folder's own problems are added."""
        own = [] if self._path else [_("Choose a folder to save the masks in.")]
        self._problems = [*problems, *own]
        self._w.button.enabled = not self._problems and not self.running
        if self.running:
            self._w.button.toolTip = _("Masks are being drawn; wait or cancel.")
        else:
            self._w.button.toolTip = "\n".join(self._problems) or _("Draws new masks in the background, saves and shows them.")

    def tell(self, text: str, kind: str = PROBLEM) -> None:
        self._notice.show(text, kind)

    def stop(self, why: str) -> None:
        """End a run because the scene goes."""
        if self.running:
            self._why_stopped = why
            self._control.cancel()

    def abandon(self) -> None:
        """The panel goes away."""
        self._control.abandon()

    def use(self, bundle: str, device: str) -> None:
        """Draw with this bundle on this device."""
        self._bundle, self._device = bundle, device

    def _start(self) -> None:
        if self.running:
            return
        if not self._path:  # asked once more: nothing is written where the panel does not say
            self.show_readiness([])
        if self._problems:
            self.tell(self._problems[0])
            return
        p, like = self._parameters, self._parameters.masksLike
        self._notice.clear()
        self._why_stopped = ""
        file = None
        self._like = (None, "")
        if like is not None and like.GetScene() is not None:
            self._folders.remove(self._temporary)
            self._temporary = self._folders.new()
            file = self._exporter.write({"like": like}, self._temporary)["like"]
            self._like = (like.GetScene(), like.GetID())
        output = Path(self._path).expanduser()
        parameters = SynthesizeParameters(
            output=output,
            count=p.masks,
            seed=p.masksSeed,
            min_volume_ml=p.masksMinimum,
            like=file,
            bundle=self._bundle,
            device=self._device,
            batch_size=p.batchSize,
            any_shape=p.masksAnyShape,
        )
        self._w.frame.visible = True
        self._w.cancel.enabled = True
        self._w.cancel.toolTip = _("Ends the background process within two seconds.")
        self._view.begin(_("Starting the background process"))
        self._control.start(parameters.arguments(), self)
        self._state_changed()

    def on_event(self, event: RunEvent) -> None:
        self._view.on_event(event)

    def on_end(self, outcome: RunOutcome) -> None:
        self._view.on_end(outcome)

    def _ended(self, outcome: RunOutcome) -> None:
        self._w.frame.visible = False
        try:
            self._judge(outcome)
        finally:
            self._folders.remove(self._temporary)
            self._state_changed()

    def _judge(self, outcome: RunOutcome) -> None:
        if self._why_stopped:
            self.tell(self._why_stopped, WARNING)
        elif outcome.status == FAILED:
            self.tell(outcome.sentence)
        elif outcome.status == CANCELLED or outcome.folder is None:
            self.tell(outcome.sentence or _("Cancelled: there are no masks."), INFO)
        else:
            scene, id = self._like
            count = self._load_result(outcome.folder, scene.GetNodeByID(id) if scene is not None else None)
            many = _("{count} synthetic masks are in the scene and in {folder}: no patient's tumour, research use only.")
            one = _("One synthetic mask is in the scene and in {folder}: no patient's tumour, research use only.")
            said = (one if count == 1 else many).format(count=count, folder=outcome.folder)
            warnings = [sentence(text) for text in outcome.warnings]
            self.tell("\n".join([said, *warnings]), WARNING if warnings else GOOD)
            self._suggest()

    def _cancel(self) -> None:
        self._w.cancel.enabled = False
        self._w.cancel.toolTip = _("It is being stopped.")
        self._w.stage.text = _("Stopping")
        self._control.cancel()

    @property
    def _path(self) -> str:
        """As the field shows it; empty where it is empty."""
        return self._w.folder.currentPath.strip()

    def _suggest(self) -> None:
        self._suggested = True
        self._w.folder.currentPath = str(free_folder(self._home / "LDMSeg masks"))
