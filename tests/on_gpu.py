#!/usr/bin/env python3
"""What a GPU does with the whole atlas: python tests/on_gpu.py WEIGHTS FOLDER [BUILD OPTIONS].

Runs the tests that want a GPU; compares a step as it is with the same step as a CUDA graph and
compiled; then builds the atlas from nothing in FOLDER, filters and excitatory pictures unless the
options say otherwise, and says how much of that time the GPU was busy. Wants nvidia-smi.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from atlas.asked import AtlasSpec
from atlas.batching import Batching
from atlas.devices import find_device, wait
from atlas.families import find_family
from atlas.network.load import load_network
from atlas.network.taps import Tap
from atlas.pictures.ascent import unit_channels
from atlas.pictures.fourier import objective, unread_rim
from atlas.recipes import Fourier, unit_recipe

ROOT = Path(__file__).parents[1]
LAYERS = ("conv1", "layer1.1.conv2", "layer2.1.conv2", "layer3.1.conv2", "layer4.1.conv2", "fc")
N_STEPS = 10
SAMPLE_SECONDS = 0.2

Step = Callable[[], object]


def compare_steps(weights: str) -> None:
    """Print a line for each layer: a batch's step, and the same in other ways, in milliseconds."""
    asked, family = AtlasSpec(weights=weights), find_family("resnet50")
    network = load_network(asked, family, device=find_device("auto"))
    for name in LAYERS:
        layer = network.facts.layer(name)
        recipe = unit_recipe("fourier", "standard", layer, network.facts, seed=0)
        assert isinstance(recipe, Fourier)
        tap = network.tap(layer, "bfloat16")
        batch = min(
            Batching(network.device, network.facts).size(tap, layer.units, recipe), layer.n_units
        )
        eager = network_step(tap, recipe, batch)
        as_it_is = milliseconds(eager, network.device)
        graphed = milliseconds(captured(eager), network.device)
        compiled = network_step(tap, recipe, batch, torch.compile)
        begun = time.perf_counter()
        compiled()
        wait(network.device)
        compiling = time.perf_counter() - begun
        print(
            f"{name:16} batch {batch:4}: {as_it_is:7.1f} ms, as a graph {graphed:7.1f} ms, "
            f"compiled {milliseconds(compiled, network.device):7.1f} ms after {compiling:.0f} s",
            flush=True,
        )


def network_step(
    tap: Tap, recipe: Fourier, batch: int, way: Callable[[Any], Any] = lambda maps: maps
) -> Step:
    """The part of a step that is the network's, from images to their gradient, in some way."""
    size_px = recipe.stages[-1].seen_px
    images = torch.rand(batch, 3, size_px, size_px, device=tap.device, requires_grad=True)
    channels = unit_channels(tap.layer.units[:batch], tap.device)
    n_unread = unread_rim(recipe, tap.layer, size_px)
    own_maps = way(tap.own_maps)

    def step() -> object:
        z = tap.sigmas(own_maps(tap.normalise(images), channels, n_unread), channels)
        return torch.autograd.grad(objective(tap, z, channels, recipe).sum(), images)

    return step


def captured(step: Step) -> Step:
    """A step as a CUDA graph: all of its kernels are asked for at once."""
    torch.cuda.empty_cache()  # streams and graphs do not share the memory that is kept for reuse
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # as the documentation of CUDA graphs asks
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def milliseconds(step: Step, device: torch.device) -> float:
    """The median of several steps."""
    times = []
    for _ in range(N_STEPS):
        wait(device)
        begun = time.perf_counter()
        step()
        wait(device)
        times.append(time.perf_counter() - begun)
    return 1000 * statistics.median(times)


def build(weights: str, folder: Path, options: list[str]) -> None:
    """Build from nothing, and print what the build says and how busy the GPU was meanwhile."""
    new = Path(tempfile.mkdtemp(dir=folder))
    command = [sys.executable, str(ROOT / "build.py"), f"--weights={weights}", *options]
    begun, busy = time.perf_counter(), []
    with subprocess.Popen([*command, f"--cache={new / 'cache'}", f"--out={new / 'site'}"]) as work:
        while work.poll() is None:
            busy.append(utilisation_percent())
            time.sleep(SAMPLE_SECONDS)
    seconds = time.perf_counter() - begun
    print(f"{seconds:.1f} s from start to last file, GPU busy {statistics.mean(busy):.0f} % of it")
    print(f"exit code {work.returncode}")


def utilisation_percent() -> float:
    """How much of the last moments the GPU was doing something."""
    query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    said = subprocess.run(query, check=True, capture_output=True, text=True).stdout
    return float(said.splitlines()[0])


def main(weights: str, folder: str, *options: str) -> None:
    """Check, compare, build."""
    tests = [sys.executable, "-m", "pytest", "-q", "tests/test_gpu.py"]
    subprocess.run(tests, cwd=ROOT, check=False)
    compare_steps(weights)
    build(weights, Path(folder), list(options) or ["--kinds=filter,excitatory"])


if __name__ == "__main__":
    main(*sys.argv[1:])
