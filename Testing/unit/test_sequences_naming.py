"""Which file is which sequence, by the names people really use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from LDMSegLib.errors import InputError
from LDMSegLib.sequences.naming import assign, find_case, find_cohort, natural, sequences_of
from LDMSegLib.specification import Sequence

AGENTS = ("gd", "gad", "gadolinium", "ce", "post", "contrast", "km", "enhanced")
SEQUENCES = (
    Sequence(
        "t1n",
        "T1",
        (
            *(
                "t1",
                "t1w",
                "t1 native",
                "t1w native",
                "t1 pre",
                "t1w pre",
                "t1 mprage",
                "mprage",
                "t1 flair",
                "t1 unenhanced",
                "t1 non enhanced",
            ),
            *(f"{t} {no} contrast" for t in ("t1", "t1w") for no in ("pre", "no", "non", "without")),
            *(f"{t} {no}" for t in ("t1", "t1w") for no in ("precontrast", "noncontrast")),
        ),
    ),
    Sequence(
        "t1c",
        "T1 with contrast agent",
        (
            *("t1ce", "t1gd", "t1gad", "t1post", "t1km", "ct1", "cet1", "t1wce", "t1wgd", "t1cgd", "t1 postcontrast", "t1w postcontrast"),
            *(f"{t} {agent}" for t in ("t1", "t1w", "mprage", "t1 mprage", "t1 flair") for agent in AGENTS),
            *("t1 post contrast", "t1w post contrast"),
        ),
    ),
    Sequence("t2w", "T2", ("t2",)),
    Sequence("t2f", "FLAIR", ("flair", "t2flair", "t2 flair", "tirm", "dark fluid")),
)

NAMES = {
    "t1n": [
        "BraTS-GLI-00001-000-t1n",
        "BraTS2021_00000_t1",
        "Brats17_TCIA_105_1_t1",
        "sub-01_T1w",
        "T1",
        "case7_T1_pre",
        "UPENN-GBM-00001_11_T1",
        "AX_T1_PRE_CONTRAST",
        "ax_t1_flair",
        "sub-01_acq-mprage_T1w",
        "p.01.T1.native",
        "t1-weighted without contrast",
        "T1_non_enhanced",
    ],
    "t1c": [
        "BraTS-GLI-00001-000-t1c",
        "BraTS2021_00000_t1ce",
        "Brats17_X_1_t1ce",
        "sub-01_ce-gd_T1w",
        "sub-01_ses-2_ce-gadolinium_run-1_T1w",
        "T1Gd",
        "T1post",
        "UPENN-GBM-00001_11_T1GD",
        "T1+C",
        "CT1",
        "AX T1 POST",
        "t1_mprage_gd",
        "T1-weighted post-contrast",
        "UCSF-PDGM-0004_T1c",
    ],
    "t2w": ["BraTS-GLI-00001-000-t2w", "BraTS2021_00000_t2", "sub-01_T2w", "T2", "AX_T2_TSE"],
    "t2f": ["BraTS-GLI-00001-000-t2f", "Brats17_X_1_flair", "T2_FLAIR", "sub-01_FLAIR", "t2flair", "Flair-T2-ax", "T2w_FLAIR", "3D.flair"],
}
CASE = ("p1_t1.nii.gz", "p1_t1ce.nii.gz", "p1_t2.nii.gz", "p1_flair.nii.gz")


def touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return [folder / name for name in names]


def complaint(act, *arguments):
    with pytest.raises(InputError) as caught:
        act(*arguments)
    message = str(caught.value)
    assert "\n" not in message and not message.endswith(".") and "expected" in message
    return message


@pytest.mark.parametrize(("name", "sequence"), [(name, sequence) for sequence, names in NAMES.items() for name in names])
def test_common_names_are_understood(name, sequence):
    assert sequences_of(f"/data/t2_study/{name}.nii.gz", SEQUENCES) == [sequence]


@pytest.mark.parametrize("name", ["ADC.nii.gz", "sub-01_T2starw.nii.gz", "report.nii", "xt1cx.nii", "T22.nii"])
def test_other_names_fit_no_sequence(name):
    assert sequences_of(name, SEQUENCES) == []


def test_four_files_come_in_the_specifications_order_whatever_the_order_given():
    files = [Path(name) for name in CASE]
    assert list(assign(files[::-1], SEQUENCES).items()) == list(zip(("t1n", "t1c", "t2w", "t2f"), files, strict=True))


def test_masks_and_results_are_passed_over():
    extra = ("p1_seg", "p1_t1ce_mask", "p1_t2_label", "p1_t1_pred", "flair_probability_ET", "t1c_variance", "p1_t1_seg-fusion", "labels")
    assert len(assign([*CASE, *(f"{name}.nii.gz" for name in extra)], SEQUENCES)) == 4


def test_files_of_other_kinds_are_passed_over():
    assert len(assign([*CASE, "p1_ADC.nii.gz", "p1_swi.nii.gz"], SEQUENCES)) == 4


def test_two_candidates_for_one_sequence_are_both_named():
    message = complaint(assign, [*CASE, "p1_T1Gd.nii.gz"], SEQUENCES)
    assert "p1_t1ce.nii.gz" in message and "p1_T1Gd.nii.gz" in message and "t1c" in message


def test_a_required_sequence_without_a_file_is_named_with_the_files_seen():
    message = complaint(assign, CASE[:3], SEQUENCES)
    assert "no file for FLAIR (t2f)" in message and all(name in message for name in CASE[:3])


def test_no_file_at_all_is_refused():
    assert "among 0 image(s)" in complaint(assign, [], SEQUENCES)


def test_a_name_that_fits_two_sequences_equally_is_given_to_neither():
    message = complaint(assign, ["p1_t1_t2.nii.gz", *CASE[1:]], SEQUENCES)
    assert "p1_t1_t2.nii.gz could be t1n or t2w" in message


def test_the_same_file_twice_is_refused_also_through_a_link(tmp_path):
    files = touch(tmp_path, *CASE)
    assert "same file was given twice" in complaint(assign, [*files, files[0]], SEQUENCES)
    link = tmp_path / "again_t1.nii.gz"
    link.symlink_to(files[1])
    assert "same file was given twice" in complaint(assign, [*files[1:], link], SEQUENCES)


def test_an_optional_sequence_may_be_absent():
    optional = tuple(Sequence(s.name, s.title, s.aliases, required=s.name != "t2w") for s in SEQUENCES)
    assert list(assign([CASE[0], CASE[1], CASE[3]], optional)) == ["t1n", "t1c", "t2f"]


def test_other_sequences_than_those_of_gliomas_work_as_well():
    other = (Sequence("adc", "ADC map", ("apparent diffusion",)), Sequence("pd", "Proton density", ("pdw",)))
    assert assign(["x_ADC.nii", "x_PDw.nii"], other) == {"adc": Path("x_ADC.nii"), "pd": Path("x_PDw.nii")}


def test_a_case_is_found_in_its_folder_or_one_below(tmp_path):
    touch(tmp_path / "flat", *CASE, "p1_seg.nii.gz", "notes.txt", "._p1_t1.nii.gz")
    touch(tmp_path / "deep" / "anat", *CASE)
    assert find_case(tmp_path / "flat", SEQUENCES)["t1c"].name == "p1_t1ce.nii.gz"
    assert find_case(tmp_path / "deep", SEQUENCES)["t2f"] == tmp_path / "deep" / "anat" / "p1_flair.nii.gz"


def test_a_folder_that_cannot_be_a_case_is_refused(tmp_path):
    assert "does not exist" in complaint(find_case, tmp_path / "none", SEQUENCES)
    assert "holds no image that can be read" in complaint(find_case, tmp_path, SEQUENCES)
    (file,) = touch(tmp_path, "p1_t1.nii.gz")
    assert "is a file" in complaint(find_case, file, SEQUENCES)


def test_a_cohort_given_as_a_case_is_told_apart(tmp_path):
    for case in "ab":
        touch(tmp_path / case, *CASE)
    assert "several cases" in complaint(find_case, tmp_path, SEQUENCES)


def test_cohorts_come_in_natural_order_with_incomplete_cases_and_without_results(tmp_path):
    for case in ("case10", "case2", "Case1"):
        touch(tmp_path / case, *CASE)
    touch(tmp_path / "case3", CASE[0])
    touch(tmp_path / "out", "labels.nii.gz", "probability_ET.nii.gz")
    touch(tmp_path / "empty")
    assert [case for case, _ in find_cohort(tmp_path, SEQUENCES)] == ["Case1", "case2", "case3", "case10"]


def test_sessions_below_a_subject_are_cases_of_their_own(tmp_path):
    touch(tmp_path / "sub-2" / "ses-1" / "anat", *CASE)
    touch(tmp_path / "sub-10" / "anat", *CASE)
    touch(tmp_path / "sub-2" / "ses-2" / "anat", *CASE)
    found = find_cohort(tmp_path, SEQUENCES)
    assert [case for case, _ in found] == ["sub-2_ses-1", "sub-2_ses-2", "sub-10"]
    assert all(len(find_case(folder, SEQUENCES)) == 4 for _, folder in found)


def test_a_folder_that_cannot_be_a_cohort_is_refused(tmp_path):
    assert "no NIfTI images" in complaint(find_cohort, tmp_path, SEQUENCES)
    touch(tmp_path, *CASE)
    assert "holds images itself" in complaint(find_cohort, tmp_path, SEQUENCES)


def test_natural_order_counts():
    assert sorted(["b10", "b2", "a10", "b02", "10", "9", "b"], key=natural) == ["9", "10", "a10", "b", "b02", "b2", "b10"]


def test_a_file_that_could_be_an_absent_sequence_is_asked_about_even_if_the_sequence_is_not_required():
    first, second, *rest = (replace(sequence, aliases=("brain scan",), required=False) for sequence in SEQUENCES)
    rest = [replace(sequence, required=False) for sequence in SEQUENCES[2:]]
    sequences = (first, second, *rest)
    files = ["p_brain_scan.nii.gz", *(f"p_{sequence.name}.nii.gz" for sequence in rest)]
    with pytest.raises(InputError, match=f"could be {first.name} or {second.name}"):
        assign(files, sequences)
