"""LDMSeg for 3D Slicer: wiring only. What it is made of lies in LDMSegModule/, what does the work in LDMSegLib/."""

import os
from pathlib import Path

import ctk
import qt
import slicer
import vtk
from LDMSegModule.BackgroundRun import BackgroundRun
from LDMSegModule.CaseExport import CaseExport
from LDMSegModule.Guard import Guard
from LDMSegModule.InputsPanel import InputRow, InputsPanel
from LDMSegModule.Installation import Installation
from LDMSegModule.ModelManager import ModelManager
from LDMSegModule.ModelsPanel import ModelsPanel, ModelsWidgets
from LDMSegModule.MoreMenu import MoreMenu
from LDMSegModule.Notice import Notice
from LDMSegModule.OverlayPanel import OverlayPanel, OverlayWidgets
from LDMSegModule.Pace import Pace
from LDMSegModule.Parameters import SEQUENCES, Parameters, Prepare
from LDMSegModule.PatientSample import PatientSample
from LDMSegModule.Preflight import Preflight
from LDMSegModule.PythonCommand import PythonCommand
from LDMSegModule.RegionsView import RegionsView, RegionsWidgets
from LDMSegModule.Result import THRESHOLD_ATTRIBUTE
from LDMSegModule.ResultImport import ResultImport
from LDMSegModule.ReviewPanel import ReviewPanel, ReviewParts, ReviewWidgets
from LDMSegModule.RunControl import RunControl
from LDMSegModule.RunFolders import RunFolders
from LDMSegModule.SegmentEditor import SegmentEditor
from LDMSegModule.SegmentPanel import Order, SegmentPanel, SegmentWidgets
from LDMSegModule.SegmentParameters import SegmentParameters
from LDMSegModule.SequenceGuess import SequenceGuess
from LDMSegModule.SettingsPanel import SettingsPanel, SettingsWidgets
from LDMSegModule.SetupPanel import SetupPanel, SetupWidgets
from LDMSegModule.SlicerInstaller import SlicerInstaller
from LDMSegModule.SyntheticImport import SyntheticImport
from LDMSegModule.SyntheticPanel import SyntheticPanel, SyntheticWidgets
from LDMSegModule.ThresholdPanel import ThresholdPanel
from LDMSegModule.VolumeFacts import VolumeFacts
from LDMSegModule.VolumesView import VolumesView
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

PACE = "LDMSeg/Pace"
SYNTHETIC = "LDMSeg.SyntheticImage"
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
            "doubts itself, and draws synthetic tumour masks. Research use only, not a medical device. "
            '<a href="https://github.com/SlicerLDMSeg/SlicerLDMSeg">Documentation</a>'
        )
        self.parent.acknowledgementText = _(
            "After the method of Controllable Latent Diffusion-Based 3D Brain Tumor Segmentation "
            "(https://openreview.net/forum?id=nI0oPXnLEE). The bundled model was trained on BraTS data."
        )
        slicer.app.connect("startupCompleted()", _registerSampleData)


def _registerSampleData():
    """Offer the synthetic patient in the Sample Data module, once Slicer has loaded all its modules."""
    import SampleData  # a module of Slicer: it can be imported only then

    thumbnail = Path(__file__).parent / "Resources" / "Icons" / "LDMSeg.png"
    LDMSegLogic().sample(slicer.util.errorDisplay).register(SampleData.SampleDataLogic, thumbnail)


def _loadVolume(path, name):
    """Load a volume of the synthetic patient."""
    node = slicer.util.loadVolume(str(path), {"name": name, "show": True})
    node.SetAttribute(SYNTHETIC, "yes")
    return node


