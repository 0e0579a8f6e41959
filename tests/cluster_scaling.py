"""How well workers share a network: `python tests/cluster_scaling.py FOLDER [N_WORKERS ...]`.

The whole plan of ResNet-50 on simulated GPUs that take as long as an H100 and send real pictures,
with the driver and its cache as they are. Efficiency is the work of all workers over their number
times the time it took. With `--ray PACE` after the folder, the workers are light processes of Ray
that sleep instead, PACE times as long as an H100 computes; with 0, that is the most that the driver
takes.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stand_ins import (
    CUT,
    MACS_PER_S,
    PACE_VARIABLE,
    Actor,
    Clock,
    SimulatedKeeper,
    StandIns,
    Together,
    resnet50_facts,
)

from atlas.asked import AtlasSpec
from atlas.cache import Artifact, Cache
from atlas.cluster import Cluster, ray_workers
from atlas.cluster.engine import Driver
from atlas.cluster.keeping import ThreadKeeper
from atlas.cluster.messages import Setup
from atlas.cluster.scheduling import pieces_of
from atlas.making import Making
from atlas.observer import UNOBSERVED
from atlas.plan import Job, Plan, make_plan
from atlas.progress import SILENT

N_WORKERS = (1, 2, 4, 8, 64)
SETUP = Setup(AtlasSpec(), (), "", "")


class Result(NamedTuple):
    """How long a network took."""

    n_artifacts: int
    seconds: float
    efficiency: float
    driver_s: float  # that the driver computed
    keeping_s: float  # that its thread which writes computed beside it; 0: it is included

    def __str__(self) -> str:
        ceiling = self.n_artifacts / max(self.driver_s, self.keeping_s)
        beside = f", its thread that writes {self.keeping_s:.1f} s" if self.keeping_s else ""
        return (
            f"{self.seconds:8.1f} s, efficiency {self.efficiency:.3f}; the driver computed "
            f"{self.driver_s:.1f} s{beside}: at most {ceiling:,.0f} artifacts/s"
        )


def jobs_for_workers(**asked: object) -> list[Job]:
    """The jobs of ResNet-50 that workers make."""
    jobs = make_plan(AtlasSpec(**asked), resnet50_facts(), ()).asked
    return [job for job in jobs if job.kind.name not in ("similar", "map")]


def simulated(jobs: Sequence[Job], n_workers: int, folder: Path) -> Result:
    """Have simulated workers make everything, with real writes."""
    clock, kept = Clock(), 0
    plan = Plan(tuple(jobs), tuple(jobs))
    with Cache(folder) as cache, SILENT.stage("") as view:
        making = Making(plan, None, view, clock)

        def count(artifacts: list[Artifact]) -> None:
            nonlocal kept
            making.done(artifacts)
            kept += len(artifacts)

        keeper = SimulatedKeeper(clock, cache, count)
        workers = StandIns(n_workers, clock)
        driver = Driver(workers, cache, making, 600.0, jobs, clock)
        begun_s = clock()
        driver.run(keeper)
        seconds = clock() - begun_s
    assert kept == plan.n_asked
    efficiency = workers.worked_s / n_workers / seconds
    return Result(kept, seconds, efficiency, seconds - clock.waited_s, keeper.worked_s)


def with_ray(jobs: Sequence[Job], n_workers: int, folder: Path, pace: float) -> Result:
    """Have processes of Ray send everything."""
    os.environ |= {PACE_VARIABLE: str(pace), "PYTHONPATH": str(Path(__file__).parent)}
    ray_workers.AtlasWorker = Actor
    cluster = Cluster(devices=("cpu",) * n_workers)
    with Cache(folder) as cache, ray_workers.RayWorkers(cluster, SETUP, None) as workers:
        together = Together(workers)
        cpu_s = time.process_time()
        with ThreadKeeper(folder, lambda artifacts: None) as keeper:
            Driver(together, cache, UNOBSERVED, 600.0, jobs).run(keeper)
        seconds = time.monotonic() - together.ready_s
        cpu_s = time.process_time() - cpu_s
        n_kept = len(cache.keys())
    return Result(n_kept, seconds, pace * work_s(jobs) / n_workers / seconds, cpu_s, 0.0)


def work_s(jobs: Sequence[Job]) -> float:
    """Seconds that one H100 works on all jobs."""
    pieces = [
        piece.cut([CUT if job.steps else None for job in piece.jobs]) for piece in pieces_of(jobs)
    ]
    return sum(each.cost for cut in pieces for each in cut) / MACS_PER_S


def main(folder: str, *numbers: str) -> None:
    """Measure some numbers of workers."""
    jobs, pace = jobs_for_workers(), None
    if numbers[:1] == ("--ray",):
        pace, numbers = float(numbers[1]), numbers[2:]
    for n in map(int, numbers or N_WORKERS):
        shutil.rmtree(folder, ignore_errors=True)
        if pace is None:
            result = simulated(jobs, n, Path(folder))
        else:
            result = with_ray(jobs, n, Path(folder), pace)
        print(f"{n:3} workers: {result}", flush=True)
    print(f"({MACS_PER_S:.2g} MACs/s each)")


if __name__ == "__main__":
    main(*sys.argv[1:])
