"""What a script or a notebook calls: load a model, segment a case, prepare raw scans, draw synthetic masks, evaluate.

Importing this module loads no torch; the first call that computes does. The command line calls the same functions. Arrays of maps are
(C, X, Y, Z), C the regions in the bundle's order; an affine is voxel→world RAS in mm. What a caller can cause raises a subclass of
`LDMSegError` with one sentence: which input, what was found, what was expected, what to do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from LDMSegLib.cases.given import read_case as _read_case
from LDMSegLib.cases.loaded import LoadedCase
from LDMSegLib.cases.synthetic import says_synthetic
from LDMSegLib.errors import BundleError, Cancelled, InputError, LDMSegError, OutputError
from LDMSegLib.evaluation.cohort import Evaluation, evaluate_map, evaluate_paths
from LDMSegLib.evaluation.lesionwise import BRATS_2023_RULES
from LDMSegLib.events import Cancellation, Reporter, Silent
from LDMSegLib.io.dicom_seg import DicomSegWriter
from LDMSegLib.io.nifti_in import read_label_map, take_label_map
from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.models.layout import Bundle
from LDMSegLib.preprocessing.plan import ALWAYS, AUTOMATIC, NEVER, PreparationOptions
from LDMSegLib.preprocessing.prepared import Prepared, Step
from LDMSegLib.results.save import check_regions, dicom_seg_writer, save_segmentation
from LDMSegLib.results.save_prepared import save_prepared
from LDMSegLib.results.segmentation import Segmentation as _Segmentation
from LDMSegLib.spatial.volume import Volume
from LDMSegLib.specification import Specification
from LDMSegLib.synthesis.canvas import Canvas, choose_canvas
from LDMSegLib.synthesis.mode import synthesis_mode

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image
    from nibabel.spatialimages import SpatialImage

    from LDMSegLib.cases.given import Images
    from LDMSegLib.models.model import Model
    from LDMSegLib.synthesis.masks import SyntheticMasks

__all__ = [
    "BundleError",
    "Cancellation",
    "Cancelled",
    "Evaluation",
    "InputError",
    "LDMSegError",
    "OutputError",
    "PreparedImages",
    "Reporter",
    "Segmentation",
    "evaluate",
    "load_model",
    "prepare",
    "read_case",
    "segment",
    "synthesize",
]


@dataclass(frozen=True, eq=False)
class Segmentation(_Segmentation):
    """A finished segmentation of one case, on the grid of its reference sequence or, of raw scans, on a native grid.

    Examples:
        >>> result = segment("CASE", members=2)
        >>> result.label_map.shape == result.probabilities.shape[1:] == result.variance.shape[1:]
        True
        >>> [volume.region for volume in result.volumes]
        ['ET', 'TC', 'WT']
        >>> result.to_nifti("probability", "WT").shape == result.label_map.shape
        True
        >>> files = result.save("out")
        >>> files["labels"].name
        'labels.nii.gz'

    Attributes:
        probabilities: (R, X, Y, Z) float32, nested: the mean of the members' outputs.
        variance: (R, X, Y, Z) float32, the variance of those outputs over the members.
        label_map: (X, Y, Z) uint8 in the labels' own values.
        affine: (4, 4), voxel→world RAS in mm.
        labels, regions: Those of the bundle, in channel order.
        threshold: At or above which a region is on.
        members_finished, members_requested: Fewer finished than requested makes the result `partial`.
        views, views_requested: In how many ways the finished members looked at the images, and all would have.
        volumes: Each region's volume in mL with its spread over the members.
        uncertain_regions: Where the ensemble doubts a boundary, the most doubtful place first.
        warnings: Sentences that the user should read, all of them.
        provenance: What provenance.json says: inputs, bundle, settings, software, timings.
        loaded: The case as it was read, and prepared where that was needed.
        specification: The bundle's.
    """

    loaded: LoadedCase = field(kw_only=True, repr=False)
    specification: Specification = field(kw_only=True, repr=False)
    dicom_seg: DicomSegWriter | None = field(default=None, kw_only=True, repr=False)

    def save(
        self,
        folder: str | os.PathLike[str],
        overwrite: bool = False,
        *,
        convention: str | None = None,
        reporter: Reporter | None = None,
    ) -> dict[str, Path]:
        """Write the files that `ldmseg segment` writes; the folder appears complete or not at all.

        Args:
            folder: Where; made if it is not there.
            overwrite: Whether an earlier result there may be replaced.
            convention: Of the label map's integers, e.g. "brats2017"; the bundle's own without.
            reporter: Hears the stage "write" and, where a DICOM SEG could not be written after all, the warning.

        Returns:
            The files by name without extension, e.g. "labels", "probability_WT", "variance_WT", "volumes", "report", "provenance".

        Raises:
            OutputError: The folder cannot be written, or holds something else.
            InputError: The convention is unknown.
        """
        reporter = reporter or Silent()
        reporter.stage("write", "Writing the result")
        return save_segmentation(
            self,
            self.loaded.case,
            self.specification,
            folder,
            overwrite=overwrite,
            convention=convention,
            prepared=self.loaded.prepared,
            dicom_seg=self.dicom_seg,
            reporter=reporter,
        )

    def to_nifti(self, what: Literal["labels", "probability", "variance"] = "labels", region: str | None = None) -> Nifti1Image:
        """Give a map as a nibabel image.

        Args:
            what: "labels" (uint8, X, Y, Z), "probability" or "variance" (float32).
            region: Of a probability or variance, the one region that is wanted (X, Y, Z); all of them without (X, Y, Z, R).

        Raises:
            InputError: There is no such map or region.
        """
        if what not in ("labels", "probability", "variance"):
            raise InputError(f"the map '{what}' is wanted, expected labels, probability or variance; choose one of these")
        names = [one.name for one in self.regions]
        if region is not None and (what == "labels" or region not in names):
            where = "of the label map, which has all of them" if what == "labels" else f"which is none of {', '.join(names)}"
            raise InputError(f"the region '{region}' is wanted, {where}; leave it out or choose another")
        if what == "labels":
            return _nifti(self.label_map, self.affine)
        maps = self.probabilities if what == "probability" else self.variance
        return _nifti(np.moveaxis(maps, 0, -1) if region is None else maps[names.index(region)], self.affine)


@dataclass(frozen=True, eq=False)
class PreparedImages:
    """Raw scans of one case as the networks take them: co-registered, the brain alone, turned like the bundle's training data.

    `loaded` is the case; `segment` takes a `PreparedImages` in place of images, and then its result lies on the native grid.
    """

    loaded: LoadedCase

    @property
    def id(self) -> str:
        """What the case is called."""
        return self.loaded.case.id

    @property
    def images(self) -> Mapping[str, np.ndarray]:
        """Sequence name → (X, Y, Z) float32, 0 outside the brain, all on one grid."""
        return {name: volume.array for name, volume in self.loaded.case.volumes.items()}

    @property
    def brain(self) -> np.ndarray:
        """(X, Y, Z) bool on the same grid."""
        return _preparation(self.loaded).brain

    @property
    def affine(self) -> np.ndarray:
        """(4, 4), voxel→world RAS in mm of that grid."""
        return self.loaded.case.grid.affine

    @property
    def transforms(self) -> Mapping[tuple[str, str], np.ndarray]:
        """(from, to) → (4, 4) rigid matrix between the two worlds, RAS in mm."""
        return _preparation(self.loaded).transforms

    @property
    def steps(self) -> tuple[Step, ...]:
        """What was done, each with a title and in words how well it went."""
        return _preparation(self.loaded).steps

    @property
    def record(self) -> Mapping[str, Any]:
        """The same as plain values, as provenance.json keeps them."""
        return _preparation(self.loaded).record

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences that the user should read."""
        return self.loaded.case.warnings

    def to_nifti(self) -> dict[str, Nifti1Image]:
        """Give the images as nibabel images, by sequence."""
        return {name: _nifti(array, self.affine) for name, array in self.images.items()}

    def save(self, folder: str | os.PathLike[str], overwrite: bool = False, *, reporter: Reporter | None = None) -> dict[str, Path]:
        """Write the files that `ldmseg prepare` writes; the folder appears complete or not at all.

        Args:
            folder: Where; made if it is not there.
            overwrite: Whether an earlier result there may be replaced.
            reporter: Hears the stage "write".

        Returns:
            The files by their names.

        Raises:
            OutputError: The folder cannot be written, or holds something else.
        """
        (reporter or Silent()).stage("write", "Writing the prepared images")
        target = Path(folder).expanduser().resolve()
        return {name: target / name for name in save_prepared(self.loaded, folder, overwrite)}