def _isSynthetic(node):
    """Whether a volume is nobody's: from our sample, or called so by whoever named it."""
    return node.GetAttribute(SYNTHETIC) == "yes" or "synthetic" in node.GetName().lower()


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

    def sample(self, complain):
        """The synthetic patient; `complain` is told a sentence when it cannot be made."""
        folder = Path(slicer.mrmlScene.GetCacheManager().GetRemoteCacheDirectory()) / "LDMSeg synthetic patient"
        return PatientSample(self.python, folder, _loadVolume, slicer.app.processEvents, complain, self._obtain)

    def _obtain(self, requirement):
        """Install one small package after asking; returns whether the user agreed."""
        text = _("LDMSeg needs the Python package {package} ({size} MB), which {purpose}. Download and install it?").format(
            package=requirement.package, size=requirement.megabytes, purpose=requirement.purpose
        )
        if not slicer.util.confirmOkCancelDisplay(text, windowTitle="LDMSeg"):
            return False
        self.installation.install_alone(requirement)
        return True

    def run(self, arguments, listener):
        """A `BackgroundRun` of `python -m LDMSegLib ARGUMENTS`, not started yet."""
        return BackgroundRun(self.python.ldmseg(*arguments), self.python.environment, listener)

    def loadResult(self, folder, reference, specification):
        """Bring a result folder into the scene; see `ResultImport.load`."""
        return ResultImport(slicer.mrmlScene, specification).load(folder, reference)

    def results(self):
        """The results that are whole in the scene, in the order they were made."""
        return ResultImport(slicer.mrmlScene).restore()

    def resultOf(self, segmentation):
        """The result a segmentation node belongs to, None where it is none."""
        return next((result for result in self.results() if result.segmentation is segmentation), None)

    def loadMasks(self, folder, reference, specification):
        """Bring a folder of synthetic masks into the scene; returns how many there are."""
        return len(SyntheticImport(slicer.mrmlScene, specification).load(folder, reference).segmentations)


class LDMSegWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: makes its parts, tells them of each other, and follows the scene."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameters = None
        self._connection = None
        self._emptied = None  # the parameter node while a scene closes
        self._made = False
        self._settings = ()

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        self.panel = slicer.util.loadUI(self.resourcePath("UI/LDMSeg.ui"))
        self.layout.addWidget(self.panel)
        self.ui = ui = slicer.util.childWidgetVariables(self.panel)
        self.panel.setMRMLScene(slicer.mrmlScene)
        self.logic = LDMSegLogic()
        self.notice = Notice(ui.generalNotice)
        self.guard = Guard(self.notice.problem)
        ui.resultSelector.addAttribute("vtkMRMLSegmentationNode", THRESHOLD_ATTRIBUTE)
        ui.helpText.text = _HELP

        self._makeSetup()
        self._makeInputs()
        self._makeReview()
        self._makeSegment()
        self._makeSynthetic()
        self._makeModels()
        self._makeTimersAndShortcuts()
        self._followScene()
        self._made = True

        self.modelsPanel.refresh()
        self._modelsChanged()
        self.setupPanel.look()
        self.initializeParameterNode()

    def cleanup(self):
        """The module is unloaded or reloaded, or Slicer ends: nothing of ours may go on, and no images may stay behind."""
        self._unbind()
        self.removeObservers()
        for timer in (self.lookTimer, self.followTimer, self.settleTimer):
            timer.stop()
        for part in (self.segmentPanel, self.syntheticPanel, self.modelsPanel, self.setupPanel):
            part.abandon()
        self.logic.folders.clear()

    def enter(self):
        """The user opens the panel, perhaps coming back from the Segment Editor."""
        self.guard(self.initializeParameterNode)()
        self.guard(self.inputs.refresh)()
        self.guard(self.review.returned)()

    def exit(self):
        """The user leaves the panel; a run goes on."""

    # The parts

    def _guard(self, notice):
        return Guard(notice.problem)

    def _timer(self):
        return qt.QTimer(self.panel)

    def _makeSetup(self):
        ui, notice = self.ui, Notice(self.ui.setupText)
        widgets = SetupWidgets(ui.setupGroup, ui.installButton, ui.installFolderButton, ui.setupCheckButton, ui.setupProgress)
        self.setupPanel = SetupPanel(
            widgets, notice, self.logic.installation, self._timer(), self._ask, self._chooseFolder, self._ready, self._guard(notice)
        )
        ui.installationButton.connect("clicked(bool)", self._guard(notice)(self._checkInstallation))

    def _checkInstallation(self):
        self.ui.setupGroup.collapsed = False
        self.setupPanel.check()

    def _makeInputs(self):
        ui = self.ui
        rows = [InputRow(name, *(getattr(ui, f"{name}{part}") for part in ("Label", "Selector", "Facts"))) for name in SEQUENCES]
        self.inputs = InputsPanel(rows, ui.findingsLabel, lambda node: VolumeFacts.of(node).text, self._volumes, self._ready)
        ui.sampleButton.connect("clicked(bool)", self.guard(self._loadSample))
        ui.guessButton.connect("clicked(bool)", self.guard(lambda: self.inputs.guess(replace=True)))

    def _makeSegment(self):
        ui, notice = self.ui, Notice(self.ui.runOutcome)
        guard = self._guard(notice)
        self.settings = SettingsPanel(
            SettingsWidgets(ui.bundleSelector, ui.modeSelector, ui.deviceSelector, ui.estimateLabel), guard, self._settingsChanged
        )
        widgets = SegmentWidgets(
            ui.segmentButton, ui.runFrame, ui.runProgress, ui.runStage, ui.keepButton, ui.cancelButton, ui.partialButton, ui.retryButton,
            ui.logText,
        )  # fmt: skip
        control = RunControl(self.logic.run, self._timer(), guard)
        self.segmentPanel = SegmentPanel(
            widgets, notice, control, self.logic.folders, self.logic.exporter, self._order, self._deliver, self._ready, guard
        )

    def _makeReview(self):
        ui, notice = self.ui, Notice(self.ui.reviewMessage)
        guard = self._guard(notice)
        self.followTimer, self.settleTimer = self._timer(), self._timer()
        parts = ReviewParts(
            VolumesView(ui.volumesTable),
            OverlayPanel(OverlayWidgets(ui.mapSelector, ui.mapRegionSelector, ui.opacitySlider, ui.hideSlider), guard),
            lambda arrived: RegionsView(
                RegionsWidgets(ui.regionsTable, ui.previousButton, ui.nextButton, ui.reviewedLabel), guard, arrived
            ),
            lambda updated: ThresholdPanel(ui.probabilitySlider, self.followTimer, self.settleTimer, guard, updated),
        )
        self.more = MoreMenu(ui.moreButton, guard, lambda: self.review.result, self._report, notice.show)
        self.review = ReviewPanel(
            ReviewWidgets(ui.reviewContent, ui.editButton, ui.discardButton), Notice(ui.resultNotice), notice, parts, SegmentEditor(),
            self._background, lambda: None, guard,
        )  # fmt: skip

    def _makeSynthetic(self):
        ui, notice = self.ui, Notice(self.ui.drawOutcome)
        guard = self._guard(notice)
        ui.masksFolder.filters = ctk.ctkPathLineEdit.Dirs
        widgets = SyntheticWidgets(ui.drawButton, ui.drawFrame, ui.drawProgress, ui.drawStage, ui.drawCancelButton, ui.masksFolder)
        self.syntheticPanel = SyntheticPanel(
            widgets, notice, RunControl(self.logic.run, self._timer(), guard), self.logic.folders, self.logic.exporter,
            lambda folder, reference: self.logic.loadMasks(folder, reference, self.settings.specification), Path.home(), self._ready, guard,
        )  # fmt: skip

    def _makeModels(self):
        ui, notice = self.ui, Notice(self.ui.modelsMessage)
        guard = self._guard(notice)
        self.modelsPanel = ModelsPanel(
            ModelsWidgets(ui.modelsTable, ui.verifyButton, ui.deleteButton, ui.modelsFolderButton), notice, self.logic.models,
            RunControl(self.logic.run, self._timer(), guard), self._ask, self._openFolder, self._modelsChanged, guard,
        )  # fmt: skip

    def _makeTimersAndShortcuts(self):
        # loading a patient adds many nodes one after the other: they are looked at once, shortly after the last
        self.lookTimer = self._timer()
        self.lookTimer.setSingleShot(True)
        self.lookTimer.setInterval(150)
        self.lookTimer.connect("timeout()", self.guard(self._look))
        self.shortcuts = []
        for keys, slot in (("Ctrl+Shift+N", self.review.regions.go_to_next), ("Ctrl+Shift+P", self.review.regions.go_to_previous)):
            shortcut = qt.QShortcut(qt.QKeySequence(keys), self.panel)
            shortcut.connect("activated()", self.guard(slot))
            self.shortcuts.append(shortcut)

    # The scene

    def _followScene(self):
        scene = slicer.mrmlScene
        for event, slot in (
            (scene.StartCloseEvent, self._sceneStartsClosing),
            (scene.EndCloseEvent, self._sceneHasClosed),
            (scene.StartImportEvent, self._unbind),
            (scene.EndImportEvent, self._sceneImported),
            (scene.NodeAddedEvent, self._sceneChanged),
            (scene.NodeRemovedEvent, self._sceneChanged),
            (scene.EndBatchProcessEvent, self._sceneChanged),
        ):
            self.addObserver(scene, event, self.guard(slot))

    def _sceneStartsClosing(self):
        self.segmentPanel.stop(_(SCENE_CLOSED))
        self.syntheticPanel.stop(_(SCENE_CLOSED))
        self.review.show(None)
        if self._parameters is not None:
            # The parameter node outlives the scene but is emptied, which its wrapper must not see: it would read numbers from nothing.
            self._emptied = self._parameters.parameterNode
            self._modifying = self._emptied.StartModify()
        self._unbind()

    def _sceneHasClosed(self):
        self.initializeParameterNode()
        if self._emptied is not None:
            self._emptied.EndModify(self._modifying)
            self._emptied = None

    def _sceneImported(self):
        # wrapped anew: a wrapper that saw the node before the volumes it refers to were loaded remembers that there are none
        self._unbind()
        self.initializeParameterNode()

    def _sceneChanged(self):
        if not slicer.mrmlScene.IsClosing():
            self.lookTimer.start()

    def _look(self):
        """Something was loaded or removed."""
        if slicer.mrmlScene.IsBatchProcessing() or slicer.mrmlScene.IsImporting():
            self.lookTimer.start()
            return
        self.initializeParameterNode()
        self.inputs.guess()
        self._showResult()

    def _volumes(self):
        scene, kind = slicer.mrmlScene, "vtkMRMLScalarVolumeNode"
        return [scene.GetNthNodeByClass(k, kind) for k in range(scene.GetNumberOfNodesByClass(kind))]

    # The parameters

    def initializeParameterNode(self):
        """Take the parameter node of the scene as it is now."""
        if self._parameters is not None and ScriptedLoadableModuleLogic.getParameterNode(self.logic) is self._parameters.parameterNode:
            return
        self._unbind()
        node = self.logic.getParameterNode()
        self._parameters = node
        self._connection = node.connectGui(self.ui)
        self._parametersChangedSlot = self.guard(self._parametersChanged)
        self.addObserver(node.parameterNode, vtk.vtkCommand.ModifiedEvent, self._parametersChangedSlot)
        self._bind(node)
        self._look()

    def _unbind(self):
        if self._parameters is not None:
            self._parameters.disconnectGui(self._connection)
            self.removeObserver(self._parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self._parametersChangedSlot)
            self._parameters = None
        self._bind(None)

    def _bind(self, parameters):
        for part in (self.settings, self.review.overlay, self.syntheticPanel):
            part.bind(parameters)

    def _parametersChanged(self):
        p = self._parameters
        if p is None:
            return
        self.inputs.refresh()
        settings = (p.bundle, p.mode, p.device, p.members, p.steps, p.batchSize)
        if settings != self._settings:
            self._settings = settings
            self.settings.show()
            self._ready()
        self._showResult()
        self.review.overlay.apply()

    def _settingsChanged(self, bundleChanged):
        if bundleChanged:
            self._useBundle()
        self._ready()

    def _modelsChanged(self):
        self.modelsPanel.refresh()
        self.settings.use(self.modelsPanel.models)
        self._useBundle()

    def _useBundle(self):
        spec = self.settings.specification
        if spec is None:
            self.inputs.use(None, None, None)
        else:
            self.inputs.use(spec, SequenceGuess(spec.sequences), Preflight(spec))

    # What may be run, and what is to be run

    def _ready(self):
        """Switch the buttons that start something, with their reasons."""
        if not self._made:
            return
        common = self.setupPanel.problems + self.settings.problems
        segmenting, drawing = self.segmentPanel.running, self.syntheticPanel.running
        warnings = [f.text for f in self.inputs.findings if not f.is_problem]
        self.segmentPanel.show_readiness(common + self.inputs.problems + [_("Masks are being drawn; wait or cancel.")] * drawing, warnings)
        entry = self.settings.entry
        self.syntheticPanel.use(str(entry.folder) if entry is not None else "", self._parameters.device if self._parameters else "auto")
        self.syntheticPanel.show_readiness(common + [_("A segmentation is running; wait for it or cancel it.")] * segmenting)
        reference = self.inputs.reference
        voxels = reference.GetImageData().GetNumberOfPoints() if reference is not None and reference.GetImageData() else 0
        self.settings.estimate(voxels, Pace.from_text(str(qt.QSettings().value(PACE, ""))))
        if self.segmentPanel.missing_package:
            self.logic.installation.want(self.segmentPanel.missing_package)  # an optional one is offered from now on
            self.segmentPanel.missing_package = ""
            self.setupPanel.check()

    def _order(self):
        """What the Segment button starts."""
        p = self._parameters
        parameters = SegmentParameters(
            inputs={},
            output=Path(),
            bundle=str(self.settings.entry.folder),
            mode=self.settings.mode,
            members=p.members or None,
            steps=p.steps or None,
            seed=p.seed,
            threshold=p.threshold,
            device=p.device,
            batch_size=p.batchSize,
            synthetic=any(_isSynthetic(node) for node in self.inputs.nodes.values()),
            prepare="" if p.prepare is Prepare.AUTOMATIC else p.prepare.value,  # automatic is what the command does unasked
        )
        return Order(self.inputs.nodes, self.inputs.reference, parameters)

    def _deliver(self, folder, reference, seconds):
        """The result is there: into the scene and into review."""
        result = self.logic.loadResult(folder, reference, self.settings.specification)
        if self.settings.bundle is not None:
            pace = Pace.measured(result.provenance, self.settings.bundle, seconds, os.cpu_count() or 1)
            if pace is not None:
                qt.QSettings().setValue(PACE, pace.to_text())
        self._parameters.result = result.segmentation
        self._showResult()
        self.ui.reviewGroup.collapsed = False
        members = result.provenance.get("sampling", {}).get("members_finished", "?")
        return _("Done in {seconds:.0f} s with {members} members. The result is under Review.").format(seconds=seconds, members=members)

    def _showResult(self):
        """Review the result that the parameters name, if it is whole."""
        wanted = self._parameters.result if self._parameters is not None else None
        wanted = wanted if wanted is not None and wanted.GetScene() is not None else None
        shown = self.review.result
        if shown is not None and shown.segmentation is wanted and shown.exists:
            return
        result = self.logic.resultOf(wanted) if wanted is not None else None
        if result is not shown:
            self.review.show(result)

    def _background(self, result):
        id = result.original.GetAttribute("LDMSeg.OnReference")
        return (slicer.mrmlScene.GetNodeByID(id) if id else None) or self.inputs.reference

    def _report(self):
        folder = self.segmentPanel.result_folder
        return folder / "report.png" if folder is not None and (folder / "report.png").is_file() else None

    # The user

    def _loadSample(self):
        self.ui.sampleButton.enabled = False
        self.ui.sampleButton.toolTip = _("The synthetic patient is being made.")
        self.notice.show(_("Making a synthetic patient; the first time this takes a moment."))
        try:
            if self.logic.sample(self.notice.problem).download():
                self.notice.clear()
        finally:
            self.ui.sampleButton.enabled = True
            self.ui.sampleButton.toolTip = _("Makes four computed images of nobody and loads them, to try the module with.")

    def _ask(self, text):
        return slicer.util.confirmOkCancelDisplay(text, windowTitle="LDMSeg")

    def _chooseFolder(self):
        return qt.QFileDialog.getExistingDirectory(None, _("Folder with downloaded Python packages"))

    def _openFolder(self, folder):
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(folder)))


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
    "<p><b>LDMSeg</b> segments adult glioma on four MRI volumes and says where it doubts itself. The numbers and maps are of a research "
    "model: always look at the images.</p>"
    '<p><a href="https://github.com/SlicerLDMSeg/SlicerLDMSeg#readme">Guide</a> · '
    '<a href="https://github.com/SlicerLDMSeg/SlicerLDMSeg/blob/main/MODEL_CARD.md">How good the model is, and where it fails</a> · '
    '<a href="https://openreview.net/forum?id=nI0oPXnLEE">The method, please cite</a></p>'
)
