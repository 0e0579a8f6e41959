"""The default recipe: gradient ascent on Fourier coefficients, coarse to fine.

Source: Olah, Mordvintsev, Schubert 2017, https://distill.pub/2017/feature-visualization/
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from atlas.network.residuals import ResidualBranches
from atlas.network.taps import Tap
from atlas.observer import Advance, unobserved
from atlas.pictures.ascent import (
    Ascent,
    backpropagate,
    to_device,
    unit_channels,
    unit_generator,
    with_gradient,
)
from atlas.recipes import Fourier, Stage
from atlas.units import Layer, Unit

# Square root of the covariance of colours in natural images, divided by its largest column norm.
# Columns are decorrelated channels. Source: Olah et al. 2017.
_COLOUR = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
COLOUR_MATRIX = _COLOUR / _COLOUR.norm(dim=0).max()

RESCUE_STEPS = (4, 8, 16)  # steps after which images without a gradient get more contrast
RESCUE_GAIN = 3.0  # factor of the coefficients

# Where a softplus is flat: so far below its threshold, a penalty outweighs all that it rises.
FLAT_BELOW = -10.0

SLOWER = 0.6  # factor of the learning rate for a class whose response fell in the end

ADAM_EPS = 1e-8  # PyTorch's own

FAINT = 1e-30  # mean squared gradient that counts as zero

SQUARES_KEPT = 0.999  # share of the earlier squared gradients' mean that each step keeps


@dataclass(frozen=True)
class Canvas:
    """Converts Fourier coefficients to images of N x N pixels.

    Attributes:
        scale: factor of each coefficient, 1 / frequency ** decay, with a mean square of 1 before
            the mean colour gets a factor of its own: (N, N/2+1, 1).
        colours: matrix from decorrelated channels to RGB, (3, 3).
    """

    scale: Tensor
    colours: Tensor

    @classmethod
    def of(
        cls, size_px: int, decay: float, device: torch.device, mean_colour_gain: float = 0.5
    ) -> Canvas:
        """The canvas of N = `size_px` on a device."""
        rows = torch.fft.fftfreq(size_px, 1 / size_px, device=device)[:, None]
        columns = torch.fft.rfftfreq(size_px, 1 / size_px, device=device)[None, :]
        scale = torch.hypot(rows, columns).clamp(min=1) ** -decay
        scale = scale / scale.square().mean().sqrt()
        # The mean colour depends on one coefficient only, so it would hardly change without this.
        scale[0, 0] = mean_colour_gain * size_px
        return cls(scale[..., None], to_device(COLOUR_MATRIX, device))

    @property
    def size_px(self) -> int:
        """Side N of the images."""
        return self.scale.shape[0]

    def image(self, spectrum: Tensor) -> Tensor:
        """Images in 0..1 from coefficients: (B, 3, N, N/2+1, 2) -> (B, 3, N, N)."""
        scaled = torch.view_as_complex(spectrum * self.scale)
        planes = torch.fft.irfft2(scaled, s=(self.size_px, self.size_px), norm="ortho")
        image: Tensor = (self.colours @ planes.flatten(2)).view_as(planes).sigmoid()
        return image

    def enlarge(self, spectrum: Tensor, larger: Canvas) -> Tensor:
        """The coefficients of the same image on a larger canvas: new frequencies are zero."""
        old_px, new_px = self.size_px, larger.size_px
        if old_px == new_px:
            return spectrum
        scaled = spectrum * self.scale
        padded = scaled.new_zeros(*scaled.shape[:2], new_px, new_px // 2 + 1, 2)
        positive, negative, columns = (old_px + 1) // 2, old_px // 2, scaled.shape[3]
        padded[:, :, :positive, :columns] = scaled[:, :, :positive]
        padded[:, :, -negative:, :columns] = scaled[:, :, -negative:]
        # The orthonormal transform divides by N, so coefficients grow with the canvas.
        return padded / larger.scale * (new_px / old_px)


class Stream(NamedTuple):
    """Where the random numbers of one image come from: its start and its jitter."""

    seed: int
    unit: Unit


class Objective(Protocol):
    """What an ascent climbs."""

    def score(self, images: Tensor, jitter: Tensor, stage: Stage) -> Tensor:
        """The score of each image, which may depend on the others: (B,).

        Args:
            images: as this step sees them, in 0..1, (B, 3, M, M).
            jitter: how they were turned, zoomed and shifted, as in `jittered`, (B, 4).
            stage: gives the canvas that they were cut from.
        """


class OwnResponses:
    """Scores each image by the response of its own unit: the objective of a unit's picture.

    Args:
        tap: a tap on the units' layer.
        streams: give each image's unit, and what varies the network from step to step, B.
        recipe: gives the objective, the aim, the margin, and how much residual branches vary.
    """

    def __init__(self, tap: Tap, streams: Sequence[Stream], recipe: Fourier) -> None:
        self._tap, self._recipe = tap, recipe
        self._channels = unit_channels([stream.unit for stream in streams], tap.device)
        self._noise: BranchNoise | None = None
        if recipe.branch_noise or recipe.branch_gradient != 1:
            self._tap, branches = tap.with_residual_branches(recipe.branch_gradient)
            if branches and branches.n_channels and recipe.branch_noise:
                self._noise = BranchNoise(branches, streams, recipe, tap.device)
        wants_rivals = recipe.rivals and recipe.aim == "excite"
        self._rivals = Rivals(self._tap, self._channels, recipe) if wants_rivals else None
        self.map_size = 0  # side of the map, in positions, at the last step
        self._first: Tensor | None = None  # the responses at step one, (B, h, w)
        self._last: Tensor | None = None  # and at the last step so far
        self._lowered: Tensor | None = None  # how far thresholds are lowered, found at step one

    def score(self, images: Tensor, jitter: Tensor, stage: Stage) -> Tensor:
        """The score of each image, which depends on no other: (B, 3, M, M) -> (B,)."""
        return self.inputs_and_score(images, stage)[1]

    def inputs_and_score(self, images: Tensor, stage: Stage) -> tuple[Tensor, Tensor]:
        """What the layer reads of each image, (B, C, ...), and the image's score, (B,)."""
        tap, channels, recipe = self._tap, self._channels, self._recipe
        if self._noise:
            self._noise.step()
        n_unread = unread_rim(recipe, tap.layer, stage.seen_px)
        inputs, z = _responses(tap, tap.normalise(images), channels, recipe, n_unread)
        self.map_size = z.shape[-1] + 2 * n_unread
        self._last = z.detach()
        if self._lowered is None:
            self._first = self._last
            self._lowered = _lowered(tap, z.detach(), channels, recipe)
        score = objective(tap, z, channels, recipe, self._lowered)
        return inputs, score - self._rivals.penalty(inputs, z) if self._rivals else score

    def fallen(self) -> Tensor:
        """Which units answer less at the last step than at the first, in the mean: (B,)."""
        assert self._first is not None and self._last is not None
        return self._last.flatten(1).mean(1) < self._first.flatten(1).mean(1)


