"""Benchmark of this machine: the atlas's recipe against the plain loop, in one run.

On a busy machine, ratios of times measured next to each other vary less than the times themselves.
So the two sides take turns, and every figure is a median.
"""

from __future__ import annotations

import copy
import dataclasses
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from atlas.asked import AtlasSpec
from atlas.batching import Batching
from atlas.devices import describe_device, fastest_precision, wait
from atlas.heap import keep_freed_memory
from atlas.kinds import KINDS
from atlas.kinds.excitatory import KIND as EXCITATORY
from atlas.kinds.excitatory import ExcitatoryRecord
from atlas.kinds.inhibitory import KIND as INHIBITORY
from atlas.network.network import Network, Precision
from atlas.network.taps import Tap
from atlas.pictures import progressive
from atlas.pictures.finished import finish
from atlas.pictures.fourier import ascend_once
from atlas.pictures.reference import render_one
from atlas.plan import Job, jobs_of
from atlas.progress import Progress, counted, interval, progress_on
from atlas.recipes import Fourier, Progressive, Recipe, Stage, full_size_steps
from atlas.selection import select_units
from atlas.units import Layer, NetworkFacts, Unit

N_ROUNDS = 3  # whose median is reported
N_STEPS = 2  # steps that are timed, in addition to the first
PEAK_SIZE = {"cpu": 2048, "cuda": 8192}  # of the matrices whose product gives the peak
SYNTHESISED = tuple(kind for kind in KINDS if kind.steps)
PREDICTED = {
    "excitatory": (EXCITATORY,),
    "both signs": (EXCITATORY, INHIBITORY),
    "all that is synthesised": SYNTHESISED,
}

Run = Callable[[Stage], None]


@dataclass(frozen=True)
class Depth:
    """The figures of one layer; seconds are for one unit's whole picture."""

    layer: str
    picture_px: int  # of the image that the network is shown
    n_steps: int
    batch: int
    seconds: float
    reference_seconds: float  # of the plain loop, at the same sizes and steps
    flop_per_s: float  # counted as if all of every map were computed
    share_of_peak: float

    @property
    def ratio(self) -> float:
        """How many times as fast as the plain loop."""
        return self.reference_seconds / self.seconds


@dataclass(frozen=True)
class Bench:
    """The results of a benchmark."""

    network: str
    device: str
    precision: Precision
    torch: str
    preset: str
    peak_flop_per_s: float  # of a matrix product
    depths: tuple[Depth, ...]
    predicted_seconds: dict[str, float]  # for the whole network, by the set of kinds that is made

    def to_json(self) -> dict[str, object]:
        """Everything, ratios and units per second included."""
        rows = [
            {
                **dataclasses.asdict(depth),
                "ratio": depth.ratio,
                "units_per_s": 1 / depth.seconds,
                "reference_units_per_s": 1 / depth.reference_seconds,
            }
            for depth in self.depths
        ]
        return {**dataclasses.asdict(self), "depths": rows}


def bench(network: Network, spec: AtlasSpec, progress: Progress | None = None) -> Bench:
    """Measure a machine with some layers of a network.

    Args:
        network: the network, on the device to measure.
        spec: recipe and preset; its layers, or the first one of every stage if it names none.
        progress: shows how far it has got; what suits stderr if left out.

    Raises:
        SpecError: the spec names an unknown layer.
    """
    if network.device.type == "cpu":
        keep_freed_memory()
    precision = network.usable(fastest_precision(network.device))
    peak = _peak_flop_per_s(network.device, precision)
    plain = copy.deepcopy(network.model).to(memory_format=torch.contiguous_format)
    plain.requires_grad_(True)  # as for a loaded model; freezing the weights is one of our savings
    layers = depths_of(network.facts, spec)
    with counted(progress or progress_on(sys.stderr), "bench", "layers") as show:
        rows = []
        for n_done, layer in enumerate(layers):
            show(n_done, len(layers))
            rows.append(_depth(network, plain, spec, layer, precision, peak))
    return Bench(
        network=network.facts.name,
        device=describe_device(network.device),
        precision=precision,
        torch=torch.__version__,
        preset=spec.preset,
        peak_flop_per_s=peak,
        depths=tuple(rows),
        predicted_seconds=predict(spec, network.facts, rows),
    )


