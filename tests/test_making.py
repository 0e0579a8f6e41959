"""How far a build is, and the time left: from the costs of what was done lately."""

from __future__ import annotations

import dataclasses

import pytest

from atlas.asked import AtlasSpec
from atlas.cache import Artifact
from atlas.costs import Cost
from atlas.making import FIRST_ESTIMATE_S, Making, Speed
from atlas.network.network import Network
from atlas.plan import Job, Plan, artifact_costs, make_plan


class Shown:
    """Remembers what was shown last and what was told."""

    def __init__(self) -> None:
        self.name, self.share, self.words = "", 0.0, ""
        self.told: list[str] = []

    def show(self, name: str, share: float, words: str) -> None:
        self.name, self.share, self.words = name, share, words

    def tell(self, line: str) -> None:
        self.told.append(line)


class Run:
    """A build on a machine whose time passes by hand."""

    def __init__(self, jobs: list[Job], earlier_speed: float | None = None) -> None:
        self.now_s, self.view = 0.0, Shown()
        plan = Plan((), tuple(jobs))
        self.making = Making(plan, earlier_speed, self.view, lambda: self.now_s)

    def work(self, job: Job, seconds_per_mac: float, n_steps: int = 10) -> None:
        """All units of a job in one batch of equal steps."""
        self.making.begin(job.kind.name, job.layer.name)
        cost = sum(artifact_costs([job]).values())
        for _ in range(n_steps):
            self.now_s += seconds_per_mac * cost / n_steps
            self.making.advance(cost / n_steps)
        self.making.done(made(job))


def made(job: Job, n: int | None = None) -> list[Artifact]:
    return [Artifact(key, "", job.kind.name, 1, 1, "{}", 0.0, b"") for key in job.keys[:n]]


@pytest.fixture
def jobs(planted: Network) -> list[Job]:
    """Excitatory pictures of three layers, whose units cost 1, 100 and 3 MACs."""
    asked = AtlasSpec(preset="preview", kinds=("excitatory",))
    planned = make_plan(asked, planted.facts, ()).missing[:3]
    costs = (Cost(each=1.0), Cost(each=100.0), Cost(each=3.0))
    return [dataclasses.replace(job, cost=cost) for job, cost in zip(planned, costs, strict=True)]


def test_it_advances_with_every_step_before_any_picture_is_there(jobs: list[Job]):
    run, job = Run(jobs), jobs[1]
    total = sum(artifact_costs(jobs).values())
    run.making.begin(job.kind.name, job.layer.name)
    assert run.view.name == f"excitatory {job.layer.name}"
    for n_done in range(1, 5):
        run.now_s += 2.0
        run.making.advance(10.0)
        assert run.view.share == pytest.approx(10.0 * n_done / total)
    assert run.view.words.startswith(f"0 of {len(artifact_costs(jobs))}")


def test_the_time_left_holds_for_layers_that_cost_a_hundredfold(jobs: list[Job]):
    run = Run(jobs)
    run.work(jobs[0], seconds_per_mac=2.0)
    left = 2.0 * sum(artifact_costs(jobs[1:]).values())
    assert run.making.seconds_left == pytest.approx(left)
    for job in jobs[1:]:
        run.work(job, seconds_per_mac=2.0)
    assert run.making.seconds_left == 0.0 and run.view.share == 1.0


def test_what_ran_lately_counts_most(jobs: list[Job]):
    run = Run(jobs)
    run.work(jobs[0], seconds_per_mac=0.2)
    run.work(jobs[1], seconds_per_mac=2.0, n_steps=100)
    left = 2.0 * sum(artifact_costs(jobs[2:]).values())
    assert run.making.seconds_left == pytest.approx(left, rel=0.05)


def test_what_steps_report_is_provisional(jobs: list[Job]):
    """Wrong reports, such as of a worker that failed, are forgotten with the next commit."""
    run = Run(jobs)
    run.making.advance(10 * sum(artifact_costs(jobs).values()))
    assert run.making.share == 1.0
    run = Run(jobs)
    run.now_s = 10.0
    run.making.advance(1.5)
    run.making.advance(-1.5)  # lost
    assert run.making.share == 0.0
    run.making.done(made(jobs[0]))
    total = sum(artifact_costs(jobs).values())
    assert run.making.share == pytest.approx(len(jobs[0].keys) / total)


def test_work_of_an_earlier_run_does_not_show_the_speed(jobs: list[Job]):
    run = Run(jobs)
    run.now_s = 1.0
    run.making.advance(100.0, is_new=False)
    for _ in range(10):
        run.now_s += 3.0
        run.making.advance(1.0)
    left = sum(artifact_costs(jobs).values()) - 110.0
    assert run.making.seconds_left == pytest.approx(3.0 * left)


@pytest.mark.parametrize("seconds_before", [0, 1000])
def test_what_has_no_cost_says_nothing_about_the_time_left(jobs: list[Job], seconds_before: int):
    free = dataclasses.replace(jobs[0], cost=Cost())
    run = Run([free, *jobs[1:]])
    run.now_s += seconds_before
    run.making.done(made(free))
    assert run.making.seconds_left is None
    run.work(jobs[1], seconds_per_mac=0.5)
    left = 0.5 * sum(artifact_costs(jobs[2:]).values())
    assert run.making.seconds_left == pytest.approx(left)


def test_until_something_was_made_the_speed_of_an_earlier_build_counts(jobs: list[Job]):
    assert Run(jobs).making.seconds_left is None
    total = sum(artifact_costs(jobs).values())
    assert Run(jobs, total / 60).making.seconds_left == pytest.approx(60)


def test_no_speed_is_known_from_the_first_slow_moments():
    speed = Speed(None)
    speed.add(1.0, FIRST_ESTIMATE_S / 2)
    assert speed.macs_per_s is None
    speed.add(1.0, FIRST_ESTIMATE_S / 2)
    assert speed.macs_per_s == pytest.approx(2 / FIRST_ESTIMATE_S, rel=0.1)


def test_it_is_told_when_the_last_of_a_kind_is_there(jobs: list[Job]):
    run = Run(jobs)
    for job in jobs:
        assert run.view.told == []
        run.work(job, seconds_per_mac=1.0)
    (line,) = run.view.told
    assert line.startswith(f"excitatory done, {len(artifact_costs(jobs))}; ")


def test_the_rate_is_that_of_the_layer_at_hand(jobs: list[Job]):
    run = Run(jobs)
    run.work(jobs[0], seconds_per_mac=2.0)
    run.making.begin("excitatory", jobs[1].layer.name)
    assert ", 0.005 pictures/s, " in run.view.words  # 100 MACs each, half a MAC per second
