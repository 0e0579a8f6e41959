"""Memory that is freed stays at hand, and what stays is not searched for garbage."""

from __future__ import annotations

import platform
import subprocess
import sys

from atlas import heap


def test_glibc_is_told():
    assert heap.keep_freed_memory() == (platform.libc_ver()[0] == "glibc")


def test_another_allocator_is_left_alone(monkeypatch):
    def missing(_name):
        raise OSError("no such library")

    monkeypatch.setattr(heap.ctypes, "CDLL", missing)
    assert not heap.keep_freed_memory()


def test_importing_torch_leaves_the_garbage_collector_on_and_torch_out_of_it():
    code = (
        "import gc, sys\n"
        "from atlas.heap import import_torch\n"
        "import_torch()\n"
        "n_frozen = gc.get_freeze_count()\n"
        "assert 'torch' in sys.modules and gc.isenabled() and n_frozen > 100_000, n_frozen\n"
        "import_torch()\n"
        "assert gc.get_freeze_count() == n_frozen\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
