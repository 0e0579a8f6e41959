"""Too little memory, or too few threads, end in one line that is true, or in smaller batches."""

from __future__ import annotations

import errno
import os
import re
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from test_command import DEMO, PART, Folders, assert_refused, n_rendered, run, start

import atlas.renderer as renderer_module
from atlas.memory import is_out_of_memory, is_out_of_threads, too_little

OUT_OF_MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("could not create a primitive"),
    RuntimeError("std::bad_alloc"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
    RuntimeError("MPS backend out of memory (MPS allocated: 5 GB)"),
    OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    ImportError("libtorch_cpu.so: failed to map segment from shared object"),
]


@pytest.fixture
def folders(tmp_path) -> Folders:
    return Folders(tmp_path / "site", tmp_path / "cache")


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: str(error)[:30])
def test_errors_that_mean_too_little_memory(error):
    assert is_out_of_memory(error) and not is_out_of_threads(error)
    assert "not enough memory" in str(too_little(error))


def test_errors_that_mean_too_few_threads():
    error = RuntimeError("can't start new thread")
    assert is_out_of_threads(error) and not is_out_of_memory(error)
    assert "no threads" in str(too_little(error))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes cannot be multiplied"),
        ValueError("out of memory"),
        KeyError("bad_alloc"),
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    ],
)
def test_other_errors_are_left_alone(error):
    assert not is_out_of_memory(error) and too_little(error) is None


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("could not create a primitive"), RuntimeError("std::bad_alloc")],
    ids=str,
)
def test_batches_are_halved_until_they_fit(folders, monkeypatch, error):
    ascend, seen = renderer_module.ascend, []

    def ascend_few(fast: object, units: list[object], recipe: object, on_step: object) -> object:
        seen.append(len(units))
        if len(units) > 1:
            raise error
        return ascend(fast, units, recipe, on_step)

    monkeypatch.setattr(renderer_module, "ascend", ascend_few)
    asked = ("--demo", "--preset", "preview", "--kinds", "excitatory", "--layers", "conv1")
    assert n_rendered(run(*asked, "--units", "0-3", *folders.options)) == (4, 0)
    assert seen == [4, 2, 1, 1, 1, 1]


def test_one_picture_that_does_not_fit_is_one_line(folders, monkeypatch):
    def ascend(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(renderer_module, "ascend", ascend)
    assert_refused(run(*DEMO, *PART, *folders.options), "one picture of conv1 does not fit")


def test_a_system_without_another_thread_is_one_line(folders, monkeypatch):
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    result = run(*DEMO, *PART, *folders.options)
    lines = [line for line in re.split(r"[\r\n]+", result.err) if line.startswith("Error: ")]
    assert result.code == 2 and "what is done is kept" in lines[0] and len(lines) == 1
    assert "Traceback" not in result.err
    monkeypatch.undo()
    assert n_rendered(run(*DEMO, *PART, *folders.options))[0] > 0


@pytest.mark.skipif(sys.platform != "linux", reason="limits address space as Linux does")
@pytest.mark.parametrize("limit_mb", [400, 1500])
def test_a_process_with_little_memory_ends_in_one_line(folders, limit_mb):
    n_bytes = limit_mb * 1_000_000

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (n_bytes, n_bytes))

    process = start("build.py", *DEMO, *PART, *folders.options, preexec_fn=limit)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 2, err.decode()
    assert out == b"" and err.startswith(b"Error: not enough memory (") and err.count(b"\n") == 1


@pytest.mark.parametrize(
    "name",
    [
        "hpu",
        "xla",
        "meta",
        "cuda:99",
        "",
        "cuda:-1",
        "cuda:99999999999999999999",
        "vulkan",
        "lazy",
        "mkldnn",
        "privateuseone",
        "\x1b[31m",
        "cpu:0:0",
    ],
)
def test_devices_that_are_not_there_are_one_line(folders, name):
    result = run(*DEMO, *PART, "--device", name, *folders.options)
    assert_refused(result, "no device ", "there is cpu")
    assert "\x1b" not in result.err.replace("\x1b[A", "")


def test_a_device_is_looked_for_in_a_process_of_its_own_too(tmp_path):
    command = [
        sys.executable,
        "build.py",
        "--demo",
        "--device",
        "hpu",
        "--out",
        str(tmp_path / "s"),
    ]
    done = subprocess.run(
        [*command, "--cache", str(tmp_path / "c")],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Error: no device 'hpu'") and done.stderr.count("\n") == 1
