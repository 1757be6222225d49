"""Which T1 is the one after contrast agent: words, header and clock together, and a question where they don't agree."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from dicom_files import head, write_series

from LDMSegLib.io.dicom_series import read_dicom_folder
from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.sequences.identified import CERTAIN, LIKELY
from LDMSegLib.sequences.identify import candidates_of_series, identify
from LDMSegLib.sequences.reading import EITHER, UNCLEAR, WITH, WITHOUT
from LDMSegLib.sequences.t1 import T1Image, minutes_between, settle

SEQUENCES = find_bundle(None).specification.sequences
DAY = date(2024, 2, 28).toordinal()


def image(contrast: str = "", tag: bool | None = None, clock: float | None = None, day: int | None = DAY, text: str = "T1") -> T1Image:
    return T1Image("x", contrast, text, "", tag, "Gadovist" if tag else "", (day, clock))


def told(*images: T1Image) -> list[tuple[str, str]]:
    return [(verdict.sequence, verdict.certainty) for verdict in settle(images).verdicts]


def test_words_and_header_that_agree_or_clear_words_alone_are_certain():
    assert told(image(WITHOUT), image(WITH, True)) == [("t1n", CERTAIN), ("t1c", CERTAIN)]
    assert told(image(WITHOUT), image(WITH)) == [("t1n", CERTAIN), ("t1c", CERTAIN)]


def test_a_header_alone_counts_only_where_another_t1_has_no_such_entry():
    assert told(image(), image(tag=True)) == [("t1n", LIKELY), ("t1c", LIKELY)]
    assert settle([image(tag=True)]).asked == ("t1n", "t1c")
    assert settle([image(tag=True), image(tag=True)]).asked == ("t1n", "t1c")


def test_a_header_that_is_the_same_for_all_t1_images_says_nothing_against_the_words():
    assert told(image(WITHOUT, True), image(WITH, True)) == [("t1n", LIKELY), ("t1c", CERTAIN)]


def test_words_against_the_header_are_asked_about_with_the_reason():
    settled = settle([image(WITHOUT, True, text="T1 ohne KM")])
    assert settled.asked == ("t1n", "t1c")
    assert 'its description ("T1 ohne KM") and its header (names Gadovist) contradict each other' in settled.why


@pytest.mark.parametrize("contrast", [EITHER, UNCLEAR])
def test_what_is_not_clear_is_settled_by_the_clock_or_asked(contrast):
    after = image(WITH, clock=36000.0)
    assert told(after, image(contrast, clock=35000.0))[1] == ("t1n", LIKELY)
    assert told(after, image(contrast, clock=37000.0))[1] == ("t1c", LIKELY)
    assert settle([after, image(contrast)]).asked == ("t1n",)


def test_an_agents_name_after_an_unknown_word_counts_with_the_header_or_beside_a_native_t1():
    assert told(image(UNCLEAR, True))[0] == ("t1c", CERTAIN)
    assert told(image(WITHOUT), image(UNCLEAR))[1] == ("t1c", LIKELY)


def test_equal_clocks_mean_nothing():
    assert told(image(WITH, clock=0.0), image(clock=0.0)) == [("t1c", CERTAIN), ("t1n", LIKELY)]


def test_minutes_are_counted_over_midnight():
    first, second = image(clock=86000.0), image(clock=600.0, day=DAY + 1)
    assert minutes_between(first, second) == pytest.approx(1000 / 60)
    assert minutes_between(image(clock=86000.0, day=None), image(clock=600.0, day=None)) is None, "without a date it may be either"
    assert minutes_between(image(clock=36000.0, day=None), image(clock=36600.0, day=None)) == pytest.approx(10.0)


def test_before_and_after_are_not_swapped_when_the_examination_goes_over_midnight(tmp_path):
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    t1 = {"RepetitionTime": 500.0, "EchoTime": 10.0}
    for number, (words, tags) in enumerate(
        {
            "T1 a": {**t1, "AcquisitionDate": "20240228", "AcquisitionTime": "235200"},
            "T1 b": {**t1, "AcquisitionDate": "20240229", "AcquisitionTime": "000400"},
            "T2": {"RepetitionTime": 4000.0, "EchoTime": 95.0},
            "FLAIR": {"RepetitionTime": 9000.0, "EchoTime": 120.0, "InversionTime": 2500.0},
        }.items(),
        start=1,
    ):
        write_series(tmp_path, head((20, 20, 8)), affine, words, number, **tags)
    found = identify(candidates_of_series(read_dicom_folder(tmp_path)), SEQUENCES)
    assert [found.choices[name].candidate.source.description for name in ("t1n", "t1c")] == ["T1 a", "T1 b"]
