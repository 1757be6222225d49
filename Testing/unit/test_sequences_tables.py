"""Descriptions and file names as people write them, row by row: which sequence each is, or that it is asked about."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from LDMSegLib.io.dicom_slices import Acquisition
from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.sequences.file_names import read_files
from LDMSegLib.sequences.identify import CERTAIN, Candidate, identify
from LDMSegLib.sequences.names import sequences_in
from LDMSegLib.sequences.naming import NOT_AN_IMAGE, stem, tokens
from LDMSegLib.spatial.volume import Volume

DATA = Path(__file__).parent / "data"
SEQUENCES = find_bundle(None).specification.sequences
PARTNERS = {"t1n": ["T1 nach KM"], "t1c": ["T1 ohne KM"], "none": ["T1 ohne KM", "T1 nach KM", "T2 TSE", "FLAIR"]}
"""What else the study holds."""


def rows(name: str) -> list[list[str]]:
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith(("#", "description\t", "case\t"))]


DESCRIPTIONS = rows("series_descriptions.tsv")
CASES: dict[str, list[tuple[str, str]]] = {}
for case, file, right in rows("file_names.tsv"):
    CASES.setdefault(case, []).append((file, right))


def with_skull() -> Volume:
    """An image that says nothing by its grey values."""
    return Volume(np.random.default_rng(0).uniform(1, 9, (20, 20, 20)).astype(np.float32), np.diag([5.0, 5.0, 5.0, 1.0]))


def image(text: str, tag: str = "-") -> Candidate:
    acquisition = Acquisition() if tag == "-" else Acquisition(agent=tag)
    return Candidate(f"series {text}", (text,), with_skull, acquisition)


def test_the_tables_are_as_long_as_they_are_meant_to_be():
    assert len(DESCRIPTIONS) >= 75 and sum(map(len, CASES.values())) >= 46


@pytest.mark.parametrize(("text", "tag", "right"), DESCRIPTIONS, ids=[f"{row[0]} ({row[1]})" for row in DESCRIPTIONS])
def test_a_description_in_a_study(text, tag, right):
    one = image(text, tag)
    rest = [image(other) for other in PARTNERS.get(right, [])]
    found = identify([one, *rest], SEQUENCES)
    taken = {name: choice for name, choice in found.choices.items() if choice.candidate is one}
    if right == "ask":
        assert not taken and any(one.name in question for question in found.questions)
    elif right == "none":
        assert not taken and one.name in dict(found.left_out)
    else:
        assert set(taken) == {right}
    if right == "t1n":
        assert found.choices["t1c"].candidate is rest[0], "the one with contrast agent is not left out"


@pytest.mark.parametrize("text", [row[0] for row in DESCRIPTIONS if row[2] == "t1n"])
def test_a_native_t1_is_never_taken_for_the_one_after_contrast_agent(text):
    for others in ([], [image("T1 tra")], [image("T1 ohne KM")]):
        choice = identify([image(text), *others], SEQUENCES).choices.get("t1c")
        assert choice is None or choice.certainty != CERTAIN


@pytest.mark.parametrize("case", CASES)
def test_the_files_of_a_case(case):
    files = [Path(file) for file, _ in CASES[case] if not set(tokens(file)) & NOT_AN_IMAGE]
    told = {one.file.name: one for one in read_files(files, [stem(file) for file in files], SEQUENCES)}
    for file, right in CASES[case]:
        names = told[file].names if file in told else ()
        assert ("none" if not names else names[0] if len(names) == 1 else "ask") == right, told.get(file)
        assert file not in told or told[file].reason


def test_words_are_read_alike_in_file_names_and_descriptions():
    for text, tag, right in DESCRIPTIONS:
        if tag == "-" and "/" not in text and right in ("t1n", "t1c", "t2w", "t2f", "none"):
            (told,) = read_files([Path("x.nii")], [text.replace(" ", "_")], SEQUENCES)
            assert told.names == (() if right == "none" else (right,)), (text, told)


def test_another_models_sequences_are_told_by_their_aliases():
    adc = replace(SEQUENCES[0], name="adc", aliases=("apparent diffusion",))
    found = identify([image("ADC"), image("T2 TSE")], (adc, SEQUENCES[2]))
    assert found.choices["adc"].candidate.name == "series ADC" and found.choices["t2w"].candidate.name == "series T2 TSE"


def test_an_alias_of_the_native_t1_does_not_outvote_a_word_for_contrast_agent():
    for text in ("magnetization prepared +C", "MP RAGE +C", "MP-RAGE GD"):
        told = sequences_in(text, (replace(SEQUENCES[0], aliases=("magnetization prepared",)), *SEQUENCES[1:]))
        assert told.names == ("t1c",), (text, told)


def test_the_t1_that_the_user_named_settles_the_other():
    first, second = image("AX T1"), image("AX T1 SE")
    rest = [image("T2 TSE"), image("FLAIR")]
    assert identify([second, *rest], SEQUENCES, {"t1c": first}).choices["t1n"].candidate is second
    assert identify([second, *rest, image("T1 KM")], SEQUENCES, {"t1n": first}).choices["t1n"].candidate is first
