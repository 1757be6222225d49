"""Group 2 of the panel: the Segment button, the progress of its run, and the outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from slicer.i18n import tr as _

from LDMSegModule.panels.Notice import GOOD, INFO, PROBLEM, WARNING, Notice
from LDMSegModule.panels.ProgressView import ProgressView
from LDMSegModule.parameters.SegmentParameters import SegmentParameters
from LDMSegModule.process.RunControl import RunControl
from LDMSegModule.process.RunEvent import RunEvent
from LDMSegModule.process.RunFolders import RunFolders
from LDMSegModule.process.RunOutcome import CANCELLED, FAILED, PARTIAL, RunOutcome
from LDMSegModule.process.Sentences import sentence


@dataclass(frozen=True, eq=False)
class SegmentWidgets:
    button: Any
    frame: Any
    progress: Any
    stage: Any
    keep: Any
    cancel: Any
    partial: Any
    retry: Any
    log: Any


@dataclass(frozen=True, eq=False)
class Order:
    """What is to be segmented: a volume node for each sequence, the one whose grid the result takes, how, and the brain's mask."""

    nodes: Mapping[str, Any]
    reference: Any
    parameters: SegmentParameters
    brain_mask: Any = None


class Exporter(Protocol):
    def write(self, nodes: Mapping[str, Any], folder: str | Path) -> dict[str, Path]: ...

    def write_mask(self, node: Any, folder: str | Path) -> Path: ...


