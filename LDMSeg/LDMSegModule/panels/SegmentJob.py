"""Build the run that the Segment button starts, and load its result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from slicer.i18n import tr as _

from LDMSegModule.panels.BrainPanel import BrainPanel
from LDMSegModule.panels.InputsPanel import InputsPanel
from LDMSegModule.panels.LastRun import remember_run
from LDMSegModule.panels.SegmentPanel import Order
from LDMSegModule.panels.SettingsPanel import SettingsPanel
from LDMSegModule.panels.SiteRulesPanel import SiteRulesPanel
from LDMSegModule.parameters.SegmentParameters import AUTOMATIC, DEEPBET, NEVER, SegmentParameters
from LDMSegModule.result.Result import Result
from LDMSegModule.result.ResultFiles import ResultFiles
from LDMSegModule.result.ResultSequences import ResultSequences
from LDMSegModule.scene.SyntheticVolume import is_synthetic


class Loader(Protocol):
    def loadResult(self, folder: Path, reference: Any, specification: Any) -> Result: ...  # noqa: N802  (the logic's name for scripts)


class SegmentJob:
    """Puts together the run that the panel asks for, and takes in its result.

    Args:
        inputs, site_rules, settings, brain: the parts that say what is to be run.
        loader: brings a result folder into the scene.
        files: remembers where the result's files lie.
        arrived: told of a result that is now in the scene.
    """

    def __init__(
        self,
        inputs: InputsPanel,
        site_rules: SiteRulesPanel,
        settings: SettingsPanel,
        brain: BrainPanel,
        loader: Loader,
        files: ResultFiles,
        arrived: Callable[[Result], None],
    ) -> None:
        self._inputs, self._site_rules, self._settings, self._brain = inputs, site_rules, settings, brain
        self._loader, self._files, self._arrived = loader, files, arrived
        self._used: dict[str, Any] = {}
        self._unused: list[Any] = []

    def order(self) -> Order:
        """As the panel is now; the parameters know no files yet."""
        p, brain = self._settings.parameters, self._brain.choice
        parameters = SegmentParameters(
            inputs={},
            output=Path(),
            bundle=self._settings.folder,
            mode=self._settings.mode,
            members=p.members or None,
            steps=p.steps or None,
            seed=p.seed,
            threshold=p.threshold,
            device=p.device,
            batch_size=p.batchSize,
            site_rules=self._site_rules.file,
            synthetic=any(is_synthetic(node) for node in self._inputs.nodes.values()),
            # automatic and deepbet are what the command does unasked
            prepare="" if p.prepare.value == AUTOMATIC else p.prepare.value,
            brain_extraction="" if brain.extraction == DEEPBET else brain.extraction,
        )
        self._used, self._unused = self._inputs.nodes, self._inputs.unused  # as they are now: others may be chosen when it is done
        mask = None if p.prepare.value == NEVER else brain.mask
        return Order(self._inputs.nodes, self._inputs.reference, parameters, mask)

    def load_result(self, folder: Path, reference: Any, seconds: float) -> str:
        """Bring a finished run's result into the scene and into review; returns a sentence about it."""
        result = self._loader.loadResult(folder, reference, self._settings.specification)
        ResultSequences(result.segmentation, result.provenance).remember(self._used, self._unused)
        self._files.remember(result, folder)
        remember_run(result.provenance, self._settings.bundle, seconds)
        self._arrived(result)
        members = result.provenance.get("sampling", {}).get("members_finished", "?")
        said = _("Done in {seconds:.0f} s with {members} members. The result is under Review.").format(seconds=seconds, members=members)
        if reference is not None and result.reference is None:
            said += " " + _("The volume has been moved since the run began, or is bent by its transform: the result lies where it was.")
        return said
