"""Out-of-fold answers: each training patient is answered by the head that has not seen him."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from training_tiny import FOLDS, HELD_OUT, prepared

from LDMSegLib.errors import InputError
from LDMSegLib.models.networks import build
from Training.checkpoints import trained_weights
from Training.conditioning import ConditioningTask
from Training.configuration import read_configuration
from Training.engine import Options, train
from Training.out_of_fold import out_of_fold

CPU = torch.device("cpu")


def test_each_patient_is_answered_by_the_head_that_has_not_seen_him(tmp_path):
    path, run = prepared(tmp_path, {"phases.conditioning.steps": 2})
    settings = read_configuration(path)
    train(ConditioningTask, settings.without_fold(0), Options(run, accelerator="cpu", workers=0, fold=0))
    with pytest.raises(InputError, match="holds no trained conditioning_without_1; run Training.conditioning with --fold 1 with"):
        out_of_fold(settings, run, CPU)
    train(ConditioningTask, settings.without_fold(1), Options(run, accelerator="cpu", workers=0, fold=1, seed=1))
    rows = {row["case"]: row for row in out_of_fold(settings, run, CPU)}
    assert {case: row["fold"] for case, row in rows.items()} == {"Tiny_001": 0, "Tiny_002": 1, "Tiny_004": 1, HELD_OUT: None}
    for fold, names in enumerate(FOLDS):
        head = build(settings.networks["conditioning"]).backbone
        head.load_state_dict(trained_weights(run, f"conditioning_without_{fold}")[0])
        with np.load(run / "data" / "training" / f"{names[0]}.npz") as case, torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            expected = head.eval()(torch.from_numpy(case["image"].astype(np.float32))[None])
        with np.load(run / "data" / "out_of_fold" / f"{names[0]}.npz") as answer:
            assert np.array_equal(answer["logits"], expected.half().numpy())
    with np.load(run / "data" / "out_of_fold" / f"{HELD_OUT}.npz") as answer:
        assert len(answer["logits"]) == 2


def test_a_configuration_without_folds_is_refused(tmp_path):
    path, run = prepared(tmp_path, {"split.folds": None})
    with pytest.raises(InputError, match="'tiny' has no folds; name a file of them under split.folds"):
        out_of_fold(read_configuration(path), run, CPU)
