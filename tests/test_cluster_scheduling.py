"""Who makes what, in simulated time: all is made once and evenly, and a failure costs little."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stand_ins import CUT, MACS_PER_S, resnet50_facts

from atlas.asked import AtlasSpec
from atlas.cluster.scheduling import PORTION_S, Piece, Portion, Schedule, pieces_of
from atlas.pass_parts import PartSpec, SharedPass
from atlas.plan import Job, make_plan
from atlas.units import NetworkFacts


@pytest.fixture(scope="module")
def resnet50() -> NetworkFacts:
    return resnet50_facts()


@dataclass
class Simulation:
    """Workers whose time passes at once; each makes its portion at its own speed.

    `breaks` says whether a worker fails at a job; it has made all before by then.
    """

    schedule: Schedule
    speeds: dict[str, float]  # MACs per second, by worker
    breaks: Callable[[str, Job], bool] = lambda _worker, _job: False
    dies: Callable[[str, float], bool] = lambda _worker, _now: False
    now_s: float = 0.0
    made: list[str] = field(default_factory=list)  # keys
    given: list[tuple[str, Portion]] = field(default_factory=list)
    names: itertools.count = field(default_factory=itertools.count)

    def run(self) -> float:
        """Let them work; returns how long that took."""
        ends: list[tuple[float, str]] = []
        for name in self.speeds:
            self.schedule.joined(name)
        while not self.schedule.is_done:
            for shared in self.schedule.complete_passes():
                self.made += shared.keys
                self.schedule.pass_joined(shared)
            for name in self.schedule.idle():
                if portion := self.schedule.next_for(name, self.now_s):
                    self.given.append((name, portion))
                    seconds = 0 if portion.is_survey else portion.cost / self.speeds[name]
                    heapq.heappush(ends, (self.now_s + seconds, name))
            if self.schedule.is_done:
                break
            assert ends, "there is work, and nobody does any"
            self.now_s, name = heapq.heappop(ends)
            self.end(name)
        return self.now_s

    def end(self, name: str) -> None:
        """A worker has come to the end of its portion."""
        portion = self.schedule.portion_of(name)
        assert portion
        if self.dies(name, self.now_s):
            self.schedule.lost(name, "it died")
            again = f"again {next(self.names)}"
            self.speeds[again] = self.speeds[name]
            self.schedule.joined(again)
        elif portion.is_survey:
            self.schedule.surveyed(name, [CUT if job.steps else None for job in portion.jobs])
        else:
            for job in portion.jobs:
                if self.breaks(name, job):
                    self.schedule.failed(name, "poison")
                    return
                self.made += job.keys
                self.schedule.made(name, job.keys)
            self.schedule.finished(name, self.now_s)


def jobs_of(facts: NetworkFacts, **asked) -> list[Job]:
    jobs = make_plan(AtlasSpec(**asked), facts, ()).asked
    return [
        job for job in jobs if job.kind.name not in ("similar", "map")
    ]  # which the driver makes


def simulate(
    jobs: list[Job], n_workers: int, passes: Sequence[SharedPass] = (), **more
) -> Simulation:
    speeds = {f"worker {nth}": MACS_PER_S for nth in range(n_workers)}
    simulation = Simulation(Schedule(pieces_of(jobs, passes), passes), speeds, **more)
    simulation.run()
    return simulation


@pytest.mark.parametrize(("n_workers", "least"), [(1, 0.999), (2, 0.99), (8, 0.98), (64, 0.94)])
def test_workers_share_the_whole_of_resnet_50_evenly(resnet50: NetworkFacts, n_workers, least):
    jobs = jobs_of(resnet50)
    simulation = simulate(jobs, n_workers)
    assert Counter(simulation.made) == Counter(key for job in jobs for key in job.keys)
    worked_s = sum(
        portion.cost / MACS_PER_S for _, portion in simulation.given if not portion.is_survey
    )
    assert worked_s / n_workers / simulation.now_s >= least


def test_portions_are_coarse_and_of_one_layer_while_there_is_much_to_do(resnet50: NetworkFacts):
    simulation = simulate(jobs_of(resnet50), 4)
    portions = [portion for _, portion in simulation.given if not portion.is_survey]
    seconds = [portion.cost / MACS_PER_S for portion in portions]
    assert max(seconds) < 1.1 * PORTION_S
    assert len(portions) < 120  # of 500 batches
    assert all(len({piece.home for piece in portion.pieces}) == 1 for portion in portions)
    shared = {(name, portion.pieces[0].home) for name, portion in simulation.given}
    assert len(shared) < 100  # of 54 layers on 4 workers, and the passes over all


def test_a_slow_worker_is_given_less(resnet50: NetworkFacts):
    schedule = Schedule(pieces_of(jobs_of(resnet50)))
    simulation = Simulation(schedule, {"slow": MACS_PER_S / 10, "fast": MACS_PER_S})
    seconds = simulation.run()
    done = Counter()
    for name, portion in simulation.given:
        done[name] += portion.cost
    assert done["fast"] / done["slow"] > 5
    assert sum(done.values()) / (1.1 * MACS_PER_S) / seconds > 0.85


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_whatever_dies_everything_is_made_once(resnet50_small: list[Job], seed: int):
    rng = random.Random(seed)
    simulation = simulate(
        resnet50_small, rng.randint(1, 9), dies=lambda _worker, _now: rng.random() < 0.1
    )
    expected = Counter(key for job in resnet50_small for key in job.keys)
    lost = {failure.key for failure in simulation.schedule.failures}
    assert Counter(simulation.made) + Counter(lost) == expected


@pytest.fixture(scope="module")
def resnet50_small(resnet50: NetworkFacts) -> list[Job]:
    return jobs_of(resnet50, preset="preview", kinds=("noise", "tuning", "excitatory"))[::6]


@pytest.mark.parametrize("n_workers", [1, 3])
def test_a_unit_that_fails_everywhere_is_found_and_the_others_are_made(
    resnet50: NetworkFacts, n_workers: int
):
    jobs = jobs_of(resnet50, preset="preview", kinds=("excitatory",))
    poison = {job.keys[nth] for job, nth in ((jobs[3], 7), (jobs[-1], 500), (jobs[-1], 501))}
    simulation = simulate(jobs, n_workers, breaks=lambda _worker, job: bool(poison & set(job.keys)))
    failures = simulation.schedule.failures
    assert {failure.key for failure in failures} == poison
    assert {failure.reason for failure in failures} == {"poison"}
    assert f"excitatory of {jobs[3].units[7].id}: poison" in map(str, failures)
    made = Counter(simulation.made)
    assert made == Counter(key for job in jobs for key in job.keys if key not in poison)
    n_attempts = sum(any(job.layer == jobs[3].layer for job in p.jobs) for _, p in simulation.given)
    assert n_attempts < 30


def test_a_portion_goes_to_another_worker_if_there_is_one(resnet50: NetworkFacts):
    bad = "worker 0"
    simulation = simulate(
        jobs_of(resnet50, preset="preview", kinds=("excitatory",)),
        2,
        breaks=lambda worker, _job: worker == bad,
    )
    assert not simulation.schedule.failures
    failed = [portion for name, portion in simulation.given if portion.failed_on]
    assert failed and all(portion.failed_on == (bad,) for portion in failed)


def test_what_is_made_from_others_waits_for_them_and_fails_with_them(resnet50: NetworkFacts):
    jobs = [
        job
        for job in jobs_of(resnet50, images_sha256="some", n_images=9)
        if job.kind.name in ("natural", "examples")
    ]
    whole = simulate(jobs, 3)
    order = [job.kind.name for _, portion in whole.given for job in portion.jobs]
    assert order == ["natural"] * 54 + ["examples"] * (len(order) - 54)
    layer = jobs[0].layer
    broken = simulate(
        jobs, 3, breaks=lambda _, job: job.kind.name == "natural" and job.layer == layer
    )
    kinds = Counter(failure.kind for failure in broken.schedule.failures)
    assert kinds["natural"] == 1
    assert kinds["examples"] == sum(
        len(job.units) for job in jobs if job.kind.name == "examples" and job.layer == layer
    )
    assert not broken.schedule.left


N_PHOTOGRAPHS = 50_000


@pytest.fixture(scope="module")
def with_photographs(resnet50: NetworkFacts) -> tuple[list[Job], SharedPass]:
    """All jobs, and the pass over photographs that is among them."""
    jobs = jobs_of(resnet50, images_sha256="some", n_images=N_PHOTOGRAPHS)
    of_pass = tuple(job for job in jobs if job.kind.name == "natural")
    return jobs, SharedPass(of_pass, N_PHOTOGRAPHS)


def times_shown(simulation: Simulation) -> Counter[int]:
    """How often each photograph was shown, in parts that were made."""
    made = set(simulation.made)
    specs = {
        job.spec.key: job.spec
        for _, portion in simulation.given
        if portion.is_part
        for job in portion.jobs
        if job.spec.key in made
    }
    return Counter(n for spec in specs.values() for n in range(spec.first, spec.end))


@pytest.mark.parametrize(("n_workers", "least"), [(1, 0.999), (3, 0.99), (64, 0.94)])
def test_workers_share_a_pass_over_photographs_before_all_else(
    with_photographs: tuple[list[Job], SharedPass], n_workers: int, least: float
):
    jobs, shared = with_photographs
    simulation = simulate(jobs, n_workers, [shared])
    assert times_shown(simulation) == Counter(range(N_PHOTOGRAPHS))
    keys = Counter(key for job in jobs for key in job.keys)
    assert Counter(key for key in simulation.made if key in keys) == keys
    portions = [portion for _, portion in simulation.given if not portion.is_survey]
    parts = [portion for portion in portions if portion.is_part]
    assert max(portion.cost for portion in parts) < 1.1 * PORTION_S * MACS_PER_S
    first = [portion.is_part for _, portion in simulation.given]
    assert all(first[: len(parts)])
    worked_s = sum(portion.cost for portion in portions) / MACS_PER_S
    assert worked_s / n_workers / simulation.now_s >= least


def test_a_worker_that_dies_costs_its_part_of_a_pass_only(
    with_photographs: tuple[list[Job], SharedPass],
):
    _, shared = with_photographs
    deaths = iter([False] * 5 + [True])
    simulation = simulate(list(shared.jobs), 3, [shared], dies=lambda *_: next(deaths, False))
    assert times_shown(simulation) == Counter(range(N_PHOTOGRAPHS))
    n_given = Counter(job.spec.key for _, portion in simulation.given for job in portion.jobs)
    assert sorted(n_given.values())[-2:] == [1, 2]
    assert not simulation.schedule.failures


def test_a_layer_that_fails_in_parts_of_a_pass_is_found_and_the_others_are_made(
    with_photographs: tuple[list[Job], SharedPass],
):
    _, shared = with_photographs
    bad = shared.jobs[7]

    def breaks(_worker: str, job: Job) -> bool:
        is_last = isinstance(job.spec, PartSpec) and job.spec.end == N_PHOTOGRAPHS
        return is_last or job.keys == bad.keys

    simulation = simulate(list(shared.jobs), 3, [shared], breaks=breaks)
    assert [failure.key for failure in simulation.schedule.failures] == list(bad.keys)
    assert set(shared.keys) - set(simulation.made) == set(bad.keys)


def test_a_survey_that_fails_leaves_the_job_whole(resnet50: NetworkFacts):
    jobs = jobs_of(resnet50, preset="preview", kinds=("dream",))[:1]
    schedule = Schedule(pieces_of(jobs))
    schedule.joined("one")
    for _ in range(2):
        portion = schedule.next_for("one", 0.0)
        assert portion and portion.is_survey
        schedule.failed("one", "it broke")
    portion = schedule.next_for("one", 0.0)
    assert portion and not portion.is_survey
    assert [job.keys for job in portion.jobs] == [job.keys for job in jobs]


def test_pieces_can_be_halved_until_one_artifact_is_left(resnet50: NetworkFacts):
    waiting: list[Piece] = pieces_of(jobs_of(resnet50, preset="preview")[::40])
    artifacts = sum(len(list(piece.keys)) for piece in waiting)
    singles = []
    while waiting:
        halves = waiting.pop().halves()
        if len(halves) > 1:
            waiting += halves
        else:
            singles += halves
    assert len(singles) == artifacts
    assert all(len(list(piece.keys)) == 1 for piece in singles)
