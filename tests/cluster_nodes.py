"""A cluster whose nodes die and join during a build: `python tests/cluster_nodes.py FOLDER`.

Three nodes of Ray on this machine, each with one core, stand for three machines. The demo is built
by one process, then on two of the nodes. In the middle, one of these is killed, then the third
joins. What is built must be the same bytes. It takes some minutes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ray.cluster_utils import Cluster
from test_cluster import files, rows

from atlas.cluster.board import Doing, read_board

ROOT = Path(__file__).resolve().parents[1]
OPTIONS = ["--demo", "--quiet"]
N_BEFORE_KILL = 200  # artifacts, before a node is killed
PATIENCE_S = 1200.0
NODE = {"num_cpus": 1, "object_store_memory": 100_000_000}


class Build:
    """A build in a process of its own; it says when what happened.

    Args:
        folder: of its cache and its site.
        options: besides those of every build.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self._begun_s = folder, time.monotonic()
        places = ["--cache", str(folder / "cache"), "--out", str(folder / "site")]
        command = [sys.executable, str(ROOT / "build.py"), *OPTIONS, *places, *options]
        self._process = subprocess.Popen(command)

    def say(self, what: str) -> None:
        print(f"{time.monotonic() - self._begun_s:6.1f} s: {what}", flush=True)

    def workers(self) -> tuple[Doing, ...]:
        return read_board(self.folder / "cache")

    def wait_for(self, has_happened: Callable[[], object], what: str) -> None:
        while not has_happened():
            assert self._process.poll() is None, f"the build has ended before this: {what}"
            assert time.monotonic() - self._begun_s < PATIENCE_S, f"not within the time: {what}"
            time.sleep(0.1)
        self.say(what)

    def end(self) -> None:
        assert self._process.wait(PATIENCE_S) == 0
        self.say(f"built, {len(rows(self.folder)):,} artifacts")


def names(workers: tuple[Doing, ...]) -> set[str]:
    return {worker.name for worker in workers}


def productive(workers: tuple[Doing, ...]) -> set[str]:
    """The names of workers that have made something."""
    return names(tuple(worker for worker in workers if worker.n_made))


def main(folder: str) -> None:
    """Build twice, and compare."""
    one, several = Path(folder) / "one", Path(folder) / "several"
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    os.environ |= {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    Build(one, "--device", "cpu").end()
    # The paths of its sockets must be short.
    with tempfile.TemporaryDirectory() as sockets:
        os.environ["RAY_TMPDIR"] = sockets
        cluster = Cluster(True, head_node_args={**NODE, "include_dashboard": False})
        try:
            with_nodes(cluster, several)
        finally:
            cluster.shutdown()
    assert rows(one) == rows(several), "the cache has other bytes"
    assert files(one) == files(several), "the site has other bytes"
    print(f"the same {len(rows(one)):,} artifacts and {len(files(one)):,} files")


def with_nodes(cluster: Cluster, folder: Path) -> None:
    """Build while a node is killed and another one joins."""
    second = cluster.add_node(**NODE)
    build = Build(folder, "--cluster", cluster.address, "--cores-per-worker", "1")
    build.wait_for(lambda: len(productive(build.workers())) == 2, "two workers have made something")
    build.wait_for(lambda: len(rows(folder)) > N_BEFORE_KILL, f"{N_BEFORE_KILL} artifacts")
    (raylet,) = second.all_processes["raylet"]
    before = names(build.workers())
    raylet.process.kill()
    build.say("a node is killed")
    build.wait_for(lambda: names(build.workers()) != before, "the loss is noticed")
    cluster.add_node(**NODE)
    build.say("a node joins")
    build.wait_for(lambda: len(productive(build.workers())) == 2, "two workers have made something")
    build.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
