"""Folders as data sets have them: nnU-Net's channel numbers, BIDS's other data, sequences in folders of their own."""

from __future__ import annotations

import json

import pytest
from test_sequences_naming import CASE, touch

from LDMSegLib.errors import InputError
from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.sequences.naming import find_case, find_cohort, find_files
from LDMSegLib.sequences.site_rules import read_site_rules

SEQUENCES = find_bundle(None).specification.sequences
BRATS = {"0": "T1", "1": "T1ce", "2": "T2", "3": "Flair"}
DECATHLON = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
CHANNELS = tuple(f"_{k:04d}.nii.gz" for k in range(4))


def data_set(folder, channels: dict[str, str] | None, key: str = "channel_names"):
    images = folder / "imagesTs"
    touch(images, *(case + channel for case in ("case_2", "case_10") for channel in CHANNELS))
    touch(folder / "labelsTr", "case_2.nii.gz", "case_10.nii.gz")
    if channels is not None:
        (folder / "dataset.json").write_text(json.dumps({key: channels, "labels": {"background": 0}}), encoding="utf-8")
    return images


@pytest.mark.parametrize(("channels", "key", "order"), [(BRATS, "channel_names", "0123"), (DECATHLON, "modality", "1230")])
def test_what_nnunets_channels_are_is_read_from_dataset_json(tmp_path, channels, key, order):
    images = data_set(tmp_path, channels, key)
    cases = find_cohort(images, SEQUENCES)
    assert [case for case, _ in cases] == ["case_2", "case_10"]
    found = find_files(cases[1][1], SEQUENCES)
    assert [file.name for file in found.files.values()] == [f"case_10_000{k}.nii.gz" for k in order]
    assert all("dataset.json" in use.reason for use in found.identified.used)


def test_the_data_sets_folder_is_a_cohort_too_without_its_labels(tmp_path):
    data_set(tmp_path, BRATS)
    assert [case for case, _ in find_cohort(tmp_path, SEQUENCES)] == ["imagesTs_case_2", "imagesTs_case_10"]


def test_channels_that_nothing_names_are_never_guessed(tmp_path):
    images = data_set(tmp_path, None)
    with pytest.raises(InputError, match=r"nothing says which channel is which sequence.*dataset\.json.*--site-rules"):
        find_files(images / "case_2", SEQUENCES)


def test_the_site_can_say_what_channels_are(tmp_path):
    images = data_set(tmp_path, None)
    rules = tmp_path / "rules.tsv"
    rules.write_text("0000\tt2f\n0001\tt1n\n0002\tt1c\n0003\tt2w\n", encoding="utf-8")
    found = find_files(images / "case_2", SEQUENCES, read_site_rules(rules, [s.name for s in SEQUENCES]))
    assert [file.name[-8] for file in found.files.values()] == list("1230")


def test_many_cases_given_as_one_are_told_with_the_way_out(tmp_path):
    images = data_set(tmp_path, BRATS)
    with pytest.raises(InputError, match=r"2 cases side by side in nnU-Net's layout.*--cohort"):
        find_case(images, SEQUENCES)


def test_bids_folders_of_other_data_are_no_cases(tmp_path):
    (tmp_path / "dataset_description.json").write_text("{}", encoding="utf-8")
    for subject in ("sub-1", "sub-2"):
        touch(
            tmp_path / subject / "anat", *(f"{subject}_{end}" for end in ("T1w.nii.gz", "ce-gd_T1w.nii.gz", "T2w.nii.gz", "FLAIR.nii.gz"))
        )
        touch(tmp_path / subject / "dwi", f"{subject}_dwi.nii.gz", f"{subject}_sbref.nii.gz")
        touch(tmp_path / subject / "perf", f"{subject}_asl.nii.gz", f"{subject}_m0scan.nii.gz")
        touch(tmp_path / "derivatives" / "bet" / subject / "anat", f"{subject}_T1w.nii.gz")
    cases = find_cohort(tmp_path, SEQUENCES)
    assert [case for case, _ in cases] == ["sub-1", "sub-2"]
    assert len(find_case(cases[0][1], SEQUENCES)) == 4
    assert len(find_case(tmp_path / "sub-2", SEQUENCES)) == 4, "the subject's folder too"


def test_a_sessions_images_are_found_below_its_subject(tmp_path):
    touch(tmp_path / "sub-1" / "ses-post" / "anat", *CASE)
    assert len(find_case(tmp_path / "sub-1", SEQUENCES)) == 4


def test_a_folders_name_speaks_for_a_file_that_says_nothing(tmp_path):
    for folder in ("T1_nativ", "T1_KM", "T2_tra", "FLAIR"):
        touch(tmp_path / folder, "image.nii.gz")
    found = find_case(tmp_path, SEQUENCES)
    assert {name: file.parent.name for name, file in found.items()} == {"t1n": "T1_nativ", "t1c": "T1_KM", "t2w": "T2_tra", "t2f": "FLAIR"}


def test_what_was_not_used_is_said_with_the_reason(tmp_path):
    touch(tmp_path, *CASE, "p1_T2_star.nii.gz", "p1_t1ce_mask.nii.gz", "p1_notes.nii.gz")
    lines = find_files(tmp_path, SEQUENCES).identified.lines()
    assert lines[0].startswith("t1n: p1_t1.nii.gz (certain")
    assert [line.split(" (")[0] for line in lines[4:]] == [
        "not used: p1_notes.nii.gz",
        "not used: p1_T2_star.nii.gz",
        "not used: p1_t1ce_mask.nii.gz",
    ]
    assert '"t2star" names susceptibility' in lines[5] or '"star" names susceptibility' in lines[5]


def test_a_native_t1_alone_is_refused_with_the_true_reason(tmp_path):
    touch(tmp_path, "T1_ohne_KM.nii.gz", "T1_tra.nii.gz", "T2.nii.gz", "FLAIR.nii.gz")
    with pytest.raises(InputError, match=r"T1_tra\.nii\.gz could be t1n or t1c"):
        find_case(tmp_path, SEQUENCES)
