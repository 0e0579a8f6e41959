"""What is shown: a bar on a real terminal, a line a minute in a pipe, nothing if quiet."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from terminal import Terminal
from test_command import DEMO, PART, Folders, run

from atlas import progress as progress_module
from atlas.progress import Bars, Lines, Silent, Tally, counted, progress_on

ROOT = Path(__file__).resolve().parents[1]


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def said() -> list[str]:
    return []


def test_without_a_terminal_there_is_a_line_a_minute_and_one_at_the_end(clock, said):
    with Lines(said.append, clock).stage("site") as view:
        for second in range(150):
            clock.now_s = float(second)
            view.show("site", second / 200, f"{second} of 200 files")
        view.tell("pages done")
    assert said == [
        "site 30%, 60 of 200 files",
        "site 60%, 120 of 200 files",
        "pages done",
        "site done, 02:29",
    ]


def test_a_line_a_minute_comes_also_while_nothing_is_shown(clock, said, monkeypatch):
    monkeypatch.setattr(progress_module, "LOOK_EVERY_S", 0.01)
    news = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        news.set()

    with Lines(say, clock).stage("loading") as view:
        for now_s in (60.0, 75.0, 150.0):
            if now_s == 75.0:
                view.show("tuning", 0.25, "1 of 4")
            clock.now_s = now_s
            is_due = now_s != 75.0
            assert news.wait(30.0 if is_due else 0.2) == is_due
            news.clear()
    assert said == [
        "loading; at this for 01:00",
        "tuning 25%, 1 of 4; at this for 01:30",
        "loading done, 02:30",
    ]


def test_a_stage_that_fails_is_not_said_to_be_done(clock, said):
    with pytest.raises(ValueError, match="broken"), Lines(said.append, clock).stage("site"):
        raise ValueError("broken")
    assert said == []


def test_a_short_stage_that_may_be_left_out_is(clock, said):
    for seconds in (1.0, 3.0):
        with Lines(said.append, clock).stage("reading", delay_s=2.0):
            clock.now_s += seconds
    assert said == ["reading done, 00:03"]


def test_the_time_left_of_equal_parts_is_that_of_those_done(clock, said):
    with counted(Lines(said.append, clock), "photographs", "images", clock=clock) as show:
        tally = Tally(40, show)
        clock.now_s = 60.0
        tally.add(10)
    assert said[0] == "photographs 25%, 10 of 40 images, 03:00 left"


def test_a_terminal_gets_a_bar_a_pipe_lines_and_whoever_wants_quiet_nothing():
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert isinstance(progress_on(Terminal()), Bars)
    assert isinstance(progress_on(io.StringIO()), Lines)
    assert isinstance(progress_on(Terminal(), is_quiet=True), Silent)
    assert isinstance(progress_on(None), Silent)


def command(folder: Path, *asked: str) -> list[str]:
    places = ["--out", str(folder / "site"), "--cache", str(folder / "cache")]
    return [sys.executable, str(ROOT / "build.py"), *asked, *PART, *places]


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are of Unix")
def test_on_a_terminal_the_bar_advances_between_pictures_and_names_what_is_made(tmp_path):
    terminal = Terminal()
    asked = command(tmp_path, "--demo", "--kinds", "excitatory")
    process = subprocess.Popen(asked, stdout=subprocess.DEVNULL, stderr=terminal.writer)
    text = "".join(terminal.written())
    assert process.wait(timeout=60) == 0
    assert "loading network" in text
    assert "excitatory conv1" in text and "excitatory fc" in text
    shown = re.findall(r"excitatory \S+ +(\d+)%\|[^|]*\| \[[^\]]*, (\d+) of \d+", text)
    by_count: dict[str, set[str]] = {}
    for percent, n_done in shown:
        by_count.setdefault(n_done, set()).add(percent)
    assert max(map(len, by_count.values())) > 1, text
    assert not any(line.startswith("loading") and "%" in line for line in text.split("\r"))


def test_in_a_pipe_every_stage_is_told_once_and_there_is_no_bar(tmp_path):
    done = run(*command(tmp_path, *DEMO)[2:])
    assert done.code == 0
    lines = done.err.splitlines()
    for stage in ("loading network", "filter", "excitatory", "pictures and panels", "site"):
        assert sum(line.startswith(f"{stage} done, ") for line in lines) == 1, done.err
    assert "\r" not in done.err and "|" not in done.err


def test_quiet_shows_no_progress_but_results_and_errors(tmp_path):
    folders = Folders(tmp_path / "site", tmp_path / "cache")
    built = run(*DEMO, *PART, *folders.options, "--quiet")
    assert built.code == 0 and built.err == ""
    assert "pictures and panels made" in built.out
    refused = run(*DEMO, "--layers", "nothing", *folders.options, "--quiet")
    assert refused.code == 2 and refused.err.startswith("Error: ")
