"""The time left is what the work that counts has taken, over all that is left of it."""

from __future__ import annotations

import time

import pytest
from tqdm import tqdm

from atlas.asked import AtlasSpec
from atlas.cache import Artifact
from atlas.network.network import Network
from atlas.plan import Job, make_plan
from atlas.progress import Progress


def made(job: Job, n: int) -> list[Artifact]:
    return [Artifact(key, "", job.kind.name, 1, 1, "{}", 0.0, b"") for key in job.keys[:n]]


@pytest.mark.parametrize("seconds_before", [0, 1000])
def test_what_costs_nothing_says_nothing_about_the_time_left(
    planted: Network, monkeypatch: pytest.MonkeyPatch, seconds_before: int
):
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    plan = make_plan(AtlasSpec(preset="preview", kinds=("filter", "excitatory")), planted.facts, ())
    drawn, ascended = (
        next(job for job in plan.missing if job.kind.name == kind)
        for kind in ("filter", "excitatory")
    )
    with tqdm(total=plan.n_missing, disable=True) as bar:
        progress = Progress(plan, None, bar)
        clock[0] += seconds_before
        progress.done(made(drawn, 2))
        assert progress.seconds_left is None
        for n_seconds in (10, 30):  # twenty for each
            clock[0] += n_seconds
            progress.done(made(ascended, 1))
    n_left = plan.missing_cost / ascended.unit_cost - 2
    assert progress.seconds_left == pytest.approx(20 * n_left)


def test_until_something_was_made_the_speed_of_an_earlier_build_counts(planted: Network):
    plan = make_plan(AtlasSpec(preset="preview"), planted.facts, ())
    with tqdm(total=plan.n_missing, disable=True) as bar:
        assert Progress(plan, None, bar).seconds_left is None
        assert Progress(plan, plan.missing_cost / 60, bar).seconds_left == pytest.approx(60)
