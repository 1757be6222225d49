"""Group 1 of the panel: the volume of each sequence, its facts, and the findings about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from slicer.i18n import tr as _

from LDMSegLib.specification import Specification
from LDMSegModule.checks.Finding import NOTE, Finding
from LDMSegModule.checks.FindingsText import findings_html
from LDMSegModule.scene.SequenceGuess import RESULT_ATTRIBUTE


class Checker(Protocol):
    def check(self, nodes: Mapping[str, Any]) -> list[Finding]: ...


class Guesser(Protocol):
    """`guessed` says of each volume looked at what it was taken for and why, after `guess`."""

    guessed: tuple[Any, ...]

    def guess(self, nodes: Iterable[Any]) -> dict[str, Any]: ...


MOST_UNUSED = 4
"""Volumes that were not used and are told one by one."""


@dataclass(frozen=True, eq=False)
class InputRow:
    """The widgets of one sequence: a label, a node selector, a line of facts."""

    name: str
    label: Any
    selector: Any
    facts: Any


class InputsPanel:
    """Fills and reads the selectors.

    Args:
        rows: one for each sequence the panel can take.
        findings: label for problems and warnings.
        describe: volume node → one line of facts.
        volumes: all volume nodes of the scene, in the order in which they were loaded.
        changed: told when inputs or findings have changed.
    """

    def __init__(
        self,
        rows: Iterable[InputRow],
        findings: Any,
        describe: Callable[[Any], str],
        volumes: Callable[[], list[Any]],
        changed: Callable[[], None],
    ) -> None:
        self._rows = {row.name: row for row in rows}
        self._label, self._describe, self._volumes, self._changed = findings, describe, volumes, changed
        self._guesser: Guesser | None = None
        self._checker: Checker | None = None
        self._specification: Specification | None = None
        self._seen: tuple[Any, ...] = ()
        self._before: dict[str, Any] = {}
        self._refused: dict[str, Any] = {}  # what the user took out of a selector that is empty since
        self.findings: list[Finding] = []

    def use(self, specification: Specification | None, guesser: Guesser | None, checker: Checker | None) -> None:
        """Take the sequences of another bundle; those it does not read disappear."""
        self._specification, self._guesser, self._checker = specification, guesser, checker
        sequences = {s.name: s for s in specification.sequences} if specification else {}
        for name, row in self._rows.items():
            shown = specification is None or name in sequences
            for widget in (row.label, row.selector):
                widget.visible = shown
            row.facts.visible = shown and bool(row.facts.text)
            if name in sequences:
                optional = "" if sequences[name].required else _(" (may be missing)")
                row.label.toolTip = sequences[name].title + optional
        self.refresh()

    @property
    def nodes(self) -> dict[str, Any]:
        """Sequence name → the volume chosen for it, as far as there is one in the scene."""
        names = self._specification.sequence_names if self._specification else tuple(self._rows)
        chosen = {name: self._rows[name].selector.currentNode() for name in names if name in self._rows}
        return {name: node for name, node in chosen.items() if node is not None and node.GetScene() is not None}

    @property
    def unused(self) -> list[Any]:
        """The volumes of the scene that are chosen for nothing, results apart."""
        chosen = [node.GetID() for node in self.nodes.values()]
        return [node for node in self._volumes() if node.GetID() not in chosen and not node.GetAttribute(RESULT_ATTRIBUTE)]

    @property
    def reference(self) -> Any:
        """The volume of the bundle's reference sequence, else any that is chosen, else None."""
        nodes = self.nodes
        name = self._specification.reference if self._specification else ""
        return nodes.get(name) or next(iter(nodes.values()), None)

    @property
    def reference_voxels(self) -> int:
        """How many voxels the reference has; 0 where there is none."""
        image = self.reference.GetImageData() if self.reference is not None else None
        return image.GetNumberOfPoints() if image is not None else 0

    def guess(self, replace: bool = False) -> None:
        """Choose by rules, names and attributes: only what is empty, or with `replace` all that is clear."""
        if self._guesser is None:
            return
        if replace:
            self._refused = {}
        taken = [] if replace else [node.GetID() for node in self.nodes.values()]
        offered = [node for node in self._volumes() if not any(node is refused for refused in self._refused.values())]
        for name, node in self._guesser.guess(offered).items():
            row = self._rows.get(name)
            if row is None or node.GetID() in taken or not (replace or row.selector.currentNode() is None):
                continue
            row.selector.setCurrentNode(node)
        if replace:
            excluded = {one.node.GetID() for one in self._guesser.guessed if one.excluded}
            for row in self._rows.values():
                chosen = row.selector.currentNode()
                if chosen is not None and chosen.GetID() in excluded:
                    row.selector.setCurrentNode(None)
        self.refresh()

    def refresh(self) -> None:
        """Look at the chosen volumes again, if they or their places have changed since the last look."""
        nodes = self.nodes
        self._note_what_was_taken_out(nodes)
        looked_at = self._guesser.guessed if self._guesser is not None else ()
        guessed = tuple((one.node.GetID(), one.sequence, one.reason) for one in looked_at)
        state = (self._checker, guessed, tuple((name, node.GetID(), *_times(node)) for name, node in nodes.items()))
        if state == self._seen:
            return
        self._seen = state
        for name, row in self._rows.items():
            node = nodes.get(name)
            row.facts.text = self._describe(node) if node is not None else ""
            row.facts.visible = node is not None
        self.findings = self._unreadable() + (self._checker.check(nodes) if self._checker is not None and nodes else [])
        told = [*self.findings, *self._notes(nodes)]
        self._label.text = findings_html(told)
        self._label.visible = bool(told)
        self._changed()

    @property
    def problems(self) -> list[str]:
        """Why these volumes cannot be segmented."""
        if not self.nodes:
            return [_("No volumes are chosen; load the patient's MRI and choose one for each sequence.")]
        return [finding.text for finding in self.findings if finding.is_problem]

    def _note_what_was_taken_out(self, nodes: dict[str, Any]) -> None:
        for name, node in self._before.items():
            if self._rows[name].selector.currentNode() is None and node.GetScene() is not None:
                self._refused[name] = node
        self._before = nodes

    def _notes(self, nodes: dict[str, Any]) -> list[Finding]:
        """Which volume became which sequence and why, and which were not used."""
        told = self._guesser.guessed if self._guesser is not None and nodes else ()
        reasons = {(one.node.GetID(), one.sequence): one.reason for one in told if one.node.GetScene() is not None}
        used = [
            f"{name}: '{node.GetName()}' ({reasons[node.GetID(), name]})" for name, node in nodes.items() if (node.GetID(), name) in reasons
        ]
        chosen = {node.GetID() for node in nodes.values()}
        unused = [one for one in told if one.node.GetScene() is not None and one.node.GetID() not in chosen and not one.sequence]
        notes = [Finding(NOTE, _("Taken for {uses}.").format(uses="; ".join(used)))] if used else []
        notes += [
            Finding(NOTE, _("Not used: '{name}' ({reason}).").format(name=one.node.GetName(), reason=one.reason))
            for one in unused[:MOST_UNUSED]
        ]
        if len(unused) > MOST_UNUSED:
            notes.append(Finding(NOTE, _("Not used: {count} more volumes.").format(count=len(unused) - MOST_UNUSED)))
        return notes

    def _unreadable(self) -> list[Finding]:
        names = self._specification.sequence_names if self._specification else ()
        foreign = [name for name in names if name not in self._rows]
        if not foreign:
            return []
        text = f"The model reads {', '.join(foreign)}, for which this panel has no selector; use the command line or another model."
        return [Finding("problem", text)]


def _times(node: Any) -> tuple[int, ...]:
    """When a volume's voxels, its geometry and its transforms last changed."""
    image = node.GetImageData()
    transform = node.GetParentTransformNode()
    return node.GetMTime(), image.GetMTime() if image is not None else 0, transform.GetTransformToWorldMTime() if transform else 0
