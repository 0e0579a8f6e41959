"""A process that builds many atlases holds no more after the last than after the first ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import atlas

N_BUILDS = int(os.environ.get("ATLAS_TEST_BUILDS", "6"))
N_FIRST = 3  # builds after which libraries have loaded and kept what they keep
MAX_OBJECTS = 50  # more after each build
MAX_HEAP_BYTES = 2**16
MAX_MORE_BYTES = 100 * 2**20  # the C library takes memory in steps of 64 MiB


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_many_builds_in_one_process_hold_no_more_than_the_first():
    command = [sys.executable, str(Path(__file__).with_name("soak.py")), str(N_BUILDS), "conv1"]
    environment = {**os.environ, "PYTHONPATH": str(Path(atlas.__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    held = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(held) == N_BUILDS
    first, last = held[N_FIRST - 1], held[-1]
    assert last["n_files"] <= first["n_files"]
    assert last["n_threads"] <= first["n_threads"] + 1
    assert last["n_python_threads"] <= first["n_python_threads"]
    assert last["n_objects"] - first["n_objects"] < MAX_OBJECTS * (N_BUILDS - N_FIRST)
    assert last["heap_bytes"] - first["heap_bytes"] < MAX_HEAP_BYTES * (N_BUILDS - N_FIRST)
    assert last["memory_bytes"] - first["memory_bytes"] < MAX_MORE_BYTES
