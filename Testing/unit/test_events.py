"""What a long job tells: to a program, to a terminal, to a log."""

from __future__ import annotations

import io
import json

import pytest

from LDMSegLib.cli.console import Log
from LDMSegLib.events import JsonLines, Terminal


class FakeTerminal(io.StringIO):
    def isatty(self):
        return True


def tell_everything(reporter):
    reporter.stage("sample", "Sampling 2 members")
    reporter.progress(0.25, member=1, members=2, step=4, steps=8)
    reporter.warning("watch out", sequence="t1c")
    reporter.progress(1.0, member=2, members=2, step=8, steps=8)
    reporter.stage("write", "Writing")
    reporter.result(folder="out")
    reporter.error("no", exit_code=2)


def test_events_are_one_json_object_a_line_in_order():
    stream = io.StringIO()
    tell_everything(JsonLines(stream))
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["stage", "progress", "warning", "progress", "stage", "result", "error"]
    assert events[0] == {"event": "stage", "stage": "sample", "title": "Sampling 2 members"}
    assert events[1]["stage"] == "sample" and events[1]["fraction"] == 0.25 and events[1]["step"] == 4
    assert events[2] == {"event": "warning", "message": "watch out", "sequence": "t1c"}
    assert events[-1] == {"event": "error", "message": "no", "exit_code": 2}


def test_numbers_that_json_has_no_word_for_are_refused_not_written():
    with pytest.raises(ValueError):
        JsonLines(io.StringIO()).result(volume=float("nan"))


def test_the_seconds_left_follow_the_share_done(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("LDMSegLib.events.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    reporter = JsonLines(stream)
    reporter.stage("sample", "Sampling")
    reporter.progress(0.5)
    now[0] = 110.0
    for fraction in (0.0, 0.25, 1.0):
        reporter.progress(fraction)
    left = [json.loads(line)["seconds_left"] for line in stream.getvalue().splitlines()[1:]]
    assert left == [None, None, 30.0, 0.0], "nothing is said where it is too early to tell"


def test_a_terminal_shows_a_bar_with_counts_and_ends_every_stage_at_its_end():
    stream = FakeTerminal()
    tell_everything(Terminal(stream))
    shown = stream.getvalue()
    assert "Sampling 2 members" in shown and "100%" in shown and "warning: watch out" in shown
    assert "member 2/2, step 8/8" in shown
    writing = shown[shown.index("Writing") :]
    assert "100%" in writing and writing.rstrip().endswith("error: no")


def test_a_bar_of_a_stage_that_failed_is_not_filled():
    stream = FakeTerminal()
    terminal = Terminal(stream)
    terminal.stage("read", "Reading")
    terminal.error("no")
    assert "100%" not in stream.getvalue() and stream.getvalue().rstrip().endswith("error: no")


def test_a_log_keeps_what_has_to_be_known_apart_from_what_is_going_on(capsys):
    tell_everything(Log())
    out, err = capsys.readouterr()
    assert out == "Sampling 2 members\nWriting\n" and err == "warning: watch out\nerror: no\n"