def load_model(
    bundle: str | os.PathLike[str] | Bundle | None = None,
    *,
    mode: str | None = None,
    members: int | None = None,
    steps: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    for_synthesis: bool = False,
    reporter: Reporter | None = None,
) -> Model:
    """Load a bundle's networks for one sampling mode, to use for any number of cases.

    Examples:
        >>> model = load_model(members=2)
        >>> segment("CASE", model, seed=1).members_finished
        2

    Args:
        bundle: Its name or folder; the embedded one without.
        mode: The way to sample; the bundle's default without.
        members: Samples in the ensemble; the mode's without.
        steps: Denoising steps of each; the mode's without.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps"; "auto" takes the fastest there is.
        precision: "auto", "bfloat16" or "float32"; "auto" takes what the device does fast.
        threads: CPU threads of this process; as many as there are cores without.
        for_synthesis: Whether the model is for `synthesize`, which samples without an image.
        reporter: Hears the stage "load".

    Raises:
        BundleError: There is no such bundle or mode, or the bundle is damaged.
        InputError: The device is not there, or a number makes no sense.
    """
    bundle = _bundle(bundle)
    mode = synthesis_mode(bundle, mode) if for_synthesis else mode
    bundle.specification.mode(mode) if for_synthesis else bundle.specification.image_mode(mode)  # before torch is imported
    (reporter or Silent()).stage("load", "Loading the networks")
    import torch

    from LDMSegLib.models.device import choose_device
    from LDMSegLib.models.model import Model, sampling_mode

    chosen = sampling_mode(bundle.specification, mode, steps, members)
    if threads:
        torch.set_num_threads(threads)
    return Model(bundle, chosen, choose_device(device, precision), mode or "")


