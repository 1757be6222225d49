"""The ranges of what is usual: from measures to ranges, and from a run folder into a bundle."""

import sys

import numpy as np
import pytest
from tiny_bundle import LABELS, REGIONS, SEQUENCES, save_tiny_bundle, tiny_configurations, tiny_specification

from LDMSegLib.models.bundle import read_bundle, verify
from LDMSegLib.postprocessing.out_of_distribution import implausible
from LDMSegLib.spatial.atlas import find_space
from LDMSegLib.synthesis.canvas import placed_blank
from Training import plausibility as script
from Training.configuration import Configuration
from Training.plausibility import FEWEST, measured_lesions, usual_ranges

SHAPE = (24, 28, 20)


def test_a_range_goes_beyond_the_percentiles_by_its_kind_of_margin():
    values = np.linspace(0.2, 0.6, 101)
    kinds = ("spread/t1n", "volume/WT", "shell/WT", "reconstruction/WT", "parts/WT")
    found = usual_ranges([dict.fromkeys(kinds, float(v)) for v in values], margin=0.5, factor=2.0)
    low, high = np.percentile(values, (1, 99))
    width = high - low
    for key, ends in {
        "spread/t1n": (low - width / 2, high + width / 2),
        "volume/WT": (low / 2, high * 2),
        "shell/WT": (0.0, high + width / 2),
        "parts/WT": (0.0, 1.0),  # a count: the next whole number
        "reconstruction/WT": (low - width / 2, 1.0),
    }.items():
        assert (found[key].low, found[key].high) == pytest.approx(ends), key


def test_what_few_cases_have_gets_no_range():
    few = [{"contrast/ET/a/b": 1.0}] * (FEWEST - 1) + [{"spread/a": 1.0}] * FEWEST
    assert list(usual_ranges(few)) == ["spread/a"]


def configuration() -> Configuration:
    spec = tiny_specification()
    return Configuration(
        name="tiny",
        title="Tiny",
        sequences=SEQUENCES,
        reference="t1c",
        labels=LABELS,
        regions=REGIONS,
        grid=spec.grid,
        intensity=spec.intensity,
        latent={"channels": 2, "downsampling": 2},
        schedule=spec.schedule,
        modes={},
        default_mode="solver",
        networks=tiny_configurations(spec),
        validation=("kept",),
        excluded=("out",),
        phases={},
    )


@pytest.fixture
def run(tmp_path):
    """A run folder with prepared cases, label maps and lesion crops; some of each are held out."""
    rng, folder = np.random.default_rng(0), tmp_path / "run"
    regions = np.zeros((3, *SHAPE), np.uint8)
    regions[:, 8:14, 8:14, 6:12] = 255
    (folder / "data" / "training").mkdir(parents=True)
    for i in range(FEWEST):
        image = np.zeros((4, *SHAPE), np.float16)
        # sequences that cannot be taken for each other
        image[:, 2:-2, 2:-2, 2:-2] = rng.normal(0.0, 1.0, (4, 20, 24, 16)) * np.reshape([0.2, 0.4, 0.6, 0.8], (4, 1, 1, 1))
        np.savez(folder / "data" / "training" / f"case{i}.npz", image=image, regions=regions, affine=np.eye(4))
    np.savez(folder / "data" / "training" / "healthy.npz", image=image * 9, regions=regions * 0, affine=np.eye(4))
    maps = np.stack([regions, regions * 0, regions])
    np.savez(folder / "data" / "labelmaps.npz", name=["one", "empty", "kept"], regions=maps)
    crops = rng.normal(size=(2, 4, *SHAPE)).astype(np.float16)
    np.savez(folder / "data" / "patches.npz", name=["one", "out_2"], image=crops, regions=maps[:2])
    return folder


def test_label_maps_give_volumes_and_parts_and_crops_contrasts_but_not_those_held_out(run):
    found = list(measured_lesions(configuration(), run))
    place = found[0].pop("inside/WT")
    names = ("ET", "TC", "WT")
    assert found[0] == {f"volume/{n}": pytest.approx(216 * 0.216) for n in names} | {f"parts/{n}": 1.0 for n in names}
    brain = find_space("SRI24").inside(placed_blank(configuration().grid).affine, SHAPE)
    assert place == pytest.approx(brain[8:14, 8:14, 6:12].mean())
    assert len(found) == 2
    assert len(found[1]) == 18 and all(key.startswith("contrast/") for key in found[1])


def test_the_command_writes_ranges_that_the_training_cases_themselves_keep(run, tmp_path, monkeypatch, capsys):
    bundle = save_tiny_bundle(tmp_path / "tiny")
    monkeypatch.setattr(script, "read_configuration", lambda _: configuration())
    monkeypatch.setattr(sys, "argv", ["plausibility", "--config", "c", "--bundle", str(bundle), "--run", str(run), "--members", "2"])
    kept = []
    original = script.measure_case
    monkeypatch.setattr(script, "measure_case", lambda *a: kept.append(original(*a)) or kept[-1])
    script.main()
    assert "healthy" not in capsys.readouterr().out
    found = read_bundle(bundle)
    assert verify(found)
    ranges = found.specification.plausibility.ranges
    assert {"spread/t1n", "correlation/t1n/t2f", "volume/WT", "shell/WT", "reconstruction/WT"} <= ranges.keys()
    assert len(kept) == FEWEST
    assert all(implausible(measures, ranges, REGIONS) == [] for measures in kept)
    louder = {key: value * 9 if key.startswith("spread") else value for key, value in kept[0].items()}
    assert len(implausible(louder, ranges, REGIONS)) == 1
