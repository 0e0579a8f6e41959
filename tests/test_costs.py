"""What artifacts cost, and that the steps which report it add up to it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from atlas import renderer as renderer_module
from atlas.asked import AtlasSpec, Selection
from atlas.batch_sizes import FIRST_BATCH_MACS
from atlas.batching import Batching
from atlas.cache import Artifact, Cache
from atlas.costs import Cost, ascent_cost, shown_cost
from atlas.engine import Engine
from atlas.network.network import Network
from atlas.observer import Observer
from atlas.plan import Job, artifact_costs, make_plan
from atlas.recipes import Fourier, Stage


class Heard(Observer):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, str]] = []
        self.costs: list[float] = []

    def begin(self, kind: str, layer: str = "") -> None:
        self.begun.append((kind, layer))

    def advance(self, cost: float, *, is_new: bool = True) -> None:
        self.costs.append(cost)


def jobs_of(network: Network, *kinds: str, layers: tuple[str, ...] = (), **more) -> list[Job]:
    asked = AtlasSpec(preset="preview", selection=Selection(layers=layers), kinds=kinds, **more)
    return [job for job in make_plan(asked, network.facts, ()).missing if job.kind.name in kinds]


def make(network: Network, cache: Cache, jobs: list[Job]) -> tuple[Heard, list[list[Artifact]]]:
    heard, committed = Heard(), []
    with Engine(network, cache, None, heard) as engine:
        engine.run(jobs, committed.append)
    return heard, committed


@pytest.mark.parametrize("kind", ["excitatory", "inhibitory", "field", "dream", "twin", "tuning"])
def test_the_steps_of_a_kind_add_up_to_its_cost(planted: Network, cache: Cache, kind: str):
    jobs = jobs_of(planted, kind, layers=("conv1", "layer1.*"))
    heard, _ = make(planted, cache, jobs)
    assert jobs and len(heard.costs) > len(jobs)
    assert sum(heard.costs) == pytest.approx(sum(artifact_costs(jobs).values()))


def test_the_tutorial_s_steps_add_up_too(planted: Network, cache: Cache):
    jobs = jobs_of(planted, "excitatory", layers=("conv1",), recipe="progressive")
    heard, _ = make(planted, cache, jobs)
    assert len(heard.costs) == 60  # three scales of twenty steps
    assert sum(heard.costs) == pytest.approx(sum(artifact_costs(jobs).values()))


def test_it_is_told_which_layer_of_which_kind_is_worked_on(planted: Network, cache: Cache):
    jobs = jobs_of(planted, "filter", "excitatory", layers=("conv1", "fc"))
    heard, _ = make(planted, cache, jobs)
    assert heard.begun == [
        ("filter", ""),
        ("excitatory", ""),
        ("excitatory", "conv1"),
        ("excitatory", "fc"),
    ]


def test_a_batch_that_does_not_fit_takes_its_steps_back(
    planted: Network, cache: Cache, monkeypatch
):
    ascend = renderer_module.ascend

    def ascend_few(tap, units, recipe, on_step):
        if len(units) > 2:
            on_step(5 * recipe.canvas_px**2)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return ascend(tap, units, recipe, on_step)

    monkeypatch.setattr(renderer_module, "ascend", ascend_few)
    jobs = jobs_of(planted, "excitatory", layers=("conv1",))
    heard, committed = make(planted, cache, jobs)
    assert min(heard.costs) < 0
    assert sum(heard.costs) == pytest.approx(sum(artifact_costs(jobs).values()))
    assert sum(len(batch) for batch in committed) == len(jobs[0].units)


def test_the_first_batch_of_a_dear_layer_is_small_and_kept_before_the_next_begins(
    planted: Network, cache: Cache
):
    (job,) = jobs_of(planted, "excitatory", layers=("conv1",))
    assert len(job.units) > 2
    (batch,) = make(planted, cache, [job])[1]
    assert len(batch) == len(job.units)  # cheap ones stay together

    dear = dataclasses.replace(job, cost=Cost(each=FIRST_BATCH_MACS / 1.5))
    events: list[str] = []

    class Told(Observer):
        def advance(self, cost: float, *, is_new: bool = True) -> None:
            events.append("step")

    with Engine(planted, cache, None, Told()) as engine:
        engine.run([dear], lambda made: events.append(f"{len(made)} kept"))
    n_steps = dear.spec.n_steps
    rest = f"{len(job.units) - 1} kept"
    assert events == ["step"] * n_steps + ["1 kept"] + ["step"] * n_steps + [rest]


def test_a_gpu_has_no_small_batches(planted: Network):
    dear = 10 * FIRST_BATCH_MACS
    assert Batching(torch.device("cpu"), planted.facts).first_size(dear) == 1
    assert Batching(torch.device("cuda"), planted.facts).first_size(dear) > 100


def test_an_ascent_costs_what_its_pixels_and_its_network_cost(planted: Network):
    facts, layer = planted.facts, planted.facts.layers[-1]
    recipe = Fourier((Stage(32, 10),), margin_px=0, objective="mean")
    once = ascent_cost(recipe, layer, facts)
    longer = dataclasses.replace(recipe, stages=(Stage(32, 20),))
    larger = dataclasses.replace(recipe, stages=(Stage(64, 10),))
    assert ascent_cost(longer, layer, facts) == once * 2
    assert ascent_cost(larger, layer, facts) == Cost(4 * once.each, once.once)
    heavy = dataclasses.replace(layer, macs=layer.macs + 10**9)
    more = ascent_cost(recipe, heavy, facts).each - once.each
    assert more == pytest.approx(2 * 10 * 1e9 * (32 / facts.input_size_px) ** 2)
    assert shown_cost(6, 32, layer, facts) == pytest.approx(6 * shown_cost(1, 32, layer, facts))


def test_one_pass_over_photographs_costs_as_much_for_all_layers_as_for_the_deepest(
    planted: Network, tmp_path: Path
):
    layers = planted.facts.layers
    asked = AtlasSpec(kinds=("natural",), images_sha256="some", n_images=7)
    jobs = make_plan(asked, planted.facts, ()).missing
    costs = artifact_costs(jobs)
    assert len(costs) == len(layers)
    read = sum(job.cost.each for job in jobs)
    assert sum(costs.values()) == pytest.approx(max(job.cost.once for job in jobs) + read)
    twice = make_plan(dataclasses.replace(asked, n_images=14), planted.facts, ()).missing
    assert sum(artifact_costs(twice).values()) == pytest.approx(2 * sum(costs.values()))
    assert [job.keys for job in twice] == [job.keys for job in jobs]
