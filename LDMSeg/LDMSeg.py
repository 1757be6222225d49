"""The Slicer module LDMSeg: wiring only. Its parts are in LDMSegModule/, the inference in LDMSegLib/."""

from pathlib import Path

import ctk
import qt
import slicer
from LDMSegModule.checks.Preflight import Preflight
from LDMSegModule.install.Installation import Installation
from LDMSegModule.install.ModelManager import ModelManager
from LDMSegModule.install.SlicerInstaller import SlicerInstaller
from LDMSegModule.panels.BrainPanel import BrainPanel, BrainWidgets
from LDMSegModule.panels.Dialogs import Dialogs
from LDMSegModule.panels.ErrorHandler import ErrorHandler
from LDMSegModule.panels.InputsPanel import InputRow, InputsPanel
from LDMSegModule.panels.ModelsPanel import ModelsPanel, ModelsWidgets
from LDMSegModule.panels.MoreMenu import MoreMenu
from LDMSegModule.panels.Notice import Notice
from LDMSegModule.panels.OverlayPanel import OverlayPanel, OverlayWidgets
from LDMSegModule.panels.PreparationView import PreparationView, PreparationWidgets
from LDMSegModule.panels.Readiness import Readiness
from LDMSegModule.panels.RegionsView import RegionsView, RegionsWidgets
from LDMSegModule.panels.ReviewPanel import ReviewPanel, ReviewParts, ReviewWidgets
from LDMSegModule.panels.SamplePanel import SamplePanel
from LDMSegModule.panels.SegmentEditor import SegmentEditor
from LDMSegModule.panels.SegmentJob import SegmentJob
from LDMSegModule.panels.SegmentPanel import SegmentPanel, SegmentWidgets
from LDMSegModule.panels.SequencesView import SequencesView, SequencesWidgets
from LDMSegModule.panels.SettingsPanel import SettingsPanel, SettingsWidgets
from LDMSegModule.panels.SetupPanel import SetupPanel, SetupWidgets
from LDMSegModule.panels.SiteRulesPanel import SiteRulesPanel, SiteRulesWidgets
from LDMSegModule.panels.SyntheticPanel import SyntheticPanel, SyntheticWidgets
from LDMSegModule.panels.ThresholdPanel import ThresholdPanel
from LDMSegModule.panels.VolumesView import VolumesView
from LDMSegModule.parameters.ParameterLink import ParameterLink
from LDMSegModule.parameters.Parameters import SEQUENCES, Parameters
from LDMSegModule.process.BackgroundRun import BackgroundRun
from LDMSegModule.process.PythonCommand import PythonCommand
from LDMSegModule.process.RunControl import RunControl
from LDMSegModule.process.RunFolders import RunFolders
from LDMSegModule.result.Result import THRESHOLD_ATTRIBUTE, Result
from LDMSegModule.result.ResultFiles import PREPARATION, ResultFiles
from LDMSegModule.result.ResultImport import ResultImport
from LDMSegModule.result.SyntheticImport import SyntheticImport
from LDMSegModule.scene.CaseExport import CaseExport
from LDMSegModule.scene.Nodes import nodes_of
from LDMSegModule.scene.PatientSample import PatientSample
from LDMSegModule.scene.SceneWatch import SceneWatch
from LDMSegModule.scene.SequenceGuess import SequenceGuess
from LDMSegModule.scene.SyntheticVolume import load_synthetic
from LDMSegModule.scene.Terminology import Terminology
from LDMSegModule.scene.VolumeFacts import VolumeFacts
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

SCENE_CLOSED = "The scene was closed, so the run was cancelled; load the volumes and run again."