class Rivals:
    """The other classes, which are held down in the second half of an ascent.

    Args:
        tap: a tap on the classifier.
        channels: index of each image's class, (B,).
        recipe: gives the weight and the number of steps.
    """

    def __init__(self, tap: Tap, channels: Tensor, recipe: Fourier) -> None:
        self._tap, self._channels = tap, channels
        self._weight, self._n_steps = recipe.rivals, recipe.n_steps
        self._n_done = 0
        self._first: Tensor | None = None  # each class's response at step one
        self._moves = torch.zeros_like(channels, dtype=torch.bool)  # whether it was ever another

    def penalty(self, inputs: Tensor, z: Tensor) -> Tensor:
        """What the scores of a step are lowered by, (B,): the others' log-sum-exp, weighted.

        Nothing for a class that nothing moves, whose picture would be of the other classes alone.

        Args:
            inputs: what the classifier reads of each image, (B, C, ...).
            z: each class's response to its own image, (B, h, w).
        """
        highest = z.detach().amax((1, 2))
        self._first = highest if self._first is None else self._first
        self._moves |= highest != self._first
        self._n_done += 1
        if 2 * self._n_done <= self._n_steps:
            return torch.zeros_like(highest)
        # Image by image, because the last digits of a product depend on the number of its rows.
        raw = torch.cat([self._tap.outputs(each) for each in inputs.split(1)])  # (B, n_units, h, w)
        logits = self._tap.all_sigmas(raw).mean((2, 3))  # (B, n_units)
        others = logits.scatter(1, self._channels[:, None], -math.inf)
        return torch.where(self._moves, self._weight * others.logsumexp(1), 0.0)


