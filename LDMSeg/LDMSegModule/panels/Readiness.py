"""Decide what can be started now, and say why not."""

from __future__ import annotations

from slicer.i18n import tr as _

from LDMSegModule.panels.InputsPanel import InputsPanel
from LDMSegModule.panels.SegmentPanel import SegmentPanel
from LDMSegModule.panels.SettingsPanel import SettingsPanel
from LDMSegModule.panels.SetupPanel import SetupPanel
from LDMSegModule.panels.SiteRulesPanel import SiteRulesPanel
from LDMSegModule.panels.SyntheticPanel import SyntheticPanel


class Readiness:
    """Gathers from the parts what speaks against a start, and switches the buttons that start something."""

    def __init__(
        self,
        setup: SetupPanel,
        settings: SettingsPanel,
        inputs: InputsPanel,
        site_rules: SiteRulesPanel,
        segment: SegmentPanel,
        synthetic: SyntheticPanel,
    ) -> None:
        self._setup, self._settings, self._inputs, self._site_rules = setup, settings, inputs, site_rules
        self._segment, self._synthetic = segment, synthetic

    def update(self) -> None:
        """To be called whenever something that counts has changed."""
        common = self._setup.problems + self._settings.problems
        drawing = [_("Masks are being drawn; wait or cancel.")] * self._synthetic.running
        warnings = [finding.text for finding in self._inputs.findings if not finding.is_problem]
        self._segment.show_readiness(common + self._inputs.problems + self._site_rules.problems + drawing, warnings)
        segmenting = [_("A segmentation is running; wait for it or cancel it.")] * self._segment.running
        self._synthetic.use(self._settings.folder, self._settings.device)
        self._synthetic.show_readiness(common + segmenting)
        self._settings.show_estimate(self._inputs.reference_voxels)
