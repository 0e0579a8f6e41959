"""A build goes on whatever becomes of its terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from atlas.console import say_above

ROOT = Path(__file__).parents[1]
DEMO = ("--demo", "--preset", "preview", "--layers", "conv1", "--units", "0-1", "--kinds", "filter")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize(
    "streams",
    [">/dev/full 2>&1", ">&- 2>&-", "2>&1 | true"],
)
def test_nobody_need_read_what_a_build_prints(tmp_path, streams):
    places = f"--cache {tmp_path / 'cache'} --out {tmp_path / 'site'}"
    command = f"{sys.executable} {ROOT / 'build.py'} {' '.join(DEMO)} {places} {streams}"
    command += "; exit ${PIPESTATUS[0]}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert (tmp_path / "site" / "conv1" / "0001.html").exists()


def test_a_stream_that_is_not_there_or_closed_takes_everything(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    say_above("to nobody")
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(sys, "stderr", os.fdopen(writer, "w"))
    say_above("to nobody")