class SegmentPanel:
    """Segments, from the click to the result in the scene.

    Args:
        widgets: of this group.
        notice: for what became of the run.
        control: runs the background process.
        folders: for temporary files.
        exporter: volume nodes → NIfTI files.
        order: what is to be run, asked at the click; its parameters know no files yet.
        load_result: (result folder, reference node, seconds) → a sentence about the result that is now in the scene.
        lacks: told the package that a run missed.
        state_changed: told when a run has begun or ended.
        catch_errors: wraps slots.
    """

    def __init__(
        self,
        widgets: SegmentWidgets,
        notice: Notice,
        control: RunControl,
        folders: RunFolders,
        exporter: Exporter,
        order: Callable[[], Order],
        load_result: Callable[[Path, Any, float], str],
        lacks: Callable[[str], None],
        state_changed: Callable[[], None],
        catch_errors: Callable[..., Any],
    ) -> None:
        self._w, self._control, self._folders, self._exporter = widgets, control, folders, exporter
        self._order, self._load_result, self._lacks, self._state_changed = order, load_result, lacks, state_changed
        self._notice = notice
        self._view = ProgressView(widgets.progress, widgets.stage, widgets.log, self._ended)
        self._parameters: SegmentParameters | None = None
        self._folder: Path | None = None
        self._loaded = False  # a result was read from the folder, so its report may still be asked for
        self._partial: Path | None = None
        self._reference: str = ""
        self._scene: Any = None
        self._why_stopped = ""
        self._wanted_partial = False
        self._problems: list[str] = []
        for widget, slot in (
            *((widgets.button, self._start_new), (widgets.cancel, self._cancel), (widgets.keep, self._keep)),
            *((widgets.retry, self._retry), (widgets.partial, self._load_partial)),
        ):
            widget.connect("clicked(bool)", catch_errors(slot))
        widgets.frame.visible = widgets.partial.visible = widgets.retry.visible = False

    @property
    def running(self) -> bool:
        return self._control.running

    def show_readiness(self, problems: list[str], warnings: list[str]) -> None:
        """Switch the button, and say in its tooltip why it is off or what to keep in mind."""
        self._problems = problems
        self._w.button.enabled = not problems and not self.running
        if self.running:
            tip = [_("A segmentation is running; wait for it or cancel it.")]
        elif problems:
            tip = problems
        else:
            tip = [_("Segments the volumes in the background; Slicer stays usable. Your volumes are not changed."), *warnings]
        self._w.button.toolTip = "\n".join(tip)

    def tell(self, sentence: str, kind: str = PROBLEM) -> None:
        """Say something under the button."""
        self._notice.show(sentence, kind)

    def stop(self, why: str) -> None:
        """End a run because the scene goes; `why` is what the panel says then."""
        if self.running:
            self._why_stopped = why
            self._control.cancel()
        self._partial = None
        self._w.partial.visible = self._w.retry.visible = False

    def abandon(self) -> None:
        """The panel goes away."""
        self._control.abandon()

    def _start_new(self) -> None:
        if self.running:
            return
        if self._problems:
            self.tell(self._problems[0])
            return
        order = self._order()
        self._clear()
        if not self._loaded:
            self._folders.remove(self._folder)
        self._folder, self._loaded = self._folders.new(), False
        self._scene, self._reference = order.reference.GetScene(), order.reference.GetID()
        folder = self._folder / "inputs"
        inputs = self._exporter.write(order.nodes, folder)
        mask = self._exporter.write_mask(order.brain_mask, folder) if order.brain_mask is not None else None
        self._run(replace(order.parameters, inputs=inputs, brain_mask=mask, output=self._folder / "result"))

    def _run(self, parameters: SegmentParameters) -> None:
        self._parameters, self._why_stopped = parameters, ""
        self._w.frame.visible = True
        self._w.cancel.enabled = True
        self._w.keep.enabled = False
        self._w.keep.toolTip = _("There is nothing to keep before the first member is finished.")
        self._view.begin(_("Starting the background process"))
        self._control.start(parameters.arguments(), self)
        self._state_changed()

    # What the background run tells (see BackgroundRun.RunListener)

    def on_event(self, event: RunEvent) -> None:
        self._view.on_event(event)
        finished = self._view.members_finished
        if finished and not self._control.stopping:
            self._w.keep.enabled = True
            self._w.keep.toolTip = _("Stops here and keeps the {finished} members that are finished, as a partial result.").format(
                finished=finished
            )

    def on_end(self, outcome: RunOutcome) -> None:
        self._view.on_end(outcome)

    def _ended(self, outcome: RunOutcome) -> None:
        self._w.frame.visible = False
        try:
            self._judge(outcome)
        finally:
            self._state_changed()

    def _judge(self, outcome: RunOutcome) -> None:
        if outcome.missing_package:
            self._lacks(outcome.missing_package)
        if self._why_stopped:
            self.tell(self._why_stopped, WARNING)
            self._folders.remove(self._folder)
        elif outcome.status == FAILED:
            self.tell(outcome.sentence)
            self._w.retry.visible = outcome.out_of_memory and self._smaller is not None
        elif outcome.status == CANCELLED:
            self.tell(outcome.sentence, INFO)
        elif outcome.status == PARTIAL and not self._wanted_partial:
            self._partial = outcome.folder
            self._w.partial.visible = True
            self.tell(_("Cancelled. {sentence}").format(sentence=outcome.sentence), WARNING)
        else:
            self._bring(outcome.folder, outcome)

    def _bring(self, folder: Path | None, outcome: RunOutcome | None) -> None:
        if folder is None:
            self.tell(_("The background process told of no folder with a result; see the log and run it again."))
            return
        reference = self._scene.GetNodeByID(self._reference) if self._scene is not None else None
        said = self._load_result(folder, reference, self._control.seconds)
        self._loaded = True
        warnings = [sentence(w) for w in outcome.warnings] if outcome is not None else []
        if reference is None:
            warnings.insert(0, _("The volume that was segmented is no longer in the scene; the result lies where it was."))
        self.tell("\n".join([said, *warnings]), WARNING if warnings else GOOD)
        self._remove_inputs()

    def _cancel(self) -> None:
        self._wanted_partial = False
        self._w.cancel.enabled = self._w.keep.enabled = False
        self._w.cancel.toolTip = self._w.keep.toolTip = _("It is being stopped.")
        self._w.stage.text = _("Stopping")
        self._control.cancel()

    def _keep(self) -> None:
        self._wanted_partial = True
        self._w.keep.enabled = False
        self._w.keep.toolTip = _("It is being stopped.")
        self._w.stage.text = _("Finishing what is there")
        self._control.keep()

    def _retry(self) -> None:
        smaller = self._smaller
        if self.running or smaller is None:
            return
        self._clear()
        self._run(smaller)

    @property
    def _smaller(self) -> SegmentParameters | None:
        """The last run with less memory; None where there is none."""
        return self._parameters.with_less_memory() if self._parameters is not None else None

    def _load_partial(self) -> None:
        folder, self._partial = self._partial, None
        self._w.partial.visible = False
        if folder is not None:
            self._bring(folder, None)

    def _clear(self) -> None:
        self._notice.clear()
        self._partial, self._wanted_partial = None, False
        self._w.partial.visible = self._w.retry.visible = False
        self._w.cancel.toolTip = _("Ends the background process within two seconds. Your volumes stay as they are.")

    def _remove_inputs(self) -> None:
        if self._parameters is not None:
            for file in (*self._parameters.inputs.values(), self._parameters.brain_mask):
                if file is not None:
                    Path(file).unlink(missing_ok=True)