def table(result: Bench) -> str:
    """The results as a table of text."""
    head = f"{'':24}{'batch':>6}{'units/s':>10}{'plain loop':>12}{'ratio':>8}{'GFLOP/s':>10}"
    lines = [
        f"{result.network} on {result.device}, torch {result.torch}, {result.preset} pictures",
        f"{result.precision} matrix products: {result.peak_flop_per_s / 1e9:,.0f} GFLOP/s",
        "",
        f"{head}{'of peak':>9}",
    ]
    for row in result.depths:
        speeds = f"{1 / row.seconds:10.3g}{1 / row.reference_seconds:12.3g}{row.ratio:8.1f}"
        flop = f"{_figure(row.flop_per_s / 1e9):>10}{_figure(100 * row.share_of_peak) + '%':>9}"
        lines.append(f"{row.layer:24}{row.batch:6}{speeds}{flop}")
    lines.append("")
    for name, seconds in result.predicted_seconds.items():
        lines.append(f"Whole network, {name}: {interval(seconds)}")
    return "\n".join(lines)


def _figure(number: float) -> str:
    """A number of at least two digits, and no decimals from 10 on: `1,234`, `3.1`, `0.042`."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def depths_of(facts: NetworkFacts, spec: AtlasSpec) -> tuple[Layer, ...]:
    """The layers that are measured: those asked for, else the first of every stage."""
    if spec.selection.layers:
        chosen = {unit.layer for unit in select_units(spec.selection, facts)}
        return tuple(layer for layer in facts.layers if layer.name in chosen)
    firsts: dict[str, Layer] = {}
    for layer in facts.layers:
        firsts.setdefault(layer.stage, layer)
    return tuple(firsts.values())


def predict(spec: AtlasSpec, facts: NetworkFacts, depths: Sequence[Depth]) -> dict[str, float]:
    """Seconds for all units of the network, each layer as fast as the nearest measured one."""
    whole = {layer.name: layer.units for layer in facts.layers}
    jobs = jobs_of(spec, facts, SYNTHESISED, whole, ())
    measured = {facts.layer(depth.layer): depth for depth in depths}
    # Cost per second of each measured layer, from the cost of its excitatory pictures.
    speeds = {
        job.layer: job.unit_cost / measured[job.layer].seconds
        for job in jobs
        if job.kind is EXCITATORY and job.layer in measured
    }
    return {
        name: sum(_seconds(job, speeds) for job in jobs if job.kind in kinds)
        for name, kinds in PREDICTED.items()
    }


def _seconds(job: Job, speeds: dict[Layer, float]) -> float:
    nearest = min(speeds, key=lambda layer: abs(layer.index - job.layer.index))
    return job.unit_cost * len(job.units) / speeds[nearest]


def _depth(
    network: Network,
    plain: nn.Module,
    spec: AtlasSpec,
    layer: Layer,
    precision: Precision,
    peak: float,
) -> Depth:
    recipe: Recipe = EXCITATORY.spec(spec, layer, network.facts)  # type: ignore[assignment]
    fast, exact = network.tap(layer, precision), network.tap(layer, "float32")
    batch = Batching(network.device, network.facts).size(fast, layer.units, recipe)
    units = layer.units[:batch]
    ours = partial(run_ours, fast, exact, units, recipe)
    theirs = partial(_run_plain, plain, units[0])
    seconds = reference_seconds = 0.0
    for stage in stages_of(recipe):
        our_step, our_rest, their_step = medians_in_turns(network.device, stage, ours, theirs)
        seconds += our_step * stage.steps / len(units)
        reference_seconds += their_step * stage.steps
    seconds += our_rest / len(units)  # drawing the noise and measuring the pictures
    flop = (
        4 * layer.macs * full_size_steps(recipe, network.facts)
    )  # multiply, add; forward, backward
    return Depth(
        layer=layer.name,
        picture_px=recipe.seen_px,
        n_steps=sum(stage.steps for stage in stages_of(recipe)),
        batch=len(units),
        seconds=seconds,
        reference_seconds=reference_seconds,
        flop_per_s=flop / seconds,
        share_of_peak=flop / seconds / peak,
    )


def medians_in_turns(
    device: torch.device, stage: Stage, ours: Run, theirs: Run
) -> tuple[float, float, float]:
    """Seconds of our batch's step, of our run without its steps, and of the plain loop's step."""
    for run in (ours, theirs):
        run(dataclasses.replace(stage, steps=1))  # a first run, which is slower
    rounds = []
    for _ in range(N_ROUNDS):
        our_step, our_rest = _step_and_rest(device, stage, ours)
        their_step, _ = _step_and_rest(device, stage, theirs)
        rounds.append((our_step, our_rest, their_step))
    our_step, our_rest, their_step = (
        statistics.median(column) for column in zip(*rounds, strict=True)
    )
    return our_step, max(0.0, our_rest), their_step


def _step_and_rest(device: torch.device, stage: Stage, run: Run) -> tuple[float, float]:
    """Seconds of one step, and of a run without its steps.

    On a busy machine fewer steps may take longer; the whole run then counts as steps.
    """
    times = []
    for n_steps in (1, 1 + N_STEPS):
        wait(device)
        begun = time.perf_counter()
        run(dataclasses.replace(stage, steps=n_steps))
        wait(device)
        times.append(time.perf_counter() - begun)
    step = (times[1] - times[0]) / N_STEPS
    return (step, times[0] - step) if step > 0 else (times[1] / (1 + N_STEPS), 0.0)


def run_ours(fast: Tap, exact: Tap, units: Sequence[Unit], recipe: Recipe, stage: Stage) -> None:
    """Make pictures of some units with only one stage of a recipe.

    Args:
        fast: their layer's tap, for the ascent.
        exact: the layer's tap in float32, for measuring.
        units: the units of one batch.
        recipe: the recipe that the stage belongs to.
        stage: canvas size and number of steps.
    """
    if isinstance(recipe, Fourier):
        # Once: after so few steps the response of many a class is lower than at the first.
        ascent, _ = ascend_once(fast, units, dataclasses.replace(recipe, stages=(stage,)))
    else:
        part = dataclasses.replace(
            recipe, n_scales=1, start_px=stage.size_px, steps=stage.steps, growth=1.0
        )
        ascent = progressive.ascend(fast, units, part)
    finish(ascent, units, exact, ExcitatoryRecord).pictures()


def _run_plain(plain: nn.Module, unit: Unit, stage: Stage) -> None:
    recipe = Progressive(
        n_scales=1, start_px=stage.size_px, growth=1.0, steps=stage.steps, blur_px=5
    )
    render_one(plain, unit, recipe)


def _peak_flop_per_s(device: torch.device, precision: Precision) -> float:
    """The speed of a product of large square matrices, the best of several runs."""
    size = PEAK_SIZE.get(device.type, PEAK_SIZE["cpu"])
    matrix = torch.ones(size, size, dtype=getattr(torch, precision), device=device)
    times = []
    for _ in range(10):
        wait(device)
        begun = time.perf_counter()
        torch.mm(matrix, matrix)
        wait(device)
        times.append(time.perf_counter() - begun)
    return 2.0 * size**3 / min(times)


def stages_of(recipe: Recipe) -> tuple[Stage, ...]:
    """The stages of a recipe, with their canvas size and number of steps."""
    if isinstance(recipe, Fourier):
        return recipe.stages
    return tuple(Stage(size_px, recipe.steps) for size_px in recipe.sizes_px[:-1])
