"""Recipes of synthesised pictures, and the policy that draws them from receptive fields.

A recipe is complete: together with the weights and the unit it decides every pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from atlas.units import Layer, NetworkFacts

RecipeName = Literal["fourier", "progressive"]
PresetName = Literal["preview", "standard", "fine"]
Aim = Literal["excite", "inhibit"]
FINE_PX = 512  # side of the pictures of the fine preset
MAX_DECAY = 1.4  # of frequencies, where receptive fields are large


@dataclass(frozen=True)
class Stage:
    """Part of a coarse-to-fine ascent: so many steps on a square canvas."""

    size_px: int
    steps: int
    window_px: int = 0  # side of what one step sees of the canvas; 0 is all of it

    @property
    def seen_px(self) -> int:
        """Side of the image that the network is shown at each step."""
        return self.window_px or self.size_px


@dataclass(frozen=True)
class Fourier:
    """Ascent on the Fourier coefficients of a picture in decorrelated colours.

    Source: Olah et al. 2017, https://distill.pub/2017/feature-visualization/
    """

    name: ClassVar[str] = "fourier"
    version: ClassVar[int] = 4

    stages: tuple[Stage, ...]
    margin_px: int  # cut from each side of the canvas, where receptive fields meet the padding
    objective: Literal["mean", "power", "centre", "layer"]
    aim: Aim = "excite"
    decay: float = 1.0  # coefficients are scaled by 1 / frequency ** decay
    lr: float = 0.1
    init_std: float = 0.05
    rotation_deg: float = 8.0  # jitter per step is uniform in +- these
    zoom: float = 0.08
    shift: float = 0.08  # as a share of the canvas
    roughness: float = 0.0  # what each unit of it costs the score: total variation, squared
    seed: int = 0

    @property
    def canvas_px(self) -> int:
        """Side of the largest canvas."""
        return self.stages[-1].size_px

    @property
    def picture_px(self) -> int:
        """Side of the finished picture; of a `centre` one it is the receptive field's."""
        return self.canvas_px - 2 * self.margin_px

    @property
    def n_steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    @property
    def passes(self) -> tuple[tuple[int, int], ...]:
        """Side of the image that the network is shown, and for how many steps, stage by stage."""
        return tuple((stage.seen_px, stage.steps) for stage in self.stages)


@dataclass(frozen=True)
class Progressive:
    """Ascent on pixels at growing sizes, blurred between sizes: the tutorial's recipe.

    Source: Graetz 2019, "How to visualize convolutional features in 40 lines of code"
    """

    name: ClassVar[str] = "progressive"
    version: ClassVar[int] = 1

    n_scales: int
    blur_px: int
    aim: Aim = "excite"
    start_px: int = 56
    growth: float = 1.11
    steps: int = 20
    lr: float = 0.01
    weight_decay: float = 1e-6
    seed: int = 0

    @property
    def sizes_px(self) -> tuple[int, ...]:
        """The canvas at every scale, then the size of the finished picture."""
        sizes = [self.start_px]
        for _ in range(self.n_scales):
            sizes.append(int(sizes[-1] * self.growth))
        return tuple(sizes)

    @property
    def canvas_px(self) -> int:
        """Side of the largest canvas."""
        return self.sizes_px[-2]

    @property
    def picture_px(self) -> int:
        """Side of the finished picture."""
        return self.sizes_px[-1]

    @property
    def passes(self) -> tuple[tuple[int, int], ...]:
        """Side of the image that the network is shown, and for how many steps, scale by scale."""
        return tuple((size_px, self.steps) for size_px in self.sizes_px[:-1])


Recipe = Fourier | Progressive


def full_size_steps(recipe: Recipe, facts: NetworkFacts) -> float:
    """The steps of an ascent, each counted by its pixels over those of the network's own input."""
    return sum(steps * (px / facts.input_size_px) ** 2 for px, steps in recipe.passes)


def unit_recipe(
    name: RecipeName, preset: PresetName, layer: Layer, facts: NetworkFacts, seed: int
) -> Recipe:
    """The recipe for the excitatory pictures of a layer's units."""
    if name == "progressive":
        return _progressive(preset, layer, seed)
    if layer.is_classifier:
        return _class_fourier(preset, layer, facts, seed)
    return _fourier(preset, layer, facts, seed)