def read_case(
    images: Images,
    bundle: str | os.PathLike[str] | Bundle | None = None,
    *,
    affine: np.ndarray | None = None,
    case_id: str | None = None,
    series: Mapping[str, int] | None = None,
    site_rules: str | os.PathLike[str] | None = None,
    prepare: str = AUTOMATIC,
    brain_mask: str | os.PathLike[str] | None = None,
    brain_extraction: str = "deepbet",
    result_on: str = "",
    threads: int | None = None,
    reporter: Reporter | None = None,
) -> LoadedCase:
    """Read one case and bring it into the form that the networks take; `segment` does this too.

    Examples:
        >>> loaded = read_case("CASE")
        >>> [use.sequence for use in loaded.case.identified.used]
        ['t1n', 't1c', 't2w', 't2f']
        >>> result = segment(loaded, members=1)

    Args:
        images: A folder (NIfTI or DICOM); one file or several, told apart by their names; or sequence name → file, nibabel image, array,
            or (array, affine). Arrays are (X, Y, Z).
        bundle: The name or folder of the bundle that the case is read for; the embedded one without.
        affine: (4, 4), voxel→world RAS in mm, of arrays that come without one.
        case_id: What to call the case; the names of its files are then left out of what is saved.
        series: Beside a DICOM folder: sequence name → number of the series that it is.
        site_rules: A file of the site's own words for sequences.
        prepare: "automatic" (only what the images call for), "always" or "never".
        brain_mask: A file to use instead of extracting the brain.
        brain_extraction: "deepbet" or "hd-bet".
        result_on: The sequence whose native grid the result takes; the reference's without.
        threads: CPU threads to prepare raw scans; as many as there are cores without.
        reporter: Hears stages, which image became which sequence, and every warning.

    Raises:
        BundleError: There is no such bundle.
        InputError: An image cannot be read or used, which image is which cannot be told, or raw scans cannot be prepared.
    """
    mask = Path(brain_mask) if brain_mask is not None else None
    options = PreparationOptions(prepare, brain_extraction, mask, result_on, threads)
    return _read_case(
        images,
        _bundle(bundle).specification,
        options,
        affine=affine,
        id=case_id,
        series=series,
        site_rules=site_rules,
        reporter=reporter,
    )


