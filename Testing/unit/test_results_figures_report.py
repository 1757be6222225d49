"""The page for the radiologist: orientation, proportions, and what must not be missing."""

import io
import itertools
import subprocess
import sys
from pathlib import Path

import matplotlib
import nibabel as nib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from PIL import Image

from LDMSegLib.postprocessing.regions import label_map, region_masks
from LDMSegLib.postprocessing.uncertainty import find_uncertain_regions
from LDMSegLib.postprocessing.volumes import measure
from LDMSegLib.results.figures import report
from LDMSegLib.results.figures.planes import AXIAL, CORONAL, PLANES, SAGITTAL, Canonical, Cut
from LDMSegLib.results.figures.report import ReportImage, render_report
from LDMSegLib.results.segmentation import Segmentation
from LDMSegLib.specification import Label, Region

LABELS = (Label("CORE", 1, "core", (255, 0, 200)), Label("REST", 2, "rest", (0, 230, 120)))
REGIONS = (Region("CORE", "Core", ("CORE",), (255, 0, 200)), Region("ALL", "All of it", ("CORE", "REST"), (0, 230, 120)))
SHAPE = (40, 44, 12)
AFFINE = np.array([[-2.0, 0, 0, 40], [0, -2.0, 0, 44], [0, 0, 6.0, -30], [0, 0, 0, 1]])


def segmentation(radius=14.0, finished=4, warnings=(), affine=AFFINE):
    world = nib.affines.apply_affine(AFFINE, np.moveaxis(np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]], 0, -1))
    distance = np.linalg.norm(world - (15, 5, 0), axis=-1)
    p = np.stack([1 / (1 + np.exp(distance - r)) for r in (radius / 2, radius)]).astype(np.float32)
    p[p < 1e-3] = 0
    made = label_map(p, LABELS, REGIONS, 0.5)
    return Segmentation(
        probabilities=p,
        variance=p * (1 - p),
        label_map=made,
        affine=affine,
        labels=LABELS,
        regions=REGIONS,
        threshold=0.5,
        members_finished=finished,
        members_requested=4,
        volumes=measure(region_masks(made, LABELS, REGIONS), p, REGIONS, affine, np.array([[1.0, 9.0], [2.0, 12.0]])),
        uncertain_regions=find_uncertain_regions(p, REGIONS, affine),
        warnings=warnings,
    )


def images(count=2):
    head = np.zeros(SHAPE, np.float32)
    head[4:-4, 4:-4, 1:-1] = np.random.default_rng(0).uniform(50, 100, (32, 36, 10))
    return [ReportImage(name, head) for name in ("T1c", "FLAIR")[:count]]


def render(made, **options):
    png = render_report(made, options.pop("images", images()), "bundle 1", **({"case": "case 7", "dpi": 70} | options))
    return imread(io.BytesIO(png), format="png")[..., :3]


def share_of(picture, color, tolerance=0.02):
    return (np.abs(picture - np.array(to_rgb(color), np.float32)).max(axis=-1) < tolerance).mean()