class BranchNoise:
    """Gains of the channels of residual branches, uniform in 1 +- `recipe.branch_noise`.

    Each image has random numbers of its own, which are drawn once; at each step each branch reads
    them from another random place on. So a picture does not depend on its batch, and a GPU does not
    wait for the host at each step.
    """

    def __init__(
        self,
        branches: ResidualBranches,
        streams: Sequence[Stream],
        recipe: Fourier,
        device: torch.device,
    ) -> None:
        n_channels, numbers, places = branches.n_channels, [], []
        shape = recipe.n_steps, len(branches.sizes)
        for stream in streams:
            generator = unit_generator(*stream, "branches")
            numbers.append(torch.rand(n_channels, generator=generator))
            places.append(torch.randint(n_channels, shape, generator=generator))
        self._branches = branches
        self._gains = to_device(1 + recipe.branch_noise * (2 * torch.stack(numbers) - 1), device)
        self._places = iter(to_device(torch.stack(places, dim=1), device))  # (steps, B, branches)
        sizes = torch.tensor(branches.sizes)
        self._branch_of = to_device(torch.arange(len(sizes)).repeat_interleave(sizes), device)
        self._order = torch.arange(n_channels, device=device)

    def step(self) -> None:
        """Scale the channels by new gains."""
        places = next(self._places)[:, self._branch_of]  # (B, n_channels)
        self._branches.scale(self._gains.gather(1, (places + self._order) % len(self._order)))


def ascend(
    tap: Tap, units: Sequence[Unit], recipe: Fourier, on_step: Advance = unobserved
) -> Ascent:
    """Synthesise, for each unit, an image whose response is far from the unit's average.

    A class whose response is lower in the end is tried once more with a lower learning rate: the
    steps can lead to an image without any object, from which no gradient leads back.

    Args:
        tap: a tap on the units' layer.
        units: B units.
        recipe: stages, objective and jitter.
        on_step: told after each step how many pixels the network was shown, in all B images.
    """
    ascent, responses = ascend_once(tap, units, recipe, on_step)
    if tap.layer.is_classifier and recipe.aim == "excite":
        fallen = responses.fallen().nonzero()[:, 0]
        if len(fallen):
            slower = replace(recipe, lr=SLOWER * recipe.lr)
            again, _ = ascend_once(tap, [units[row] for row in fallen.tolist()], slower, unobserved)
            ascent = replace(ascent, final=ascent.final.index_copy(0, fallen, again.final))
    if recipe.objective == "centre":
        return replace(ascent, shown=middle_field(tap.layer, responses.map_size))
    return ascent


def ascend_once(
    tap: Tap, units: Sequence[Unit], recipe: Fourier, on_step: Advance = unobserved
) -> tuple[Ascent, OwnResponses]:
    """Like `ascend`, without the second try, and with the responses that would decide on one."""
    streams = [Stream(recipe.seed, unit) for unit in units]
    responses = OwnResponses(tap, streams, recipe)
    return climb(responses, streams, recipe, tap.device, on_step), responses