def segment(
    images: Images | LoadedCase | PreparedImages,
    model: Model | Bundle | str | os.PathLike[str] | None = None,
    *,
    mode: str | None = None,
    members: int | None = None,
    steps: int | None = None,
    seed: int = 0,
    threshold: float | None = None,
    batch_size: int = 8,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    affine: np.ndarray | None = None,
    case_id: str | None = None,
    series: Mapping[str, int] | None = None,
    site_rules: str | os.PathLike[str] | None = None,
    prepare: str | None = None,
    brain_mask: str | os.PathLike[str] | None = None,
    brain_extraction: str | None = None,
    result_on: str = "",
    synthetic: bool = False,
    dicom_seg: bool = False,
    dicom_seg_regions: Sequence[str] = (),
    reporter: Reporter | None = None,
    cancellation: Cancellation | None = None,
) -> Segmentation:
    """Segment one case by an ensemble of the latent diffusion model.

    Examples:
        Four files, or a folder in which the names tell the sequences:

        >>> result = segment({"t1n": "t1n.nii.gz", "t1c": "t1c.nii.gz", "t2w": "t2w.nii.gz", "t2f": "t2f.nii.gz"}, members=1)
        >>> result.members_finished
        1

        Images in memory, of nibabel or as arrays with an affine:

        >>> import nibabel as nib
        >>> t1c = nib.load("t1c.nii.gz")
        >>> arrays = {name: nib.load(f"{name}.nii.gz").get_fdata() for name in ("t1n", "t1c", "t2w", "t2f")}
        >>> result = segment(arrays, affine=t1c.affine, members=1)
        >>> bool((result.affine == t1c.affine).all())
        True

    Args:
        images: As `read_case` takes them, or a case that was read or prepared before.
        model: Of `load_model`; or a bundle's name or folder, which is then loaded; the embedded bundle without.
        mode: The way to sample; only where the model is loaded here.
        members: Samples in the ensemble; the mode's without.
        steps: Denoising steps of each; the mode's without.
        seed: The same seed gives the same result on the same device and at the same precision.
        threshold: A region is on at or above this probability; the bundle's without.
        batch_size: Members sampled at once at most.
        device: See `load_model`; only where the model is loaded here.
        precision: See `load_model`; only where the model is loaded here.
        threads: CPU threads of this process; as many as there are cores without.
        affine: See `read_case`.
        case_id: See `read_case`.
        series: See `read_case`.
        site_rules: See `read_case`.
        prepare: See `read_case`.
        brain_mask: See `read_case`.
        brain_extraction: See `read_case`.
        result_on: See `read_case`.
        synthetic: Whether the result is to be marked as that of a computed image.
        dicom_seg: Whether `Segmentation.save` is to write a DICOM SEG too; of DICOM images alone.
        dicom_seg_regions: Regions that become further segments of the DICOM SEG; with any, `dicom_seg` is taken for granted.
        reporter: Hears stages, progress and every warning.
        cancellation: Asked between steps; what is finished then is still a result, marked partial.

    Raises:
        InputError: An image cannot be used, a setting makes no sense, or memory does not suffice.
        BundleError: There is no such bundle or mode, or the bundle is damaged.
        Cancelled: Before the first member was finished.
    """
    reporter = reporter or Silent()
    loading: dict[str, Any] = {"mode": mode, "device": device, "precision": precision}
    reading: dict[str, Any] = {
        "affine": affine,
        "case_id": case_id,
        "series": series,
        "site_rules": site_rules,
        "prepare": prepare,
        "brain_mask": brain_mask,
        "brain_extraction": brain_extraction,
        "result_on": result_on or None,
    }
    reading = {name: value for name, value in reading.items() if value is not None}
    loading = {name: value for name, value in loading.items() if value is not None}
    bundle, ready = (_bundle(model), None) if model is None or isinstance(model, (str, os.PathLike, Bundle)) else (model.bundle, model)
    if ready is not None and loading:
        raise InputError(f"{next(iter(loading))} was given beside a loaded model, which has its own; give it to load_model")
    _check_settings(seed, threshold, batch_size, members, steps, threads)
    check_regions(dicom_seg_regions, bundle.specification)
    loaded = images.loaded if isinstance(images, PreparedImages) else images
    if not isinstance(loaded, LoadedCase):
        loaded = read_case(loaded, bundle, threads=threads, reporter=reporter, **reading)
    elif reading:
        raise InputError(f"{next(iter(reading))} was given beside a case that was read already; give it to read_case or prepare")
    if ready is None:
        start = time.monotonic()
        ready = load_model(bundle, **loading, threads=threads, reporter=reporter)
        loaded = replace(loaded, seconds={**loaded.seconds, "load": time.monotonic() - start})
    elif threads:
        import torch

        torch.set_num_threads(threads)
    ready = ready.sampling(steps, members)
    writer = None
    if dicom_seg or dicom_seg_regions:
        writer, said = dicom_seg_writer(loaded.case, loaded.sources, bundle.specification, dicom_seg_regions, bundle.name)
        for warning in said:
            reporter.warning(warning)
        loaded = replace(loaded, case=replace(loaded.case, warnings=(*loaded.case.warnings, *said)))
    from LDMSegLib.inference import segment as inference  # torch

    settings = inference.Settings(seed, threshold, batch_size, synthetic or says_synthetic(loaded.case.volumes.values()))
    result = inference.segment(loaded, ready, settings, reporter, cancellation)
    return Segmentation(**vars(result), loaded=loaded, specification=bundle.specification, dicom_seg=writer)