def test_the_patients_right_front_and_top_appear_where_the_letters_say_for_every_orientation():
    """A voxel at +x, +y, +z of the world must be drawn on the left (axial, coronal) and towards the top."""
    place = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    for axes, flips in itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)):
        affine = np.eye(4)
        affine[:3, :3] = np.eye(3)[:, list(axes)] * flips * (1.0, 2.0, 3.0)
        shape = (5, 6, 7)
        affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
        world = nib.affines.apply_affine(affine, np.moveaxis(np.mgrid[:5, :6, :7], 0, -1))
        canonical = Canonical(affine, shape)
        for plane in PLANES:
            left, right, top, bottom = (place[letter] for letter in plane.letters)
            for (axis, sign), side in ((left, "left"), (right, "right"), (top, "top"), (bottom, "bottom")):
                volume = canonical.turn(world[..., axis] * sign)  # large where that side of the body is
                cut = Cut(plane, volume.shape[plane.axis] // 2, [(0, n - 1) for n in volume.shape], canonical.spacing)
                picture = cut.of(volume)
                edges = {"left": picture[:, 0], "right": picture[:, -1], "top": picture[-1], "bottom": picture[0]}
                assert edges[side].mean() == max(edge.mean() for edge in edges.values()), (axes, flips, plane.name, side)


def test_a_voxel_is_found_again_in_the_turned_volume_and_in_its_picture():
    affine = np.array([[0, 0, -3.0, 0], [1.0, 0, 0, 0], [0, -2.0, 0, 0], [0, 0, 0, 1]])
    volume = np.zeros((5, 6, 7))
    volume[1, 2, 4] = 1
    canonical = Canonical(affine, volume.shape)
    voxel = canonical.voxel((1, 2, 4))
    turned = canonical.turn(volume)
    assert turned[voxel] == 1
    for plane in PLANES:
        cut = Cut(plane, voxel[plane.axis], [(0, n - 1) for n in turned.shape], canonical.spacing)
        (row,), (column,) = np.nonzero(cut.of(turned))
        assert cut.point(voxel) == pytest.approx(
            ((column + 0.5) * canonical.spacing[plane.across], (row + 0.5) * canonical.spacing[plane.up])
        )


def test_pictures_have_the_proportions_of_the_body_not_of_the_array():
    canonical = Canonical(np.diag([0.5, 2.0, 5.0, 1.0]), (100, 50, 10))
    box = [(0, 99), (0, 49), (0, 9)]
    assert [Cut(plane, 0, box, canonical.spacing).size for plane in (AXIAL, CORONAL, SAGITTAL)] == [(50, 100), (50, 50), (100, 50)]


def test_the_tilt_of_an_oblique_scan_is_known():
    angle = np.radians(20)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    assert Canonical(affine, (3, 3, 3)).tilt == pytest.approx(20)
    assert Canonical(AFFINE, SHAPE).tilt == pytest.approx(0)


def test_the_planes_go_through_the_largest_cross_sections():
    made = segmentation()
    view = report._View(made, images(), None)
    mask = Canonical(AFFINE, SHAPE).turn(made.label_map > 0)
    for axis in range(3):
        areas = mask.sum(axis=tuple(a for a in range(3) if a != axis))
        assert areas[view.center[axis]] == areas.max()


def test_the_page_is_a4_and_the_same_result_gives_the_same_bytes():
    first = render_report(segmentation(), images(), "bundle 1", dpi=50)
    assert first == render_report(segmentation(), images(), "bundle 1", dpi=50)
    assert imread(io.BytesIO(first), format="png").shape[:2] == (584, 413)


def test_a_partial_result_and_a_synthetic_input_are_said_loudly_and_only_then():
    plain, partial = render(segmentation()), render(segmentation(finished=3))
    synthetic = render(segmentation(), synthetic=True)
    assert share_of(partial, report.ALARM) > 0.01 > share_of(plain, report.ALARM)
    assert share_of(synthetic, report.SYNTHETIC) > 0.01 > share_of(plain, report.SYNTHETIC)


def test_that_raw_scans_were_prepared_is_said_in_a_line_and_only_then():
    plain, prepared = (render(segmentation(), prepared=said)[:150, :, :] for said in (False, True))
    assert share_of(prepared, report.NOTE, 0.3) > share_of(plain, report.NOTE, 0.3) + 0.002


@pytest.mark.parametrize("case", ["x" * 40, "BraTS-GLI-00001-000 of the second visit of the study with a very long name " * 3])
def test_a_long_name_of_a_case_ends_before_what_stands_beside_it(case):
    details = "fast · 8 steps · seed 1 · CPU float32 · 34 s"
    without, with_name, unnamed = (render(segmentation(), case=name, details=details) for name in ("", case, "Segmentation"))
    strip = slice(20, 50)  # the header's rows at 70 dpi
    right = without.shape[1] - 20
    start = int(np.flatnonzero((without[strip, 250:right] < 0.9).any(axis=(0, 2)))[0]) + 250  # where the text on the right begins
    assert np.array_equal(with_name[strip, start:], unnamed[strip, start:]), "the text beside it is untouched"
    assert (with_name[strip, start - 10 : start] > 0.99).all(), "and there is a gap"
    assert (with_name[strip, 40 : start - 60] < 0.5).any(), "the name is there"


def test_the_contours_carry_the_regions_colours():
    found, empty = render(segmentation()), render(segmentation(radius=-20.0))
    for region in REGIONS:
        color = tuple(channel / 255 for channel in region.color)
        drawn, undrawn = (share_of(page[: len(page) // 2, : page.shape[1] // 4], color, 0.3) for page in (found, empty))
        assert drawn > 0.0003 and undrawn == 0, region.name


def test_research_use_is_on_the_page_and_in_the_file():
    png = render_report(segmentation(), images(), "bundle 1", dpi=50)
    assert "Research use only — not a medical device" in Image.open(io.BytesIO(png)).text["Description"]
    page = imread(io.BytesIO(png), format="png")[..., :3]
    assert share_of(page[-30:, : page.shape[1] // 2], report.ALARM, 0.3) > 0.01, "the sentence at the foot"


@pytest.mark.parametrize("count", [1, 2])
def test_an_empty_result_still_gives_a_page(count):
    made = segmentation(radius=-20.0)
    assert not made.label_map.any()
    assert render(made, images=images(count)).std() > 0.05


def test_an_image_of_nothing_and_long_warnings_still_give_a_page():
    nothing = [ReportImage("T1c", np.zeros(SHAPE, np.uint8))]
    warnings = tuple(f"warning {k}: " + "many words " * 60 for k in range(5))
    assert render(segmentation(radius=-20.0, warnings=warnings), images=nothing).std() > 0.05


def test_an_image_on_another_grid_is_refused():
    with pytest.raises(ValueError, match=r"expected one or two of shape \(40, 44, 12\)"):
        render(segmentation(), images=[ReportImage("T1c", np.zeros((4, 4, 4)))])


def test_drawing_leaves_matplotlibs_global_state_alone():
    before = dict(matplotlib.rcParams)
    render(segmentation())
    assert dict(matplotlib.rcParams) == before
    code = "import sys, LDMSegLib.results.figures.report; sys.exit('matplotlib.pyplot' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0
