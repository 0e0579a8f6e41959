"""What artifacts cost: the work for them in multiply-accumulates (MACs), to say how long it takes.

What takes time without being a MAC counts as the MACs of the same time. The figures were measured
on a processor, on a large and a small network; docs/benchmarks.md says how well they hold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from atlas.recipes import Recipe
from atlas.units import Layer, NetworkFacts

DRAWING_MACS_PER_PX = 9_000.0  # drawing, jittering and measuring, forward and as often backward
STEP_MACS = 2e8  # starting the operations of a step, for a first layer
STEP_MACS_PER_LAYER = 2e7  # and for each layer before
READING_MACS = 600.0  # reading one value of a map, where all layers are read
FLOAT32 = 1.5  # how much longer a MAC takes where nothing is computed in half precision


@dataclass(frozen=True)
class Cost:
    """The work for some artifacts of one layer, in MACs."""

    each: float = 0.0  # for every artifact
    once: float = 0.0  # for all of them together
    for_source: float = 0.0  # for every artifact, per artifact that it is made from

    def __mul__(self, factor: float) -> Cost:
        return Cost(self.each * factor, self.once * factor, self.for_source * factor)

    def of_sources(self, n_sources: int) -> Cost:
        """The work for artifacts that are made from so many others."""
        return Cost(self.each + self.for_source * n_sources, self.once)


NO_COST = Cost()


def ascent_cost(recipe: Recipe, layer: Layer, facts: NetworkFacts, n_photographs: int = 0) -> Cost:
    """The work for ascents on units of a layer: forward and backward through all steps."""
    n_steps = sum(steps for _, steps in recipe.passes)
    n_px = sum(steps * px**2 for px, steps in recipe.passes)
    macs_per_px = layer.macs / facts.input_size_px**2
    return Cost(
        each=2 * n_px * (macs_per_px + DRAWING_MACS_PER_PX),
        once=n_steps * (STEP_MACS + STEP_MACS_PER_LAYER * layer.index),
    )


def shown_cost(n_images: int, size_px: int, layer: Layer, facts: NetworkFacts) -> float:
    """The MACs for showing images of a size to the network in float32, up to a layer."""
    macs_per_px = FLOAT32 * layer.macs / facts.input_size_px**2 + DRAWING_MACS_PER_PX
    return n_images * size_px**2 * macs_per_px


def pass_cost(n_images: int, layer: Layer, facts: NetworkFacts, macs_per_image: float = 0) -> Cost:
    """The work of one pass of images, of the network's own size, that reads several layers.

    Args:
        n_images: images of the pass.
        layer: a layer that it reads; the pass itself goes as far as the deepest of them.
        facts: facts of the network.
        macs_per_image: what else an image costs, such as decoding it.
    """
    n_values = layer.n_units * math.prod(layer.output_px)
    shown = shown_cost(n_images, facts.input_size_px, layer, facts)
    return Cost(each=n_images * n_values * READING_MACS, once=shown + n_images * macs_per_image)
