"""Which of several images of one sequence is taken, by stated rules; and the site's own rules before them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from LDMSegLib.errors import InputError
from LDMSegLib.io.dicom_slices import Acquisition
from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.sequences.candidates import candidates_of_files
from LDMSegLib.sequences.identify import Candidate, identify
from LDMSegLib.sequences.site_rules import read_site_rules
from LDMSegLib.spatial.volume import Volume

SEQUENCES = find_bundle(None).specification.sequences
NAMES = tuple(s.name for s in SEQUENCES)


def image(text: str, spacing=(1.0, 1.0, 5.0), extent=(200.0, 220.0, 160.0), kinds: tuple[str, ...] = ()) -> Candidate:
    shape = [round(e / s) for e, s in zip(extent, spacing, strict=True)]
    volume = Volume(np.zeros(shape, np.float32), np.diag([*spacing, 1.0]))
    return Candidate(text, (text,), lambda: volume, Acquisition(image_type=kinds))


@pytest.mark.parametrize(
    ("better", "other", "why"),
    [
        (image("T1 GD tra"), image("T1 GD cor", (1.0, 5.0, 1.0)), "plane"),
        (image("T1 GD tra"), image("T1 GD tra fs"), "fat saturation"),
        (image("AX T1 POST NO FAT SAT"), image("AX T1 POST FS"), "fat saturation"),
        (image("T1 GD tra", kinds=("ORIGINAL", "PRIMARY", "M", "NORM")), image("T1 GD tra", kinds=("ORIGINAL", "PRIMARY", "M")), "NORM"),
        (image("T1 GD tra", kinds=("M", "DIS2D")), image("T1 GD tra", kinds=("M", "ND")), "distortion"),
        (image("T1 GD", kinds=("ORIGINAL",)), image("T1 GD mpr", (1.0, 1.0, 1.0), kinds=("DERIVED",)), "derived"),
        (image("T1 GD", (1.0, 1.0, 5.0)), image("T1 GD", (0.5, 0.5, 2.0), (200.0, 220.0, 85.0)), "whole head"),
        (image("T1 GD 3D", (1.0, 1.0, 1.0)), image("T1 GD", (1.0, 1.0, 5.0)), "finer"),
        (image("T1 GD repeat"), image("T1 GD"), "repeat"),
    ],
)
def test_everyday_twins_are_settled_by_stated_rules(better, other, why):
    rest = [image("T1 nativ"), image("T2"), image("FLAIR")]
    for pair in ([better, other], [other, better]):
        found = identify([*pair, *rest], SEQUENCES)
        assert found.questions == () and found.choices["t1c"].candidate is better
        assert why in found.choices["t1c"].reason
        assert any(name == other.name and "another t1c" in said for name, said in found.left_out)


def test_what_no_rule_tells_apart_is_asked_about_with_the_way_out():
    found = identify([image("T2 a"), image("T2 b")], SEQUENCES)
    assert "t2w" not in found.choices and "--site-rules" in found.questions[0] and "T2 a and T2 b" in found.questions[0]


def test_the_sites_rules_come_before_all_other_evidence(tmp_path):
    file = tmp_path / "rules.tsv"
    file.write_text("# our words\nwords\tsequence\nStealth\tt1c\nstealth nativ\tt1n\nt2 b\tnone\n", encoding="utf-8")
    rules = read_site_rules(file, NAMES)
    names = ["STEALTH-Nativ", "STEALTH", "T2 a", "T2 B", "FLAIR"]
    found = identify([replace(image(name), rule=rules.match(name)) for name in names], SEQUENCES)
    taken = {name: candidate.name for name, candidate in found.settled().items()}
    assert taken == {"t1n": "STEALTH-Nativ", "t1c": "STEALTH", "t2w": "T2 a", "t2f": "FLAIR"}
    assert "site's rule" in found.choices["t1c"].reason and "site's rule" in dict(found.left_out)["T2 B"]


@pytest.mark.parametrize("line", ["stealth t1c", "stealth\tt1x", "***\tt1c"])
def test_a_line_that_is_no_rule_is_named(tmp_path, line):
    file = tmp_path / "rules.tsv"
    file.write_text(f"# one\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"line 2 .*expected words, a tab and one of t1n, t1c, t2w, t2f, none"):
        read_site_rules(file, NAMES)


def test_rules_that_contradict_each_other_are_told(tmp_path):
    file = tmp_path / "rules.tsv"
    file.write_text("stealth\tt1c\ntra\tt1n\n", encoding="utf-8")
    with pytest.raises(InputError, match="two rules of rules.tsv"):
        read_site_rules(file, NAMES).match("Stealth tra")


def test_candidates_of_files_have_no_rule():
    assert all(one.rule is None for one in candidates_of_files(["a_T1.nii"]))