class LDMSeg(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = "LDMSeg"
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = []
        self.parent.contributors = ["LDMSeg contributors"]
        self.parent.helpText = _(
            "Segments brain tumour sub-regions on four MRI volumes by an ensemble of a latent diffusion model, shows where the ensemble "
            "is uncertain, and samples synthetic tumour masks. Research use only, not a medical device. "
            '<a href="https://github.com/SlicerLDMSeg/SlicerLDMSeg">Documentation</a>'
        )
        self.parent.acknowledgementText = _(
            "After the method of Controllable Latent Diffusion-Based 3D Brain Tumor Segmentation "
            "(https://openreview.net/forum?id=nI0oPXnLEE). The bundled model was trained on BraTS data."
        )
        slicer.app.connect("startupCompleted()", _registerTerminology)
        slicer.app.connect("startupCompleted()", _registerSampleData)


def _registerTerminology():
    """Offer our names of tissues wherever Slicer asks for a segment's terminology."""
    terminologies = getattr(slicer.modules, "terminologies", None)
    if terminologies is not None:  # an application made of Slicer may lack it
        Terminology().register(terminologies.logic())


def _registerSampleData():
    """Offer the synthetic patient in the Sample Data module, once Slicer has loaded all its modules."""
    import SampleData  # a module of Slicer: it can be imported only then

    thumbnail = Path(__file__).parent / "Resources" / "Icons" / "LDMSeg.png"
    LDMSegLogic().sample(slicer.util.errorDisplay, Dialogs().ask).register(SampleData.SampleDataLogic, thumbnail)


class LDMSegLogic(ScriptedLoadableModuleLogic):
    """The façade for scripts and for the panel: parameters, models, background runs, results."""

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        self.models = ModelManager()
        self.python = PythonCommand.find(slicer.util.startupEnvironment)
        self.installation = Installation(self.python, SlicerInstaller())
        self.folders = RunFolders(slicer.app.temporaryPath)
        self.exporter = CaseExport()

    def getParameterNode(self):
        return Parameters(super().getParameterNode())

    def sample(self, complain, ask):
        """The synthetic patient. `complain` is told a sentence when it cannot be made; `ask` whether a package may be installed."""
        folder = Path(slicer.mrmlScene.GetCacheManager().GetRemoteCacheDirectory()) / "LDMSeg synthetic patient"
        return PatientSample(
            self.python, folder, load_synthetic, slicer.app.processEvents, complain, lambda r: self.installation.obtain(r, ask)
        )

    def run(self, arguments, listener):
        """A `BackgroundRun` of `python -m LDMSegLib ARGUMENTS`, not started yet."""
        return BackgroundRun(self.python.ldmseg(*arguments), self.python.environment, listener)

    def loadResult(self, folder, reference=None, specification=None):
        """Bring a result folder into the scene, also one that the command line wrote on another computer; see `ResultImport.load`."""
        return ResultImport(slicer.mrmlScene, specification or self._specification()).load(folder, reference)

    def _specification(self):
        """The default model's, for titles and colours; None where there is none that works."""
        return next((m.bundle.specification for m in self.models.models() if m.default and m.bundle is not None), None)

    def results(self):
        """The results that are whole in the scene, in the order they were made."""
        return Result.all_in(slicer.mrmlScene)

    def loadMasks(self, folder, reference, specification):
        """Bring a folder of synthetic masks into the scene; returns how many there are."""
        return len(SyntheticImport(slicer.mrmlScene, specification).load(folder, reference).segmentations)


class LDMSegWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: makes its parts, tells them of each other, and passes on what happens to the scene."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = self.readiness = self._guess = None
        self._told_by = ()

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        self.panel = slicer.util.loadUI(self.resourcePath("UI/LDMSeg.ui"))
        self.layout.addWidget(self.panel)
        self.ui = slicer.util.childWidgetVariables(self.panel)
        self.panel.setMRMLScene(slicer.mrmlScene)
        self.ui.resultSelector.addAttribute("vtkMRMLSegmentationNode", THRESHOLD_ATTRIBUTE)
        self.ui.masksFolder.filters = ctk.ctkPathLineEdit.Dirs
        self.ui.siteRulesPath.filters = ctk.ctkPathLineEdit.Files
        self.ui.helpText.text = _HELP
        self.logic, self.dialogs, self.files = LDMSegLogic(), Dialogs(), ResultFiles()

        notice, self.catch_errors = self._voice(self.ui.generalNotice)
        self.sample = SamplePanel(
            self.ui.sampleButton, notice, lambda complain: self.logic.sample(complain, self.dialogs.ask), self.catch_errors
        )
        self._makeInputs()
        self._makeSetup()
        self._makeReview()
        self._makeSegment()
        self._makeSynthetic()
        self._makeModels()
        self._makeShortcuts()
        self.readiness = Readiness(self.setupPanel, self.settings, self.inputs, self.siteRules, self.segmentPanel, self.syntheticPanel)
        self.link = ParameterLink(
            super(LDMSegLogic, self.logic).getParameterNode, Parameters, self.ui, self.addObserver, self.removeObserver, self._bind,
            self.catch_errors(self._parametersChanged), notice.problem,
        )  # fmt: skip
        self.watch = SceneWatch(slicer.mrmlScene, self.addObserver, self._timer(), self, self.catch_errors)

        _registerTerminology()  # the module may have been loaded long after Slicer's start
        self.modelsChanged()
        self.setupPanel.look()
        self.scene_changed()

    def cleanup(self):
        """The module is unloaded or reloaded, or Slicer ends: nothing of ours may go on, and no images may stay behind."""
        if self.readiness is None:  # the panel never came up whole
            return
        self.link.drop()
        self.removeObservers()
        self.watch.stop()
        self.review.stop()
        for part in (self.segmentPanel, self.syntheticPanel, self.modelsPanel, self.setupPanel):
            part.abandon()
        self.logic.folders.clear()

    def enter(self):
        """The user opens the panel, perhaps coming back from the Segment Editor."""
        for step in (self.link.take, self._useBundle, self.review.returned):
            self.catch_errors(step)()

    def exit(self):
        """The user leaves the panel; a run goes on."""

    # The parts

    def _voice(self, label):
        """A place in the panel where things are said, and what turns errors into something said there."""
        notice = Notice(label)
        return notice, ErrorHandler(notice.problem)

    def _timer(self):
        return qt.QTimer(self.panel)

    def _control(self, catch_errors):
        return RunControl(self.logic.run, self._timer(), catch_errors)

    def _makeInputs(self):
        ui = self.ui
        rows = [InputRow(name, *(getattr(ui, f"{name}{part}") for part in ("Label", "Selector", "Facts"))) for name in SEQUENCES]
        self.inputs = InputsPanel(rows, ui.findingsLabel, lambda node: VolumeFacts.of(node).text, self._volumes, self._ready)
        ui.guessButton.connect("clicked(bool)", self.catch_errors(lambda: self.inputs.guess(replace=True)))
        notice, catch_errors = self._voice(ui.siteRulesMessage)
        self.siteRules = SiteRulesPanel(SiteRulesWidgets(ui.siteRulesPath), notice, self._siteRulesChanged, catch_errors)
        notice, catch_errors = self._voice(ui.brainMessage)
        self.brain = BrainPanel(
            BrainWidgets(ui.prepareGroup, ui.brainExtractionSelector, ui.installExtractionButton, ui.brainMaskSelector),
            notice, self.logic.installation, self.dialogs, self._useBundle, catch_errors,
        )  # fmt: skip

    def _makeSetup(self):
        ui, (notice, catch_errors) = self.ui, self._voice(self.ui.setupText)
        widgets = SetupWidgets(ui.setupGroup, ui.installButton, ui.installFolderButton, ui.setupCheckButton, ui.setupProgress)
        self.setupPanel = SetupPanel(widgets, notice, self.logic.installation, self._timer(), self.dialogs, self._ready, catch_errors)
        ui.installationButton.connect("clicked(bool)", catch_errors(self.setupPanel.open))

    def _makeReview(self):
        ui, (notice, catch_errors) = self.ui, self._voice(self.ui.reviewMessage)
        parts = ReviewParts(
            VolumesView(ui.volumesTable),
            SequencesView(SequencesWidgets(ui.sequencesBox, ui.sequencesText)),
            PreparationView(
                PreparationWidgets(ui.preparationBox, ui.preparationText, ui.preparationPicture, ui.preparationButton),
                lambda result: self.files.picture(result, PREPARATION), self.dialogs, catch_errors,
            ),
            OverlayPanel(OverlayWidgets(ui.mapSelector, ui.mapRegionSelector, ui.opacitySlider, ui.hideSlider), catch_errors),
            lambda arrived: RegionsView(
                RegionsWidgets(ui.regionsTable, ui.previousButton, ui.nextButton, ui.reviewedLabel), catch_errors, arrived
            ),
            lambda updated: ThresholdPanel(ui.probabilitySlider, self._timer(), self._timer(), catch_errors, updated),
        )  # fmt: skip
        self.review = ReviewPanel(
            ReviewWidgets(ui.reviewContent, ui.editButton, ui.discardButton), Notice(ui.resultNotice), notice, parts, SegmentEditor(),
            Result.of, lambda: self.inputs.reference, catch_errors,
        )  # fmt: skip
        self.more = MoreMenu(ui.moreButton, catch_errors, lambda: self.review.result, self.files, self.dialogs, notice.show)

    def _makeSegment(self):
        ui, (notice, catch_errors) = self.ui, self._voice(self.ui.runOutcome)
        self.settings = SettingsPanel(
            SettingsWidgets(ui.bundleSelector, ui.modeSelector, ui.deviceSelector, ui.estimateLabel), catch_errors, self._settingsChanged
        )
        job = SegmentJob(self.inputs, self.siteRules, self.settings, self.brain, self.logic, self.files, self._resultArrived)
        widgets = SegmentWidgets(
            ui.segmentButton, ui.runFrame, ui.runProgress, ui.runStage, ui.keepButton, ui.cancelButton, ui.partialButton, ui.retryButton,
            ui.logText,
        )  # fmt: skip
        self.segmentPanel = SegmentPanel(
            widgets, notice, self._control(catch_errors), self.logic.folders, self.logic.exporter, job.order, job.load_result,
            self.setupPanel.need,
            self._ready, catch_errors,
        )  # fmt: skip

    def _makeSynthetic(self):
        ui, (notice, catch_errors) = self.ui, self._voice(self.ui.drawOutcome)
        widgets = SyntheticWidgets(ui.drawButton, ui.drawFrame, ui.drawProgress, ui.drawStage, ui.drawCancelButton, ui.masksFolder)
        self.syntheticPanel = SyntheticPanel(
            widgets, notice, self._control(catch_errors), self.logic.folders, self.logic.exporter,
            lambda folder, reference: self.logic.loadMasks(folder, reference, self.settings.specification), Path.home(), self._ready,
            catch_errors,
        )  # fmt: skip

    def _makeModels(self):
        ui, (notice, catch_errors) = self.ui, self._voice(self.ui.modelsMessage)
        widgets = ModelsWidgets(ui.modelsTable, ui.verifyButton, ui.deleteButton, ui.modelsFolderButton)
        self.modelsPanel = ModelsPanel(
            widgets, notice, self.logic.models, self._control(catch_errors), self.dialogs, self.modelsChanged, catch_errors
        )

    def _makeShortcuts(self):
        self.shortcuts = []
        for keys, slot in (("Ctrl+Shift+N", self.review.regions.go_to_next), ("Ctrl+Shift+P", self.review.regions.go_to_previous)):
            shortcut = qt.QShortcut(qt.QKeySequence(keys), self.panel)
            shortcut.connect("activated()", self.catch_errors(slot))
            self.shortcuts.append(shortcut)

    # What the parts tell each other

    @property
    def parameters(self):
        """Those of the scene; None while it closes or loads."""
        return self.link.parameters

    def _bind(self, parameters):
        for part in (self.settings, self.brain, self.review.overlay, self.syntheticPanel):
            part.bind(parameters)

    def _parametersChanged(self):
        if self.parameters is not None:
            self._useBundle()
            self.settings.follow()
            self.review.follow(self.parameters.result)
            self.review.overlay.apply()

    def _settingsChanged(self):
        self._useBundle()
        self._ready()

    def modelsChanged(self):
        """There are other models on this computer than before."""
        self.modelsPanel.refresh()
        self.settings.use(self.modelsPanel.models)
        self._settingsChanged()

    def _useBundle(self):
        spec, brain = self.settings.specification, self.brain.choice
        checker = Preflight(spec, self.settings.prepare, brain) if spec else None
        self.siteRules.use(spec)
        told_by = (spec, self.siteRules.rules)
        if told_by != self._told_by:  # a guess remembers why it is what it is, so it is not made anew for any change of a setting
            self._told_by, self._guess = told_by, SequenceGuess(spec.sequences, rules=self.siteRules.rules) if spec else None
        self.inputs.use(spec, self._guess, checker)

    def _siteRulesChanged(self):
        self._useBundle()
        self.inputs.guess(replace=True)
        self._ready()

    def _ready(self):
        if self.readiness is not None:
            self.brain.follow(self.inputs.findings)
            self.readiness.update()

    def _resultArrived(self, result):
        self.review.show(result)
        self.parameters.result = result.segmentation
        self.ui.reviewGroup.collapsed = False

    # What happens to the scene (see SceneWatch)

    def scene_closes(self):
        self.segmentPanel.stop(_(SCENE_CLOSED))
        self.syntheticPanel.stop(_(SCENE_CLOSED))
        self.review.show(None)
        self.link.hold()

    def scene_closed(self):
        self.link.resume()
        self.scene_changed()

    def scene_loads(self):
        self.link.drop()

    def scene_loaded(self):
        # wrapped anew: a wrapper that saw the node before the volumes it refers to were loaded remembers that there are none
        self.link.drop()
        self.scene_changed()

    def scene_changed(self):
        self.link.take()
        self.inputs.guess()
        self.review.follow(self.parameters.result)

    def _volumes(self):
        return nodes_of(slicer.mrmlScene, "vtkMRMLScalarVolumeNode")


class LDMSegTest(ScriptedLoadableModuleTest):
    """What Slicer's own test of the module runs: that it opens and finds its model. The suite proper lies in Testing/."""

    def runTest(self):
        self.setUp()
        self.test_the_panel_opens_and_finds_its_model()

    def setUp(self):
        slicer.mrmlScene.Clear()

    def test_the_panel_opens_and_finds_its_model(self):
        logic = LDMSegLogic()
        models = logic.models.models()
        self.assertTrue(any(model.default and not model.problem for model in models), [model.text for model in models])
        self.assertIsNotNone(logic.getParameterNode().parameterNode)


_HELP = _(
    "<p><b>LDMSeg</b> segments adult glioma on four MRI volumes and says where it is uncertain. The numbers and maps are of a research "
    "model: always look at the images.</p>"
    '<p><a href="https://github.com/SlicerLDMSeg/SlicerLDMSeg#readme">Guide</a> · '
    '<a href="https://github.com/SlicerLDMSeg/SlicerLDMSeg/blob/main/MODEL_CARD.md">How good the model is, and where it fails</a> · '
    '<a href="https://openreview.net/forum?id=nI0oPXnLEE">The method, please cite</a></p>'
)
