"""Builds the demo again and again in one process, and prints what the process holds after each.

Run: python tests/soak.py 50 [a layer, for two of its units; nothing for the whole preview]
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import tempfile
import threading
from pathlib import Path

from atlas.asked import AtlasSpec, Selection
from atlas.families.demo import images
from atlas.pipeline import Atlas
from atlas.places import Places

MALLINFO2_FIELDS = (
    *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
    *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
)
N_UNITS = 2  # of a layer
N_PER_CLASS = 2  # drawings, of which most of the work for a few units is the reading


class _Mallinfo2(ctypes.Structure):
    """What the C library says of its heap. Source: mallinfo(3)."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in MALLINFO2_FIELDS)


def heap_bytes() -> int:
    """Bytes that this process has asked the C library for and not given back (glibc >= 2.33).

    Unlike the memory of the process, it does not depend on how scattered the free parts are.
    """
    mallinfo2 = ctypes.CDLL("libc.so.6").mallinfo2
    mallinfo2.restype = _Mallinfo2
    info = mallinfo2()
    return int(info.uordblks + info.hblkhd)


def held() -> dict[str, int]:
    """Memory in bytes, open files, threads and Python objects of this process (Linux)."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return {
        "heap_bytes": heap_bytes(),
        "memory_bytes": pages * os.sysconf("SC_PAGE_SIZE"),
        "n_files": len(list(Path("/proc/self/fd").iterdir())),
        "n_threads": len(list(Path("/proc/self/task").iterdir())),
        "n_python_threads": threading.active_count(),
        "n_objects": len(gc.get_objects()),
    }


def build_once(layers: tuple[str, ...]) -> None:
    """Build the demo's preview into new folders."""
    part = Selection(layers, (range(N_UNITS),)) if layers else Selection()
    asked = AtlasSpec(family="demo", preset="preview", selection=part)
    with tempfile.TemporaryDirectory() as folder:
        places = Places(Path(folder, "site"), Path(folder, "cache"), device="cpu")
        with Atlas(asked, places) as atlas:
            atlas.build()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        images.N_PER_CLASS = N_PER_CLASS
    for _ in range(int(sys.argv[1])):
        build_once(tuple(sys.argv[2:]))
        print(json.dumps(held()), flush=True)
