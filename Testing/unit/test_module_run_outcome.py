"""One sentence for every way in which a background run can end."""

from __future__ import annotations

import pytest
from LDMSegModule.process.RunEvent import RunEvent
from LDMSegModule.process.RunOutcome import RunOutcome


def said(event: str, **values) -> RunEvent:
    return RunEvent(event, values)


DONE = said("result", folder="out", partial=False)
PARTIAL = said("result", folder="out", partial=True, members_finished=3, members_requested=30)
STOPPED = said("error", message="cancelled before there was a result; nothing was written", exit_code=130)


def judge(*events, code=0, stopped=False, words="") -> RunOutcome:
    return RunOutcome.judge(events, code, stopped, words)


@pytest.mark.parametrize(
    "outcome, status, words",
    [
        (judge(DONE), "done", ""),
        (judge(DONE, code=-15), "done", ""),
        (judge(PARTIAL, code=130, stopped=True), "partial", "3 of 30 members"),
        (judge(said("result", partial=True, kept=2, wanted=8), code=1), "partial", "2 of 8 masks"),
        (judge(STOPPED, code=130, stopped=True), "cancelled", "no result"),
        (judge(code=-9, stopped=True), "cancelled", "no result"),
        (judge(said("error", message="met a problem", exit_code=70), code=70, stopped=True), "cancelled", "no result"),
        (judge(said("error", message="no space left", exit_code=2), code=2, stopped=True), "failed", "No space left."),
        (judge(said("error", message="t1c is not there", exit_code=2), code=2), "failed", "T1c is not there."),
        (judge(code=0), "failed", "reported no result"),
        (judge(code=5, words="why"), "failed", 'last output: "why"'),
        (judge(code=-11), "failed", "SIGSEGV"),
        (judge(code=3221225477), "failed", "exit code 3221225477"),
    ],
)
def test_the_end_is_judged_by_what_was_said_and_then_by_how_it_ended(outcome, status, words):
    assert outcome.status == status and words in outcome.sentence
    assert outcome.sentence == "" or outcome.sentence.endswith((".", "Set-up."))


@pytest.mark.parametrize(
    "outcome",
    [
        judge(said("error", message="one member of the ensemble needs more memory than the CUDA has free; close", exit_code=2), code=2),
        judge(said("error", message="the memory does not suffice; close other programs", exit_code=2), code=2),
        judge(code=137),
        judge(code=1, words="MemoryError"),
        judge(code=1, words="error: [/opt/Slicer 5/bin/python-real] exit abnormally - Report the problem."),
    ],
)
def test_a_run_that_wanted_for_memory_is_recognised(outcome):
    assert outcome.out_of_memory and outcome.status == "failed"


@pytest.mark.parametrize(
    "message", ["ModuleNotFoundError: No module named 'monai.networks'", "the sample needs the package monai, which is not installed; pip"]
)
def test_a_package_that_is_missing_is_named(message):
    outcome = judge(said("error", message=message, exit_code=70), code=70)
    assert outcome.missing_package == "monai" and "install it under Set-up" in outcome.sentence


@pytest.mark.parametrize("line", ["", "[]", "3", "null", '{"event": "party"}', '{"event": ["stage"]}', "{" * 100_000, '{"event": "stage"'])
def test_what_is_no_event_is_a_line_of_the_log(line):
    assert RunEvent.parse(line) == RunEvent.log(line)


def test_values_of_the_wrong_kind_do_no_harm():
    event = RunEvent.parse('{"event": "progress", "fraction": "half", "seconds_left": NaN, "member": true, "members": 2.0}')
    assert (event.fraction, event.seconds_left, event.member, event.members) == (0.0, None, None, 2)
    assert RunEvent.parse('{"event": "progress", "fraction": 7}').fraction == 1.0
