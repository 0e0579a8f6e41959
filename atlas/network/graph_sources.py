"""The source texts of compiled graphs, which torch.fx keeps as long as the process runs.

torch.fx compiles every graph that it traces or rewrites, and keeps its source for tracebacks: about
2 kB for each of a thousand graphs in a build. It has no public way to free them, so this uses its
private store, and does nothing where a version of torch has none.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def sources_forgotten() -> Iterator[None]:
    """Forget, at the end, the sources of the graphs that were compiled in the meantime."""
    before = frozenset(_sources())
    try:
        yield
    finally:
        sources = _sources()
        for name in sources.keys() - before:
            del sources[name]
            linecache.cache.pop(name, None)


def _sources() -> dict[str, str]:
    """Source texts by the name of their pretended file; empty if torch.fx is not imported."""
    loader = getattr(sys.modules.get("torch.fx.graph_module"), "_loader", None)
    sources: dict[str, str] = getattr(loader, "eval_cache", {})
    return sources
