"""Bundles written by other versions: older ones keep loading, what this version cannot read is refused in one sentence."""

from __future__ import annotations

import json
import shutil
from dataclasses import MISSING, fields
from pathlib import Path

import numpy as np
import pytest

from LDMSegLib.cases.assemble import load_case
from LDMSegLib.errors import BundleError
from LDMSegLib.inference.segment import Settings, segment
from LDMSegLib.models.bundle import EMBEDDED, find_bundle, read_bundle
from LDMSegLib.models.device import choose_device
from LDMSegLib.models.model import Model
from LDMSegLib.sequences.naming import find_case
from LDMSegLib.specification import Calibration, Mode, Plausibility, Sequence, Specification, from_dict, to_dict
from LDMSegLib.synthesis.shapes import shape_statistics

METADATA = "configs/metadata.json"
# Entries of the first version's bundles, at commit 5f48163, by the class that reads them. What came later is optional.
FIRST = {
    Specification: (
        "name title sequences reference labels regions grid intensity latent schedule modes default_mode weights threshold "
        "min_component_mm3 calibration plausibility synthesis_mode training_data format"
    ),
    Mode: "sampler steps members title unet controlnet timesteps",
}


@pytest.fixture
def bundle(tiny_bundle, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "tiny"))


def edit(folder: Path, change) -> None:
    content = json.loads((folder / METADATA).read_text(encoding="utf-8"))
    change(content["ldmseg"])
    (folder / METADATA).write_text(json.dumps(content), encoding="utf-8")


def required(cls: type) -> set[str]:
    return {field.name for field in fields(cls) if field.default is MISSING and field.default_factory is MISSING}


def as_first(metadata: dict) -> None:
    """Take out what the first version's bundles did not have."""
    for key in metadata.keys() - set(FIRST[Specification].split()):
        del metadata[key]
    for mode in metadata["modes"].values():
        for key in mode.keys() - set(FIRST[Mode].split()):
            del mode[key]


def test_what_the_first_version_did_not_write_is_optional():
    for cls, entries in FIRST.items():
        assert required(cls) <= set(entries.split()), f"{cls.__name__}: an entry that older bundles lack would refuse them"


def test_a_bundle_of_the_first_version_segments(bundle, small_case):
    edit(bundle, as_first)
    read = read_bundle(bundle)
    mode = read.specification.mode()
    assert (mode.views, mode.direct, mode.attenuation) == (1, 0.0, 1.0)
    case = load_case(find_case(small_case, read.specification.sequences), read.specification)
    result = segment(case, Model(read, mode, choose_device("cpu")), Settings())
    assert np.isfinite(result.probabilities).all()


def test_a_bundle_that_says_only_what_it_must_is_read(bundle):
    def least(metadata: dict) -> None:
        for key in metadata.keys() - required(Specification) - {"modes"}:
            del metadata[key]
        metadata["modes"] = {
            name: {key: mode[key] for key in (required(Mode) | {"controlnet"}) & mode.keys()} for name, mode in metadata["modes"].items()
        }
        metadata["sequences"] = [{key: entry[key] for key in required(Sequence)} for entry in metadata["sequences"]]

    edit(bundle, least)
    read = read_bundle(bundle).specification
    assert (read.calibration, read.plausibility, read.threshold) == (Calibration(), Plausibility(), 0.5)


def test_the_embedded_bundle_is_written_as_this_version_writes_it():
    default = EMBEDDED / (EMBEDDED / "DEFAULT").read_text(encoding="utf-8").strip()
    written = json.loads((default / METADATA).read_text(encoding="utf-8"))["ldmseg"]
    assert to_dict(from_dict(Specification, written)) == written


def test_every_range_and_every_term_of_the_embedded_bundle_is_one_that_this_version_measures():
    spec = find_bundle().specification
    sequences, regions = spec.sequence_names, spec.region_names
    pairs = {f"{a}/{b}" for i, a in enumerate(sequences) for b in sequences[i + 1 :]}
    known = {f"{kind}/{name}" for kind in ("spread", "skewness") for name in sequences}
    known |= {f"{kind}/{pair}" for kind in ("correlation", "asymmetry", "difference") for pair in pairs}
    known |= {f"contrast/{region}/{pair}" for region in regions for pair in pairs}
    known |= {f"{kind}/{region}" for kind in ("volume", "parts", "shell", "reconstruction", "inside") for region in regions}
    assert set(spec.plausibility.ranges) <= known
    masks = np.ones((len(regions), 2, 2, 2), bool)
    assert set(spec.shape_odds.terms) <= set(shape_statistics(masks, spec.regions, np.eye(4)))


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda m: m.update(format=2), "format 2, this version reads format 1"),
        (lambda m: m.update(lean=0.5), "'ldmseg.lean' is not known to this version"),
        (lambda m: m["modes"]["solver"].update(evened=True), "'ldmseg.modes.solver.evened' is not known to this version"),
        (lambda m: m.pop("grid"), "'grid'"),
    ],
)
def test_what_this_version_cannot_read_is_refused_in_one_sentence(bundle, change, said):
    edit(bundle, change)
    with pytest.raises(BundleError) as refused:
        read_bundle(bundle)
    assert said in str(refused.value) and ";" in str(refused.value) and "\n" not in str(refused.value)
