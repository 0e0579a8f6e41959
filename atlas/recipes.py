"""Recipes of synthesised pictures, and the rules that derive them from receptive fields.

A recipe is complete: together with the weights and the unit it decides every pixel.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from atlas.errors import SpecError
from atlas.units import Layer, NetworkFacts

RecipeName = Literal["fourier", "progressive"]
PresetName = Literal["preview", "standard", "fine"]
Aim = Literal["excite", "inhibit"]
LEAST_PX = 128  # side that no picture is smaller than, unless it is to show pixels
FINE_PX = 512  # side of the pictures of the fine preset
PREVIEW_STEPS, PREVIEW_RATE = 12, 0.25
MAX_DECAY = 1.4  # largest exponent of the decay of frequencies, for large receptive fields
CLASS_DECAY = 1.2  # the same for classes
CLASS_COLOUR_GAIN = 0.1  # more, and pictures for some networks become nearly white or black
CLASS_MOMENTUM = 0.7
# Of the ascents of channels, which are shorter than those of classes.
MOMENTUM, LAST_JITTER = 0.5, 0.3
LEAST_GRADIENT = 0.01  # keeps flat colours free of specks; a larger one lowers responses
FILLED = 4 / 3  # of the canvas: receptive fields so wide see objects that fill it


@dataclass(frozen=True)
class Stage:
    """Part of a coarse-to-fine ascent: a number of steps on a square canvas."""

    size_px: int
    steps: int
    window_px: int = 0  # side of the part of the canvas that one step sees; 0: all of it

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
    version: ClassVar[int] = 8

    stages: tuple[Stage, ...]
    margin_px: int  # cut from each side of the canvas, where receptive fields meet the padding
    objective: Literal["mean", "power", "centre", "layer"]
    aim: Aim = "excite"
    decay: float = 1.0  # coefficients are scaled by 1 / frequency ** decay
    lr: float = 0.1
    mean_colour_gain: float = 0.5  # the mean colour moves so many times lr per step, unsquashed
    momentum: float = 0.9  # share of the earlier gradients' mean that each step keeps
    # Each image's gradient is divided by its root mean square, and coefficients whose gradient is
    # then below this share move less; 0: gradients stay as they are.
    least_gradient: float = 0.0
    init_std: float = 0.05
    rotation_deg: float = 8.0  # jitter per step is uniform in +- this value
    zoom: float = 0.08  # in +- this share
    shift: float = 0.08  # in +- this share of the canvas
    last_jitter: float = 1.0  # share of the jitter that is left at the last step; it falls evenly
    roughness: float = 0.0  # weight of the penalty: mean squared difference of neighbouring pixels
    branch_noise: float = 0.0  # channels of residual branches are scaled at each step by 1 +- this
    branch_gradient: float = 1.0  # factor of the gradients that come through residual branches
    rivals: float = 0.0  # weight of the other classes' log-sum-exp, in the second half of the steps
    seed: int = 0

    @property
    def canvas_px(self) -> int:
        """Side of the largest canvas."""
        return self.stages[-1].size_px

    @property
    def seen_px(self) -> int:
        """Side of the image that is measured; pictures of `centre` are cut to the field."""
        return self.canvas_px - 2 * self.margin_px

    @property
    def enlargement(self) -> int:
        """Pixels of the finished picture, in a row, for each pixel of the image that is measured.

        Small images are enlarged smoothly, but for those of `centre`, which show pixel by pixel
        where in its field a unit looks.
        """
        return 1 if self.objective == "centre" else math.ceil(LEAST_PX / self.seen_px)

    @property
    def picture_px(self) -> int:
        """Side of the finished picture; pictures of `centre` are cut to the receptive field."""
        return self.seen_px * self.enlargement

    @property
    def n_steps(self) -> int:
        """Number of steps in all stages."""
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
    def seen_px(self) -> int:
        """Side of the image that is measured, which is the finished picture."""
        return self.sizes_px[-1]

    @property
    def picture_px(self) -> int:
        """Side of the finished picture."""
        return self.seen_px

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
    """The recipe for the excitatory pictures of a layer's units.

    Raises:
        SpecError: the recipe needs images of other sizes than the layer takes.
    """
    if name == "progressive" and layer.takes_one_size:
        raise SpecError(
            f"the recipe {name} makes pictures grow, but {layer.name} takes images of "
            f"{facts.input_size_px} px only; use --recipe fourier"
        )
    if name == "progressive":
        return _progressive(preset, layer, seed)
    return fourier_recipe(preset, layer, facts, seed)


def fourier_recipe(preset: PresetName, layer: Layer, facts: NetworkFacts, seed: int) -> Fourier:
    """The default recipe for the excitatory pictures of a layer's units."""
    if layer.is_classifier:
        return _class_fourier(preset, layer, facts, seed)
    return _fourier(preset, layer, facts, seed)


def _progressive(preset: PresetName, layer: Layer, seed: int) -> Progressive:
    """The tutorial's settings: 20 scales where the image itself is read, 25 for a class."""
    n_scales = 25 if layer.is_classifier else 20 if layer.index == 0 else 15
    n_scales = {"preview": 3, "standard": n_scales, "fine": max(n_scales, 22)}[preset]
    return Progressive(
        n_scales=n_scales,
        blur_px=7 if layer.is_classifier else 5,
        start_px=max(Progressive.start_px, layer.smallest_px),
        seed=seed,
    )