def prepare(
    images: Images,
    bundle: str | os.PathLike[str] | Bundle | None = None,
    *,
    affine: np.ndarray | None = None,
    case_id: str | None = None,
    series: Mapping[str, int] | None = None,
    site_rules: str | os.PathLike[str] | None = None,
    prepare: str = ALWAYS,
    brain_mask: str | os.PathLike[str] | None = None,
    brain_extraction: str = "deepbet",
    result_on: str = "",
    threads: int | None = None,
    reporter: Reporter | None = None,
) -> PreparedImages:
    """Register raw scans, extract the brain and turn it like a bundle's training data; segments nothing.

    Args:
        images: As `read_case` takes them.
        bundle: The name or folder of the bundle that the images are prepared for; the embedded one without.
        affine: See `read_case`, as for all that follow.
        case_id: See `read_case`.
        series: See `read_case`.
        site_rules: See `read_case`.
        prepare: "always", or "automatic" for only what the images call for.
        brain_mask: See `read_case`.
        brain_extraction: See `read_case`.
        result_on: See `read_case`.
        threads: See `read_case`.
        reporter: Hears stages, progress, which image became which sequence, and every warning.

    Raises:
        InputError: As `read_case`, or there is nothing to prepare.
        BundleError: There is no such bundle.
    """
    if prepare == NEVER:
        raise InputError("--prepare never leaves nothing for ldmseg prepare to do, expected automatic or always; leave it out")
    loaded = read_case(
        images,
        bundle,
        affine=affine,
        case_id=case_id,
        series=series,
        site_rules=site_rules,
        prepare=prepare,
        brain_mask=brain_mask,
        brain_extraction=brain_extraction,
        result_on=result_on,
        threads=threads,
        reporter=reporter,
    )
    _preparation(loaded)
    return PreparedImages(loaded)


