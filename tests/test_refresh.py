"""Work beside a long one: repeated, waited for, given up, and never left behind."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from atlas.refresh import Refresher, Rhythm, Work

AT_ONCE = Rhythm(least_pause_s=0.01, pauses=0)
BEGIN = "import os, time; open('begun', 'a').write(f'{os.getpid()}\\n')"
MAIN = f"""
import functools, time
from atlas.refresh import Refresher, Rhythm
with Refresher(functools.partial(exec, {BEGIN + "; time.sleep(60)"!r}), print, Rhythm(0.01)):
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def work(*lines: str) -> Work:
    """Something to do that another interpreter can do as well."""
    return functools.partial(exec, "\n".join((BEGIN, *lines)))


def rounds(folder: Path) -> list[int]:
    """The processes of the rounds that have begun."""
    path = folder / "begun"
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def is_running(pid: int) -> bool:
    """Also of orphans: where nobody collects those that have ended, they stay as zombies."""
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, 0)
        return not (Path("/proc").exists() and ") Z" in Path(f"/proc/{pid}/stat").read_text())
    return False


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_pauses_are_as_long_as_the_rounds_were_many_times_over():
    rhythm = Rhythm(least_pause_s=20, pauses=10)
    assert [rhythm.pause_s(), rhythm.pause_s(1.5), rhythm.pause_s(30)] == [20, 20, 300]


def test_short_work_gets_none(folder):
    with Refresher(work(), print, Rhythm(least_pause_s=60)):
        pass
    assert rounds(folder) == []


def test_it_is_done_again_and_again_elsewhere_and_tells_of_the_first_time(folder):
    told: list[int] = []
    with Refresher(work(), lambda: told.append(len(rounds(folder))), AT_ONCE):
        wait_until(lambda: len(rounds(folder)) > 2)
    assert told == [1]
    assert len({os.getpid(), *rounds(folder)}) == len(rounds(folder)) + 1


def test_a_round_that_has_begun_is_waited_for(folder):
    with Refresher(work("time.sleep(0.5)", "open('done', 'w')"), print, AT_ONCE):
        wait_until(lambda: rounds(folder))
    assert (folder / "done").exists()
    assert not is_running(rounds(folder)[0])


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_where_the_long_work_fails_the_round_is_given_up(folder, error):
    fork = "import multiprocessing as m; m.get_context('fork').Process(target=run).start()"
    forked = f"def run():\n    exec({BEGIN!r})\n    time.sleep(60)"
    begun = time.monotonic()
    with (
        pytest.raises(error),
        Refresher(work(forked, "globals().update(locals())", fork, "run()"), print, AT_ONCE),
    ):
        wait_until(lambda: len(rounds(folder)) > 2)
        raise error
    assert time.monotonic() - begun < 30
    wait_until(lambda: not any(is_running(pid) for pid in rounds(folder)))


@pytest.mark.parametrize("failure", ["1 / 0", "os._exit(3)", "os.kill(os.getpid(), 9)"])
def test_a_round_that_fails_is_the_last_and_says_nothing(folder, capfd, failure):
    told: list[int] = []
    with Refresher(work(failure), lambda: told.append(1), AT_ONCE):
        wait_until(lambda: rounds(folder))
        time.sleep(0.5)
    assert len(rounds(folder)) == 1
    assert told == []
    assert capfd.readouterr() == ("", "")


def test_nothing_outlives_a_main_process_that_is_killed(folder):
    root = str(Path(__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", MAIN], env={**os.environ, "PYTHONPATH": root}
    ) as main:
        wait_until(lambda: rounds(folder))
        main.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_running(rounds(folder)[0]))