def climb(
    objective: Objective,
    streams: Sequence[Stream],
    recipe: Fourier,
    device: torch.device,
    on_step: Advance = unobserved,
) -> Ascent:
    """Synthesise B images with a high score.

    If the gradient of an image is still zero after some steps, because ReLUs on the way to what is
    scored are all inactive, the image's contrast is raised (`RESCUE_STEPS`).

    Args:
        objective: gives the scores.
        streams: where the random numbers of the B images come from.
        recipe: stages, jitter, penalty, and the margin that is cut off at the end.
        device: where the objective wants its images.
        on_step: told after each step how many pixels the network was shown, in all B images.
    """
    spectrum = to_device(_noise(streams, recipe), device)
    jitter = iter(to_device(_jitters(streams, recipe), device))
    moved = torch.zeros(len(streams), dtype=torch.bool, device=device)
    decay, gain = recipe.decay, recipe.mean_colour_gain
    canvas = Canvas.of(recipe.stages[0].size_px, decay, device, gain)
    start = canvas.image(spectrum)
    n_done = 0
    for stage in recipe.stages:
        larger = Canvas.of(stage.size_px, decay, device, gain)
        spectrum = canvas.enlarge(spectrum, larger).requires_grad_(True)
        canvas = larger
        optimiser = torch.optim.Adam(
            [spectrum],
            lr=recipe.lr,
            betas=(recipe.momentum, SQUARES_KEPT),
            eps=recipe.least_gradient or ADAM_EPS,
            fused=True,
        )
        for _ in range(stage.steps):
            canvas_images, row = canvas.image(spectrum), next(jitter)  # (B, 3, N, N), (B, 4)
            images = jittered(canvas_images, row, stage.seen_px)
            score = objective.score(images, row, stage)  # (B,)
            score = with_gradient(score, streams[0].unit.layer)
            if recipe.roughness:
                score = score - recipe.roughness * _roughness(canvas_images)
            optimiser.zero_grad()
            images.retain_grad()  # without that of the roughness, which is never zero
            backpropagate(-score.sum())  # a sum, so no unit's gradient depends on the batch size
            assert images.grad is not None and spectrum.grad is not None
            moved |= images.grad.flatten(1).abs().amax(1) > 0
            if recipe.least_gradient:
                spectrum.grad = F.rms_norm(spectrum.grad, spectrum.shape[1:], eps=FAINT)
            optimiser.step()
            n_done += 1
            if n_done in RESCUE_STEPS and stage is recipe.stages[0]:
                spectrum.data *= torch.where(moved, 1.0, RESCUE_GAIN).view(-1, 1, 1, 1, 1)
            on_step(len(streams) * stage.seen_px**2)
        spectrum = spectrum.detach()
    final = canvas.image(spectrum)
    return Ascent(
        _crop(start, recipe.margin_px),
        _crop(final, recipe.margin_px),
        moved,
        recipe.enlargement,
    )