def synthesize(
    model: Model | Bundle | str | os.PathLike[str] | None = None,
    *,
    count: int = 8,
    seed: int = 0,
    min_volume_ml: float = 0.0,
    any_shape: bool = False,
    like: str | os.PathLike[str] | Canvas | None = None,
    steps: int | None = None,
    threshold: float | None = None,
    batch_size: int = 8,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    reporter: Reporter | None = None,
    cancellation: Cancellation | None = None,
) -> SyntheticMasks:
    """Draw new tumour masks out of noise: label maps of nobody's tumour.

    Examples:
        >>> masks = synthesize(count=2, seed=1, any_shape=True)
        >>> len(masks), masks[0].labels.dtype.name
        (2, 'uint8')
        >>> files = masks.save("masks")

    Args:
        model: Of `load_model(for_synthesis=True)`; or a bundle's name or folder, which is then loaded; the embedded bundle without.
        count: How many masks.
        seed: Mask i of a seed is the same whatever becomes of the others.
        min_volume_ml: Keep no mask smaller than this.
        any_shape: Keep masks of every shape, also of those that real tumours seldom have.
        like: An image's file: draw into its brain, on its grid. Without, on a 1 mm grid.
        steps: Denoising steps of each; the mode's without.
        threshold: See `segment`.
        batch_size: See `segment`.
        device: See `load_model`; only where the model is loaded here.
        precision: See `load_model`; only where the model is loaded here.
        threads: CPU threads of this process; as many as there are cores without.
        reporter: Hears stages, progress and every warning.
        cancellation: Asked between steps; the masks that are finished then are the result.

    Returns:
        The masks, a sequence of `Mask` with `number`, `member`, `labels` (X, Y, Z) uint8 and `volumes_ml`; its `save` writes the files
        that `ldmseg synthesize` writes.

    Raises:
        InputError: Not one mask could be kept, or a setting makes no sense.
        BundleError: The bundle has no mode that samples without an image.
        Cancelled: Before there was a mask.
    """
    reporter = reporter or Silent()
    loading: dict[str, Any] = {name: value for name, value in (("device", device), ("precision", precision)) if value is not None}
    bundle, ready = (_bundle(model), None) if model is None or isinstance(model, (str, os.PathLike, Bundle)) else (model.bundle, model)
    if ready is not None and loading:
        raise InputError(f"{next(iter(loading))} was given beside a loaded model, which has its own; give it to load_model")
    if ready is not None and ready.mode.controlnet is not None:
        raise InputError(
            f"the model was loaded for the mode '{ready.mode_name}', which samples for an image; give for_synthesis=True to load_model"
        )
    synthesis_mode(bundle)
    _check_settings(seed, threshold, batch_size, count, steps, threads)
    canvas = like if isinstance(like, Canvas) else choose_canvas(like, bundle.specification.grid, reporter)
    if ready is None:
        ready = load_model(bundle, for_synthesis=True, **loading, threads=threads, reporter=reporter)
    from LDMSegLib.synthesis.acceptance import SynthesisRequest  # torch
    from LDMSegLib.synthesis.masks import draw_masks

    request = SynthesisRequest(count, seed, min_volume_ml, threshold, batch_size, any_shape)
    return draw_masks(ready.sampling(steps), canvas, request, reporter, cancellation)


