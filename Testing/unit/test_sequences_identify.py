"""Which image is which: names, headers, the clock, then the images; and a question wherever that is not clear."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dicom_files import head, write_series

from LDMSegLib.errors import InputError
from LDMSegLib.io.dicom_series import read_dicom_folder
from LDMSegLib.io.dicom_slices import Acquisition
from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.sequences import appearance
from LDMSegLib.sequences.dicom_rules import contrast_of, from_timing
from LDMSegLib.sequences.identify import CERTAIN, GUESS, LIKELY, Candidate, candidates_of_files, candidates_of_series, identify
from LDMSegLib.sequences.reading import EITHER, UNCLEAR, WITH, WITHOUT
from LDMSegLib.spatial.volume import Volume

SEQUENCES = find_bundle(None).specification.sequences
UNKNOWN = Acquisition()
T1 = Acquisition(repetition_time=500, echo_time=10)
T2 = Acquisition(repetition_time=4000, echo_time=95)
FLAIR = Acquisition(repetition_time=9000, echo_time=120, inversion_time=2500)


def never() -> Volume:
    raise AssertionError("an image was read although the header tells")


def image(name: str, acquisition: Acquisition = UNKNOWN, volume: Volume | None = None, source=None) -> Candidate:
    return Candidate(name, (name,), never if volume is None else lambda: volume, acquisition, source)


def told(*images: Candidate) -> dict[str, tuple[str, str]]:
    found = identify(images, SEQUENCES)
    assert found.questions == ()
    return {name: (choice.candidate.name, choice.certainty) for name, choice in found.choices.items()}


@pytest.fixture(scope="module")
def patient():
    """A stripped ball with noise; after contrast agent a hundredth of it is bright. Not a brain, but it has depth and a tail."""
    rng = np.random.default_rng(0)
    x, y, z = np.meshgrid(*[np.arange(-35, 36)] * 3, indexing="ij")
    ball = x**2 + y**2 + z**2 < 32**2
    native = np.where(ball, rng.normal(100, 10, ball.shape), 0).astype(np.float32)
    after = np.where(ball & (rng.random(ball.shape) < 0.01), 200, native).astype(np.float32)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    return {"t1n": Volume(native, affine), "t1c": Volume(after, affine)}


def test_descriptions_of_a_usual_exam_are_understood_and_the_rest_is_left_out():
    found = identify(
        [
            image("3-plane LOC", replace(T1, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"))),
            image("AX T1", T1),
            image("AX T2 FSE", T2),
            image("AX T2 FLAIR", FLAIR),
            image("DWI b1000", replace(T2, b_value=1000.0)),
            image("AX T1 +C", T1),
            image("AX T2* GRE", Acquisition(repetition_time=600, echo_time=20, scanning_sequence=("GR",))),
        ],
        SEQUENCES,
    )
    assert {n: c.candidate.name for n, c in found.choices.items()} == {
        "t1n": "AX T1",
        "t1c": "AX T1 +C",
        "t2w": "AX T2 FSE",
        "t2f": "AX T2 FLAIR",
    }
    assert found.questions == () and len(found.left_out) == 3
    assert [found.choices[n].certainty for n in ("t1n", "t1c", "t2w", "t2f")] == [LIKELY, CERTAIN, CERTAIN, CERTAIN]
    assert found.guesses == (
        "AX T1 is taken for t1n (likely): it is a T1 image that names no contrast agent, and another one does; check it",
    )


@pytest.mark.parametrize(
    ("native", "after"), [("T1 C-", "T1 C+"), ("T1 w/o", "T1 Gd"), ("T1_SE_pre", "T1_SE_post"), ("t1 mprage", "MPRAGE KM")]
)
def test_the_ways_to_say_contrast_agent(native, after):
    found = told(image(after, T1), image(native, T1), image("T2", T2), image("FLAIR", FLAIR))
    assert (found["t1n"][0], found["t1c"][0]) == (native, after)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("T1 POST NO FS", True),
        ("T1 +C w/o FS", True),
        ("T1 without contrast", False),
        ("T1 pre contrast", False),
        ("T1 non-enhanced", False),
        ("T1 post-op", None),
        ("T1 pre op GD", True),
        ("T1 pre and post", None),
        ("T1 SE", None),
    ],
)
def test_a_negation_belongs_to_the_word_behind_it_and_an_operation_is_no_contrast_agent(words, said):
    told = {WITH: True, WITHOUT: False, EITHER: None, UNCLEAR: None, "": None}
    assert told[contrast_of((words,))[0]] is said


def test_a_t1_flair_is_a_t1_and_a_flair_after_contrast_agent_is_still_a_flair():
    found = told(
        image("Ax T1 FLAIR", Acquisition(2000, 24, 860)), image("Ax T1 FLAIR +C", Acquisition(2000, 24, 860)), image("T2", T2),
        image("Ax T2 FLAIR POST", FLAIR),
    )  # fmt: skip
    assert {n: c for n, (c, _) in found.items()} == {"t1n": "Ax T1 FLAIR", "t1c": "Ax T1 FLAIR +C", "t2w": "T2", "t2f": "Ax T2 FLAIR POST"}


def test_times_alone_tell_the_families_and_the_agent_in_the_header_the_t1():
    found = told(
        image("s1", T1), image("s2", replace(T1, agent_coded=True, agent="Gadovist")), image("s3", FLAIR), image("s4", T2),
    )  # fmt: skip
    assert found == {"t1n": ("s1", LIKELY), "t1c": ("s2", LIKELY), "t2w": ("s4", LIKELY), "t2f": ("s3", LIKELY)}


@pytest.mark.parametrize(
    ("acquisition", "family"),
    [
        (Acquisition(2300, 2.98, 900), "t1"),
        (Acquisition(5000, 390, 1800), "t2f"),
        (Acquisition(3200, 410), "t2w"),
        (Acquisition(3000, 12), ""),
        (Acquisition(8000, 90, scanning_sequence=("EP",)), ""),
        (Acquisition(1800, 45), None),
        (Acquisition(), None),
    ],
)
def test_the_family_that_times_make(acquisition, family):
    assert from_timing(acquisition)[0] == family


def test_a_name_that_the_times_contradict_is_a_question_not_a_choice():
    found = identify([image("T1", T1), image("T1 GD", T1), image("T2", FLAIR), image("FLAIR", FLAIR)], SEQUENCES)
    assert "t2w" not in found.choices and found.choices["t2f"].candidate.name == "FLAIR"
    (question,) = found.questions
    assert question.startswith('T2 is called T2 ("T2"), but TR 9000, TE 120, TI 2500 ms make a FLAIR') and "--t2w" in question
    with pytest.raises(InputError, match="--t2w"):
        found.settled()


def test_two_t1_images_that_say_nothing_about_contrast_agent_are_asked_about():
    found = identify([image("T1 a", T1, _flat()), image("T1 b", T1, _flat()), image("T2", T2), image("FLAIR", FLAIR)], SEQUENCES)
    (question,) = found.questions
    assert question == (
        "T1 a and T1 b are T1 images, but neither clock nor brightness tells which was acquired after contrast agent; "
        "name them with --t1n and --t1c"
    )
    assert set(found.choices) == {"t2w", "t2f"}


def test_a_single_t1_that_says_nothing_is_asked_about():
    found = identify([image("T1", T1), image("T2", T2), image("FLAIR", FLAIR)], SEQUENCES)
    assert "T1 is a T1 image, but nothing says" in found.questions[0]


def test_words_and_header_that_contradict_each_other_about_the_agent_are_asked_about():
    wrong = replace(T1, agent_coded=True, agent="Dotarem")
    found = identify([image("T1 pre", wrong), image("T2", T2), image("FLAIR", FLAIR)], SEQUENCES)
    assert "t1n" not in found.choices and "t1c" not in found.choices and found.questions


def test_brightness_tells_two_t1_images_apart_and_is_called_a_guess(patient):
    for order in (1, -1):
        pair = [image("one", T1, patient["t1n"]), image("two", T1, patient["t1c"])][::order]
        found = told(*pair, image("T2", T2), image("FLAIR", FLAIR))
        assert found["t1n"] == ("one", GUESS) and found["t1c"] == ("two", GUESS)


def test_clock_and_brightness_together_are_likely_and_against_each_other_a_question(patient):
    one = image("one", replace(T1, clock=36000.0), patient["t1n"])
    two = image("two", replace(T1, clock=36900.0), patient["t1c"])
    rest = image("T2", T2), image("FLAIR", FLAIR)
    assert told(one, two, *rest)["t1c"] == ("two", LIKELY)
    late = image("one", replace(T1, clock=37800.0), patient["t1n"])
    assert "contradict" in identify([late, two, *rest], SEQUENCES).questions[0]


def test_a_plain_t1_acquired_after_one_with_agent_is_not_taken_for_the_native_one():
    first, agent, last = (replace(T1, clock=c) for c in (36000.0, 37000.0, 37600.0))
    series = [image("AX T1", first), image("AX T1 GD", agent), image("COR T1", last, _flat(3.0)), image("T2", T2), image("FLAIR", FLAIR)]
    series[1] = replace(series[1], read=lambda: _flat(1.0))
    found = identify(series, SEQUENCES)
    assert (found.choices["t1n"].candidate.name, found.choices["t1c"].candidate.name) == ("AX T1", "AX T1 GD")


def test_of_several_the_finest_is_taken_and_equals_are_asked_about():
    fine, coarse = _flat(2.0, 50), _flat(5.0, 20)
    rest = image("T1 pre", T1), image("T1 post", T1), image("FLAIR", FLAIR)
    found = identify([image("T2 sag", T2, coarse), image("T2 3D", T2, fine), *rest], SEQUENCES)
    assert found.choices["t2w"].candidate.name == "T2 3D" and "finer" in found.choices["t2w"].reason
    found = identify([image("T2 a", T2, fine), image("T2 b", T2, fine), *rest], SEQUENCES)
    assert "could all be t2w and are equally fine" in found.questions[0] and "t2w" not in found.choices


def test_a_missing_sequence_is_a_question_where_it_is_required_and_none_where_it_isnt():
    images = [image("T1 pre", T1), image("T1 post", T1), image("T2", T2)]
    needed = tuple(replace(s, required=True) for s in SEQUENCES)
    assert "T2-FLAIR (t2f)" in identify(images, needed).questions[0]
    optional = tuple(replace(s, required=False) for s in SEQUENCES)
    found = identify(images, optional)
    assert found.questions == () and set(found.choices) == {"t1n", "t1c", "t2w"}


def test_images_with_a_skull_and_no_names_are_asked_about():
    found = identify([image(f"image{k}", volume=_flat()) for k in range(4)], SEQUENCES)
    assert found.choices == {} and "skull" in found.questions[0]


def test_a_folder_of_dicom_is_identified(tmp_path):
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    for number, (words, tags) in enumerate(
        {
            "AX T1": {"RepetitionTime": 500.0, "EchoTime": 10.0},
            "AX T1 POST": {"RepetitionTime": 500.0, "EchoTime": 10.0, "ContrastBolusAgent": "Gadovist"},
            "AX T2": {"RepetitionTime": 4000.0, "EchoTime": 95.0},
            "AX FLAIR": {"RepetitionTime": 9000.0, "EchoTime": 120.0, "InversionTime": 2500.0},
        }.items(),
        start=1,
    ):
        write_series(tmp_path, head((20, 20, 8)), affine, words, number, **tags)
    found = identify(candidates_of_series(read_dicom_folder(tmp_path)), SEQUENCES)
    assert {n: c.source.description for n, c in found.settled().items()} == {
        "t1n": "AX T1",
        "t1c": "AX T1 POST",
        "t2w": "AX T2",
        "t2f": "AX FLAIR",
    }


def test_file_names_count_as_words():
    found = identify(candidates_of_files(["p_T1.nii", "p_T1gd.nii.gz", "p_T2.nii", "p_FLAIR.nii"]), SEQUENCES)
    assert {n: c.source.name for n, c in found.settled().items()} == {
        "t1n": "p_T1.nii",
        "t1c": "p_T1gd.nii.gz",
        "t2w": "p_T2.nii",
        "t2f": "p_FLAIR.nii",
    }


def test_real_images_without_names_are_told_right_or_asked_about():
    root = Path(os.environ.get("LDMSEG_REAL_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"))
    folder = root / "cases" / "BraTS2021_01660"
    if not folder.is_dir():
        pytest.skip(f"no real case under {root}; set LDMSEG_REAL_DATA")
    from LDMSegLib.io.nifti_in import read_volume

    volumes = {n: read_volume(next(folder.glob(f"*{n}.nii.gz"))) for n in ("t2f", "t1c", "t2w", "t1n")}
    found = identify([image(f"x{k}", volume=v) for k, v in enumerate(volumes.values())], SEQUENCES)
    assert {n: c.candidate.name for n, c in found.choices.items()} == {"t1n": "x3", "t1c": "x1", "t2w": "x2", "t2f": "x0"}
    assert all(c.certainty == GUESS for c in found.choices.values())


def test_an_image_with_a_skull_is_not_measured(patient):
    assert appearance.measure(_flat()) is None
    assert appearance.measure(patient["t1c"]).shape == (15,)


def _flat(mm: float = 5.0, voxels: int = 20) -> Volume:
    """Noise everywhere: no brain on a background, as with a skull on."""
    return Volume(np.random.default_rng(0).uniform(1, 9, (voxels,) * 3).astype(np.float32), np.diag([mm, mm, mm, 1.0]))