def unread_rim(recipe: Fourier, layer: Layer, size_px: int) -> int:
    """Rows and columns at each side of a unit's map that the objective ignores.

    With the objective `centre` only the middle of the map counts. Otherwise only positions inside
    the recipe's margin count, whose receptive fields do not reach the padding. The objective
    `layer` uses the whole map. The middle position always counts.

    Args:
        recipe: gives the objective and the margin.
        layer: the unit's layer.
        size_px: side of the image that the network is shown.
    """
    stride_px = layer.total_stride_px
    # As many as strides fit into the image, or fewer where the outermost fields lie inside it.
    n_positions = min(size_px, size_px - 1 - 2 * layer.field_centre_px + stride_px) // stride_px
    around_middle = max(0, int(n_positions - 1) // 2)
    if recipe.objective == "centre":
        return around_middle
    if recipe.objective == "layer":
        return 0
    return min(math.ceil(recipe.margin_px / stride_px), around_middle)


def _responses(
    tap: Tap, images: Tensor, channels: Tensor, recipe: Fourier, n_unread: int
) -> tuple[Tensor, Tensor]:
    """What the layer reads, and each unit's response to its image in sigmas, (B, h, w).

    For `layer` the responses are those of all units, (B, n_units, h, w).
    """
    if recipe.objective == "layer":
        inputs = tap.inputs(images)
        return inputs, tap.all_sigmas(tap.outputs(inputs))
    inputs, maps = tap.inputs_and_own_maps(images, channels, n_unread)
    return inputs, tap.sigmas(maps, channels)


def _lowered(tap: Tap, z: Tensor, channels: Tensor, recipe: Fourier) -> Tensor:
    """How far units' thresholds are lowered, so that their first responses show a way up: (B,).

    They are where a penalty is paid and a response is in the flat part of the softplus, as that of
    a class is whose logit was trained to be far below zero for most images.
    """
    if not recipe.roughness:
        return z.new_zeros(len(z))
    highest = _excess(tap, z, channels, recipe).amax((1, 2))
    return torch.where(highest < FLAT_BELOW, -highest, 0.0)


def objective(
    tap: Tap, z: Tensor, channels: Tensor, recipe: Fourier, lowered: Tensor | None = None
) -> Tensor:
    """The score of each image, from its unit's responses z in sigmas: (B, h, w) -> (B,).

    `mean` is the mean pre-activation. `power` is the root mean square of what exceeds the unit's
    threshold, or its average where that is higher, smoothed; in shallow layers a mean is
    degenerate, since one flat colour maximises it. An inhibitory recipe measures what falls below
    the unit's average instead, because activations below the threshold are all zero. `centre` is
    the response at the middle position. `layer` is the power of all channels together, from
    (B, n_units, h, w). With `lowered`, (B,), the thresholds of `power` are lower by that.
    """
    if recipe.objective == "layer":
        return _power(z + tap.offset[:, None, None])
    if recipe.objective == "power":
        excess = _excess(tap, z, channels, recipe)
        return _power(excess if lowered is None else excess + lowered[:, None, None])
    wanted = -z if recipe.aim == "inhibit" else z
    return tap.middle(wanted) if recipe.objective == "centre" else wanted.mean((1, 2))


def _excess(tap: Tap, z: Tensor, channels: Tensor, recipe: Fourier) -> Tensor:
    """How far responses z exceed the units' thresholds, or fall below their averages: (B, h, w).

    Where the average is higher than the threshold, what exceeds the average counts: such a unit is
    active nearly everywhere, and what drives it most is what drives it further.
    """
    if recipe.aim == "inhibit":
        return -z
    return z + tap.offset[channels, None, None].clamp(max=0)


def _power(z: Tensor) -> Tensor:
    """Root mean square of softplus(z), a smooth ReLU: (B, ...) -> (B,)."""
    power: Tensor = F.softplus(z).square().flatten(1).mean(1)
    return power.sqrt()


def _noise(streams: Sequence[Stream], recipe: Fourier) -> Tensor:
    """Random start coefficients (B, 3, N, N/2+1, 2)."""
    size_px = recipe.stages[0].size_px
    shape = (3, size_px, size_px // 2 + 1, 2)
    coefficients = [
        torch.randn(shape, generator=unit_generator(*stream, "noise 0")) for stream in streams
    ]
    return torch.stack(coefficients) * recipe.init_std


def _jitters(streams: Sequence[Stream], recipe: Fourier) -> Tensor:
    """Random angle in radians, zoom, shifts right and down in half canvases: (steps, B, 4)."""
    limits = torch.tensor(
        [math.radians(recipe.rotation_deg), recipe.zoom, 2 * recipe.shift, 2 * recipe.shift]
    )
    draws = [
        torch.rand(recipe.n_steps, 4, generator=unit_generator(*stream, "jitter"))
        for stream in streams
    ]
    left = torch.linspace(1, recipe.last_jitter, recipe.n_steps)[:, None, None]
    return (torch.stack(draws, dim=1) * 2 - 1) * limits * left


def _roughness(images: Tensor) -> Tensor:
    """Mean squared difference of neighbouring pixels, horizontally plus vertically: (B,)."""
    right, down = images.diff(dim=3), images.diff(dim=2)
    return right.square().mean((1, 2, 3)) + down.square().mean((1, 2, 3))


def jittered(images: Tensor, jitter: Tensor, seen_px: int) -> Tensor:
    """Turn, zoom and shift every image by its own row of `jitter`, and crop the middle.

    Args:
        images: (B, 3, N, N).
        jitter: angle in radians, zoom, and shifts right and down in half canvases, (B, 4).
        seen_px: side M of the crop, at most N.

    Returns:
        (B, 3, M, M).
    """
    angle, zoom, right, down = jitter.unbind(1)
    cos, sin = angle.cos() / (1 + zoom), angle.sin() / (1 + zoom)
    cos, sin, right, down = (each[:, None, None] for each in (cos, sin, right, down))
    size_px = images.shape[-1]
    # Coordinates of the pixels' centres, where -1 and 1 are the edges of the canvas.
    x = (torch.arange(seen_px, device=images.device) * 2 + 1 - seen_px) / size_px
    y = x[:, None]
    grid = torch.stack([cos * x - sin * y + right, sin * x + cos * y + down], dim=-1)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _crop(images: Tensor, margin_px: int) -> Tensor:
    size_px = images.shape[-1]
    return images[:, :, margin_px : size_px - margin_px, margin_px : size_px - margin_px]


def middle_field(layer: Layer, map_size: int) -> slice:
    """Rows, and columns, of the image in the receptive field of a map's middle position.

    Args:
        layer: the layer of the map.
        map_size: side of the map in positions.
    """
    field_px = layer.receptive_field_px
    centre_px = layer.field_centre_px + map_size // 2 * layer.total_stride_px
    first = round(centre_px - (field_px - 1) / 2)
    return slice(first, first + field_px)