def evaluate(
    prediction: str | os.PathLike[str] | Segmentation,
    reference: str | os.PathLike[str] | SpatialImage,
    *,
    labels: str | None = None,
    prediction_labels: str | None = None,
    min_component_mm3: float = 0.0,
    rules: str = "glioma",
    bundle: str | os.PathLike[str] | Bundle | None = None,
    reporter: Reporter | None = None,
) -> Evaluation:
    """Compare results with reference segmentations by the BraTS 2023 definition of lesion-wise Dice and HD95.

    Examples:
        >>> result = segment("CASE", members=1)
        >>> truth = result.to_nifti()
        >>> rows = evaluate(result, truth).rows
        >>> [(row["region"], float(row["dice"])) for row in rows]
        [('ET', 1.0), ('TC', 1.0), ('WT', 1.0)]

    Args:
        prediction: A segmentation; or a result's folder, a folder of such folders, or label maps.
        reference: The file, or the nibabel image, of one reference; or a folder below which lies <case>_seg.nii.gz of each case.
        labels: What the integers of the references mean: the name of a labelling, or e.g. "NCR=1,ED=2,ET=3"; without, they decide.
        prediction_labels: The same for label maps of other programs; `labels` without.
        min_component_mm3: Score also without predicted components smaller than this.
        rules: The BraTS 2023 challenge whose dilation and smallest lesion count: "glioma", "meningioma" or "metastases".
        bundle: Whose labels and regions are meant; without, that of the bundle that made the result, else the embedded one.
        reporter: Hears the stage "evaluate", progress and every warning.

    Returns:
        One row per case, region and filter, and their summary over the cases.

    Raises:
        InputError: A file cannot be read, maps lie on different grids, or what their integers mean cannot be told.
    """
    if rules not in BRATS_2023_RULES:
        raise InputError(f"the rules '{rules}' are unknown, expected {', '.join(BRATS_2023_RULES)}; choose one of these")
    chosen = BRATS_2023_RULES[rules]
    if not isinstance(prediction, Segmentation):
        if not isinstance(prediction, (str, os.PathLike)) or not isinstance(reference, (str, os.PathLike)):
            raise InputError(
                "a prediction in files was to be compared with a reference in memory, expected both in files; save the reference"
            )
        specification = None if bundle is None else _bundle(bundle).specification
        return evaluate_paths(
            Path(prediction),
            Path(reference),
            specification,
            labels=labels,
            prediction_labels=prediction_labels,
            smallest_mm3=min_component_mm3,
            rules=chosen,
            reporter=reporter,
        )
    if isinstance(reference, (str, os.PathLike)):
        truth = read_label_map(Path(reference))
    else:
        truth = take_label_map(reference, "the reference")
    answer = Volume(prediction.label_map, prediction.affine)
    case = prediction.loaded.case.id
    return evaluate_map(case, answer, truth, prediction.specification, labels=labels, smallest_mm3=min_component_mm3, rules=chosen)


def _bundle(bundle: str | os.PathLike[str] | Bundle | None) -> Bundle:
    return bundle if isinstance(bundle, Bundle) else find_bundle(bundle)


def _check_settings(seed: int, threshold: float | None, batch_size: int, count: int | None, steps: int | None, threads: int | None) -> None:
    """Raise InputError where a number makes no sense; the command line's parser says the same in its options' words."""
    wholes = {"seed": (seed, 0), "batch_size": (batch_size, 1), "members": (count, 1), "steps": (steps, 1), "threads": (threads, 1)}
    for name, (value, least) in wholes.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least):
            raise InputError(f"{name} is {value!r}, expected a whole number from {least} up; give another one")
    if threshold is not None and not 0.0 < threshold <= 1.0:
        raise InputError(f"the threshold is {threshold!r}, expected a number above 0 and at most 1; give another one")


def _preparation(loaded: LoadedCase) -> Prepared:
    if loaded.prepared is None:
        raise InputError(
            f"the images of '{loaded.case.id}' are prepared already, so there is nothing to do; add --prepare always to do it all the same"
        )
    return loaded.prepared


def _nifti(array: np.ndarray, affine: np.ndarray) -> Nifti1Image:
    import nibabel as nib

    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    for name in ("set_sform", "set_qform"):
        getattr(image, name)(affine, code="scanner")
    return image
