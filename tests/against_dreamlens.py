#!/usr/bin/env python3
"""How many times as fast as dreamlens: python tests/against_dreamlens.py WEIGHTS LAYER...

WEIGHTS is a file of ResNet-50's. Both sides make pictures of the same sizes with the same numbers
of steps, in turns. Wants dreamlens, which the project does not: install it somewhere else, and
name that place in PYTHONPATH.
"""

from __future__ import annotations

import copy
import sys
from functools import partial

import torch
from dreamlens.render import render_neurons

from atlas.asked import AtlasSpec
from atlas.batching import Batching
from atlas.bench import medians_in_turns, run_ours, stages_of
from atlas.devices import fastest_precision
from atlas.families import find_family
from atlas.heap import keep_freed_memory
from atlas.network.load import load_network
from atlas.network.network import Network
from atlas.recipes import Stage, unit_recipe
from atlas.units import Layer

BATCH = 16  # pictures that dreamlens makes at once
LAYERS = ("layer1.0.conv1", "layer3.0.conv2", "fc")


def run_dreamlens(network: Network, model: torch.nn.Module, layer: Layer, stage: Stage) -> None:
    """Pictures of a layer's first units, none of them tried again."""
    preprocessing = network.facts.preprocessing
    mean, std = (
        torch.tensor(values, device=network.device).view(1, 3, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    render_neurons(
        range(BATCH),
        model,
        layer.name,
        size=stage.size_px,
        n_steps=stage.steps,
        num_attempts=1,
        preprocess=lambda images: (images - mean) / std,
    )


def compare(network: Network, model: torch.nn.Module, layer: Layer) -> tuple[float, float]:
    """Seconds per picture of a layer: ours and theirs, steps alone."""
    recipe = unit_recipe("fourier", "standard", layer, network.facts, seed=0)
    fast = network.tap(layer, fastest_precision(network.device))
    units = layer.units[: Batching(network.device, network.facts).size(fast, layer.units, recipe)]
    ours = partial(run_ours, fast, network.tap(layer, "float32"), units, recipe)
    theirs = partial(run_dreamlens, network, model, layer)
    our_seconds = their_seconds = 0.0
    for stage in stages_of(recipe):
        our_step, _, their_step = medians_in_turns(network.device, stage, ours, theirs)
        our_seconds += stage.steps * our_step / len(units)
        their_seconds += stage.steps * their_step / BATCH
    return our_seconds, their_seconds


def main(weights: str, names: tuple[str, ...]) -> None:
    """Print a line for each layer."""
    keep_freed_memory()
    network = load_network(AtlasSpec(weights=weights), find_family("resnet50"))
    model = copy.deepcopy(network.model).to(memory_format=torch.contiguous_format)
    model.requires_grad_(True)  # as it comes
    for name in names or LAYERS:
        ours, theirs = compare(network, model, network.facts.layer(name))
        print(f"{name:20}{ours:8.3f} s {theirs:8.3f} s {theirs / ours:8.1f} times", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], tuple(sys.argv[2:]))
