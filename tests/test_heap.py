"""Memory that is freed stays at hand."""

from __future__ import annotations

import platform

from atlas import heap


def test_glibc_is_told():
    assert heap.keep_freed_memory() == (platform.libc_ver()[0] == "glibc")


def test_another_allocator_is_left_alone(monkeypatch):
    def missing(_name):
        raise OSError("no such library")

    monkeypatch.setattr(heap.ctypes, "CDLL", missing)
    assert not heap.keep_freed_memory()
