"""Work in processes comes back whole, and says when it does not."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import site_factory

from atlas.errors import SiteError
from atlas.site import maker
from atlas.site.forked import can_fork, forked
from atlas.site.writer import write_site

pytestmark = pytest.mark.skipif(not can_fork(), reason="this system cannot fork")


def test_every_task_is_done_once_and_by_other_processes():
    found = dict(forked(lambda number: (number**2, os.getpid()), range(1000)))
    assert {position: square for position, (square, _) in found.items()} == {
        number: number**2 for number in range(1000)
    }
    assert os.getpid() not in {pid for _, pid in found.values()}


def test_an_error_in_a_process_is_raised_here():
    def work(number: int) -> int:
        if number == 70:
            raise OSError(28, "No space left on device", "somewhere")
        return number

    with pytest.raises(OSError, match="No space left"):
        list(forked(work, range(200)))


def test_a_killed_process_is_noticed():
    def work(number: int) -> int:
        if number == 70:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    with pytest.raises(SiteError, match="was killed"):
        list(forked(work, range(200)))


def test_no_task_is_no_result():
    assert list(forked(lambda number: number, [])) == []


def test_a_site_made_by_processes_is_the_same(tmp_path: Path, monkeypatch):
    contents, _ = site_factory.contents(site_factory.network(n_blocks=(1,)))
    write_site(contents, tmp_path / "threads")
    monkeypatch.setattr(maker, "WORTH_FORKING", 0)
    report = write_site(contents, tmp_path / "processes")
    files = {
        path.relative_to(tmp_path / "threads"): path.read_bytes()
        for path in (tmp_path / "threads").rglob("*")
        if path.is_file() and path.name != ".atlas-files.json"
    }
    assert report.n_written == len(files)
    for path, data in files.items():
        assert (tmp_path / "processes" / path).read_bytes() == data
    assert write_site(contents, tmp_path / "processes").n_written == 0