def _fourier(preset: PresetName, layer: Layer, facts: NetworkFacts, seed: int) -> Fourier:
    """One rule for all layers: canvas and margin follow from the receptive field.

    A small canvas holds enough small receptive fields; those that meet the padding are left out of
    the objective and cut off. If receptive fields cover the image, the whole image counts.
    """
    field_px = layer.receptive_field_px
    largest_px = full_px(preset, facts)
    margin_px = max(0, min(field_px // 2, (largest_px - field_px) // 4))
    canvas_px = min(largest_px, rounded_up(4 * field_px + 48))
    canvas_px = max(canvas_px, layer.smallest_px + 2 * margin_px)
    if preset == "fine":  # so that the finished picture has the full size
        canvas_px = largest_px + 2 * margin_px
    return Fourier(
        fitting_stages(stages_for(preset, canvas_px, layer, facts), layer, facts),
        0 if layer.takes_one_size else margin_px,
        "power",
        decay=decay_of(layer),
        lr=learning_rate(preset, layer),
        momentum=MOMENTUM,
        least_gradient=LEAST_GRADIENT,
        last_jitter=LAST_JITTER,
        seed=seed,
    )


def _class_fourier(preset: PresetName, layer: Layer, facts: NetworkFacts, seed: int) -> Fourier:
    """Most steps are on a small canvas, where objects are large; jitter and smoothing are strong.

    The settings that were compared, and how well another network recognises the results, are in
    docs/decisions/0002-class-pictures.md.
    """
    recipe = Fourier(
        fitting_stages(_class_stages(preset, facts), layer, facts),
        0,
        "power",
        decay=min(CLASS_DECAY, decay_of(layer)),
        lr=PREVIEW_RATE if preset == "preview" else 0.1,
        mean_colour_gain=CLASS_COLOUR_GAIN,
        momentum=0.9 if preset == "preview" else CLASS_MOMENTUM,
        rotation_deg=12.0,
        zoom=0.16,
        shift=0.12,
        roughness=300.0,
        seed=seed,
    )
    if preset == "preview":  # which has no steps to spare
        return recipe
    n_others = layer.n_units - 1
    return dataclasses.replace(
        recipe, branch_noise=0.45, branch_gradient=0.7, rivals=0.3 if n_others else 0.0
    )


def _class_stages(preset: PresetName, facts: NetworkFacts) -> tuple[Stage, ...]:
    if preset == "preview":
        return (Stage(full_px(preset, facts), PREVIEW_STEPS),)
    input_px = facts.input_size_px
    stages = (
        Stage(rounded_up(input_px * 3 / 7), 192),
        Stage(rounded_up(input_px * 9 / 14), 60),
        Stage(input_px, 20, window_px=min(input_px, rounded_up(input_px * 13 / 14))),
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
    """Exponent of the decay: low for small receptive fields, which see only high ones."""
    return min(MAX_DECAY, 0.5 + layer.receptive_field_px / 160)


def has_small_fields(layer: Layer, facts: NetworkFacts) -> bool:
    """Whether a layer's receptive field is at most half as wide as the network's input."""
    return 2 * layer.receptive_field_px <= facts.input_size_px


def learning_rate(preset: PresetName, layer: Layer) -> float:
    """The learning rate of a channel's ascent.

    It is larger for the few steps of a preview, and for small receptive fields, whose units answer
    most to the strongest contrast.
    """
    least = PREVIEW_RATE if preset == "preview" else 0.2
    return max(least, 0.55 * math.pow(layer.receptive_field_px, -0.25))


def stages_for(
    preset: PresetName, canvas_px: int, layer: Layer, facts: NetworkFacts
) -> tuple[Stage, ...]:
    """The stages of an ascent.

    It begins coarsely, which is cheap and leads to larger objects; the wider receptive fields are,
    the more. Where they are small, the canvas has its full size from the start: what a unit finds
    on a smaller one is too large for it once the canvas has grown.
    """
    if preset == "preview":
        return (Stage(canvas_px, PREVIEW_STEPS),)
    if has_small_fields(layer, facts):
        return (Stage(canvas_px, 28 if preset == "fine" else 24),)
    coarse_px = rounded_up(canvas_px * 4 / 7)
    if preset == "fine":
        return (
            Stage(rounded_up(coarse_px * 4 / 7), 48),
            Stage(coarse_px, 24),
            Stage(canvas_px, 16),
        )
    if layer.receptive_field_px >= FILLED * canvas_px:
        return (
            Stage(rounded_up(canvas_px * 3 / 7), 40),
            Stage(rounded_up(canvas_px * 5 / 7), 16),
            Stage(canvas_px, 8),
        )
    return (Stage(coarse_px, 24), Stage(canvas_px, 16))


def fitting_stages(
    stages: tuple[Stage, ...], layer: Layer, facts: NetworkFacts
) -> tuple[Stage, ...]:
    """The same stages at sizes that a layer can be computed for.

    They are as large as the smallest of these, and if it takes the input size only, all steps are
    at that size.
    """
    if not layer.takes_one_size:
        return tuple(_at_least(layer.smallest_px, stage) for stage in stages)
    return (Stage(facts.input_size_px, sum(stage.steps for stage in stages)),)


def _at_least(smallest_px: int, stage: Stage) -> Stage:
    """The stage with images that are not smaller."""
    window_px = max(smallest_px, stage.window_px) if stage.window_px else 0
    return dataclasses.replace(stage, size_px=max(smallest_px, stage.size_px), window_px=window_px)


def rounded_up(size_px: float, step_px: int = 16) -> int:
    """The next multiple of `step_px`."""
    return math.ceil(size_px / step_px) * step_px
