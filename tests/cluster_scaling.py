"""How well workers share a network: `python tests/cluster_scaling.py FOLDER [N_WORKERS ...]`.

The whole plan of ResNet-50 on simulated GPUs that take as long as an H100 and send real pictures,
with the driver and its cache as they are. Efficiency is the work of all workers over their number
times the time it took. With `--ray N`, N light processes of Ray send as fast as they can, for the
most that the driver takes.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stand_ins import MACS_PER_S, Clock, StandIns, resnet50_facts

from atlas.asked import AtlasSpec
from atlas.cache import Artifact, Cache
from atlas.cluster.engine import _Driver
from atlas.making import Making
from atlas.plan import Job, Plan, make_plan
from atlas.progress import SILENT

N_WORKERS = (1, 2, 4, 8, 64)


class Result(NamedTuple):
    """How long a network took."""

    n_artifacts: int
    seconds: float
    efficiency: float
    driver_s: float  # that the driver computed

    def __str__(self) -> str:
        ceiling = self.n_artifacts / self.driver_s
        return (
            f"{self.seconds:8.1f} s, efficiency {self.efficiency:.3f}; the driver computed "
            f"{self.driver_s:.1f} s: at most {ceiling:,.0f} artifacts/s"
        )


def jobs_for_workers(**asked: object) -> list[Job]:
    """The jobs of ResNet-50 that workers make."""
    jobs = make_plan(AtlasSpec(**asked), resnet50_facts(), ()).asked
    return [job for job in jobs if job.kind.name != "similar"]


def simulated(jobs: Sequence[Job], n_workers: int, folder: Path) -> Result:
    """Have simulated workers make everything, with real writes."""
    clock, kept = Clock(), 0
    plan = Plan(tuple(jobs), tuple(jobs))
    with Cache(folder) as cache, SILENT.stage("") as view:
        making = Making(plan, None, view, clock)

        def commit(artifacts: list[Artifact]) -> None:
            nonlocal kept
            cache.put(artifacts)
            making.done(artifacts)
            kept += len(artifacts)

        workers = StandIns(n_workers, clock)
        driver = _Driver(workers, cache, making, 600.0, jobs, clock)
        begun_s = clock()
        driver.run(commit)
        seconds = clock() - begun_s
    assert kept == plan.n_asked
    return Result(kept, seconds, workers.worked_s / n_workers / seconds, seconds - clock.waited_s)


def main(folder: str, *n_workers: str) -> None:
    """Measure some numbers of workers."""
    jobs = jobs_for_workers()
    for n in map(int, n_workers or N_WORKERS):
        shutil.rmtree(folder, ignore_errors=True)
        print(f"{n:3} workers: {simulated(jobs, n, Path(folder))}", flush=True)
    print(f"({MACS_PER_S:.2g} MACs/s each)")


if __name__ == "__main__":
    main(*sys.argv[1:])
