"""Group 3 of the panel: one result, its volumes and uncertain regions, and its correction in the Segment Editor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from slicer.i18n import tr as _

from LDMSegModule.panels.Notice import INFO, WARNING, Notice
from LDMSegModule.panels.OverlayPanel import OverlayPanel
from LDMSegModule.panels.PreparationView import PreparationView
from LDMSegModule.panels.RegionsView import RegionsView
from LDMSegModule.panels.SequencesView import SequencesView
from LDMSegModule.panels.ThresholdPanel import ThresholdPanel
from LDMSegModule.panels.VolumesView import VolumesView
from LDMSegModule.result.EditCount import EditCount
from LDMSegModule.result.LiveThreshold import ThresholdUpdate
from LDMSegModule.result.Result import Result
from LDMSegModule.result.UncertainRegions import UncertainRow
from LDMSegModule.result.VolumesTable import VolumesTable


@dataclass(frozen=True, eq=False)
class ReviewWidgets:
    content: Any
    edit: Any
    discard: Any


class Editor(Protocol):
    def open(self, segmentation: Any, source: Any) -> None:
        """Go to the Segment Editor with these nodes."""


@dataclass(frozen=True, eq=False)
class ReviewParts:
    """The parts of the group that have a class of their own."""

    volumes: VolumesView
    sequences: SequencesView
    preparation: PreparationView
    overlay: OverlayPanel
    regions: Callable[[Callable[[UncertainRow], None]], RegionsView]
    threshold: Callable[[Callable[[ThresholdUpdate], None]], ThresholdPanel]


class ReviewPanel:
    """Shows one result for review and correction.

    Args:
        widgets: of this group.
        banner: says what kind of result this is (partial, synthetic input).
        notice: says what happened in review.
        parts: made with what they are to tell us.
        editor: opens the Segment Editor.
        find: segmentation node → the result it belongs to, None where there is none.
        background: the image to edit on, for a result whose own was deleted.
        catch_errors: wraps slots.
    """

    def __init__(
        self,
        widgets: ReviewWidgets,
        banner: Notice,
        notice: Notice,
        parts: ReviewParts,
        editor: Editor,
        find: Callable[[Any], Result | None],
        background: Callable[[], Any],
        catch_errors: Callable[..., Any],
    ) -> None:
        self._w, self._banner, self._notice = widgets, banner, notice
        self._editor, self._find, self._background = editor, find, background
        self._volumes, self._overlay, self._preparation = parts.volumes, parts.overlay, parts.preparation
        self._sequences = parts.sequences
        self._regions, self._threshold = parts.regions(self._arrived), parts.threshold(self._updated)
        self.result: Result | None = None
        widgets.edit.connect("clicked(bool)", catch_errors(self._edit))
        widgets.discard.connect("clicked(bool)", catch_errors(self._discard))
        self.show(None)

    @property
    def regions(self) -> RegionsView:
        return self._regions

    @property
    def threshold(self) -> ThresholdPanel:
        return self._threshold

    @property
    def overlay(self) -> OverlayPanel:
        return self._overlay

    def follow(self, segmentation: Any) -> None:
        """Review the result that this node belongs to; None where it belongs to none or the result is no longer whole."""
        wanted = segmentation if segmentation is not None and segmentation.GetScene() is not None else None
        if self.result is not None and self.result.segmentation is wanted and self.result.exists:
            return
        result = self._find(wanted) if wanted is not None else None
        if result is not self.result:
            self.show(result)

    def show(self, result: Result | None) -> None:
        """Review this result; None = there is none."""
        self.result = result
        self._w.content.visible = result is not None
        self._notice.clear()
        self._w.discard.visible = False
        self._volumes.show(result)
        self._regions.show(result.uncertain_regions if result is not None else None)
        self._threshold.show(result)
        self._overlay.show(result)
        self._sequences.show(result)
        self._preparation.show(result)
        self._banner.show(_kind(result), WARNING)

    def stop(self) -> None:
        """The panel goes away."""
        self._threshold.stop()

    def returned(self) -> None:
        """The user is back, perhaps from the Segment Editor: count what was edited, and measure the volumes as they are now."""
        if self.result is None:
            return
        if not self.result.exists:
            self.show(None)
            return
        edits = EditCount(self.result).count()
        VolumesTable(self.result.table).update(edits.volumes_ml, self.result.threshold)
        self._volumes.show(self.result)
        self._w.discard.visible = bool(edits.changed_voxels)
        self.tell(edits.text if edits.changed_voxels or edits.new_segments else "")

    def tell(self, sentence: str, kind: str = INFO) -> None:
        self._notice.show(sentence, kind)

    def _updated(self, update: ThresholdUpdate) -> None:
        self._volumes.show(self.result)
        self._w.discard.visible = not update.applied
        self.tell(update.message, WARNING)

    def _arrived(self, row: UncertainRow) -> None:
        self._overlay.choose_region(row.region)

    def _edit(self) -> None:
        if self.result is None or not self.result.exists:
            self.tell(_("This result is no longer in the scene; run the segmentation again."), WARNING)
            return
        self._editor.open(self.result.segmentation, self.result.reference or self._background())

    def _discard(self) -> None:
        self._threshold.discard_edits()


def _kind(result: Result | None) -> str:
    if result is None:
        return ""
    said = []
    if result.partial:
        sampling = result.provenance.get("sampling", {})
        numbers = {"done": sampling.get("members_finished", "?"), "wanted": sampling.get("members_requested", "?")}
        if sampling.get("views_requested", 1) > 1:
            numbers |= {"seen": sampling.get("views"), "views": sampling["views_requested"]}
            said.append(_("Partial: {done} of {wanted} members, in {seen} of {views} views.").format(**numbers))
        else:
            said.append(_("Partial: {done} of {wanted} members.").format(**numbers))
    if result.synthetic_input:
        said.append(_("The images are synthetic, no patient's."))
    return " ".join(said)