def _progressive(preset: PresetName, layer: Layer, seed: int) -> Progressive:
    """The tutorial's settings: 20 scales where the image itself is read, 25 for a class."""
    n_scales = 25 if layer.is_classifier else 20 if layer.index == 0 else 15
    n_scales = {"preview": 3, "standard": n_scales, "fine": max(n_scales, 22)}[preset]
    return Progressive(n_scales=n_scales, blur_px=7 if layer.is_classifier else 5, seed=seed)


def _fourier(preset: PresetName, layer: Layer, facts: NetworkFacts, seed: int) -> Fourier:
    """One rule for every depth: canvas and margin follow from the receptive field.

    Where receptive fields are small, a small canvas holds enough of them, and those that meet the
    padding are left out and cut off. Where they cover the image, the whole image counts.
    """
    field_px = layer.receptive_field_px
    largest_px = full_px(preset, facts)
    margin_px = max(0, min(field_px // 2, (largest_px - field_px) // 4))
    canvas_px = min(largest_px, rounded_up(4 * field_px + 48))
    if preset == "fine":  # the finished picture itself is to be full
        canvas_px = largest_px + 2 * margin_px
    return Fourier(
        stages_for(preset, canvas_px),
        margin_px,
        "power",
        decay=decay_of(layer),
        lr=learning_rate(preset),
        seed=seed,
    )


def _class_fourier(preset: PresetName, layer: Layer, facts: NetworkFacts, seed: int) -> Fourier:
    """Most steps on a small canvas, where a class's object is large; much jitter, little roughness.

    What was tried, and how well another network names the results:
    docs/decisions/0002-class-pictures.md.
    """
    return Fourier(
        _class_stages(preset, facts),
        0,
        "power",
        decay=decay_of(layer),
        lr=learning_rate(preset),
        rotation_deg=12.0,
        zoom=0.16,
        shift=0.12,
        roughness=300.0,
        seed=seed,
    )


def _class_stages(preset: PresetName, facts: NetworkFacts) -> tuple[Stage, ...]:
    if preset == "preview":
        return stages_for(preset, full_px(preset, facts))
    input_px = facts.input_size_px
    stages = (
        Stage(rounded_up(input_px * 3 / 7), 192),
        Stage(rounded_up(input_px * 9 / 14), 80, window_px=rounded_up(input_px * 4 / 7)),
        Stage(input_px, 32, window_px=rounded_up(input_px * 5 / 7)),
    )
    finest = Stage(FINE_PX, 32, window_px=rounded_up(FINE_PX * 5 / 7))
    return (*stages, finest) if preset == "fine" else stages


def full_px(preset: PresetName, facts: NetworkFacts) -> int:
    """Side of the largest canvas of a preset."""
    return {
        "preview": round(2 / 7 * facts.input_size_px),
        "standard": facts.input_size_px,
        "fine": FINE_PX,
    }[preset]


def decay_of(layer: Layer) -> float:
    """How fast frequencies are to fall off: small receptive fields see only high ones."""
    return min(MAX_DECAY, 0.5 + layer.receptive_field_px / 160)


def learning_rate(preset: PresetName) -> float:
    """Of an ascent: fewer steps are larger."""
    return 0.25 if preset == "preview" else 0.1


def stages_for(preset: PresetName, canvas_px: int) -> tuple[Stage, ...]:
    """Coarse to fine: coarse steps are cheap, and lead to larger objects."""
    if preset == "preview":
        return (Stage(canvas_px, 12),)
    coarse_px = rounded_up(canvas_px * 4 / 7)
    stages = (Stage(coarse_px, 48), Stage(canvas_px, 32))
    if preset == "fine":
        return (Stage(rounded_up(coarse_px * 4 / 7), 96), *stages)
    return stages


def rounded_up(size_px: float, step_px: int = 16) -> int:
    """The next multiple of `step_px`."""
    return math.ceil(size_px / step_px) * step_px
