"""The default recipe: gradient ascent on Fourier coefficients, coarse to fine.

Source: Olah, Mordvintsev, Schubert 2017, https://distill.pub/2017/feature-visualization/
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from atlas.network.taps import Tap
from atlas.pictures.ascent import Ascent, to_device, unit_channels, unit_generator
from atlas.recipes import Fourier
from atlas.units import Layer, Unit

# Square root of the covariance of colours in natural images, columns are decorrelated channels.
# Source: Olah et al. 2017, over the largest column norm.
_COLOUR = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
COLOUR_MATRIX = _COLOUR / _COLOUR.norm(dim=0).max()

RESCUE_STEPS = (4, 8, 16)  # when images that still have no gradient get more contrast
RESCUE_GAIN = 3.0

# Per step and unit of the learning rate, how far the mean colour moves before the sigmoid.
MEAN_COLOUR_GAIN = 0.5


@dataclass(frozen=True)
class Canvas:
    """How coefficients become an image of one size.

    `scale` is 1 / frequency ** decay for an rfft of N x N, of unit power: (N, N/2+1, 1).
    `colours` takes decorrelated channels to RGB: (3, 3).
    """

    scale: Tensor
    colours: Tensor

    @classmethod
    def of(cls, size_px: int, decay: float, device: torch.device) -> Canvas:
        """The canvas of N = `size_px` on a device."""
        rows = torch.fft.fftfreq(size_px, 1 / size_px, device=device)[:, None]
        columns = torch.fft.rfftfreq(size_px, 1 / size_px, device=device)[None, :]
        scale = torch.hypot(rows, columns).clamp(min=1) ** -decay
        scale = scale / scale.square().mean().sqrt()
        # The mean colour is one coefficient against thousands: as it stands, it could not move.
        scale[0, 0] = MEAN_COLOUR_GAIN * size_px
        return cls(scale[..., None], to_device(COLOUR_MATRIX, device))

    @property
    def size_px(self) -> int:
        """N."""
        return self.scale.shape[0]

    def image(self, spectrum: Tensor) -> Tensor:
        """Coefficients (B, 3, N, N/2+1, 2) as an image (B, 3, N, N) in 0..1."""
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
        # The orthonormal transform divides by N.
        return padded / larger.scale * (new_px / old_px)


def ascend(tap: Tap, units: Sequence[Unit], recipe: Fourier) -> Ascent:
    """Synthesise, for each unit, an image that drives it far from its average.

    An image whose gradient is zero, because nothing of it gets through to the unit, is still its
    first noise: a few times, its contrast is raised.

    Args:
        tap: of the units' layer.
        units: B units.
        recipe: stages, objective and jitter.
    """
    device = tap.device
    channels = unit_channels(units, device)
    spectrum = to_device(_noise(units, recipe), device)
    jitter = iter(to_device(_jitters(units, recipe), device))
    moved = torch.zeros(len(units), dtype=torch.bool, device=device)
    canvas = Canvas.of(recipe.stages[0].size_px, recipe.decay, device)
    start = canvas.image(spectrum)
    n_done = 0
    for stage in recipe.stages:
        larger = Canvas.of(stage.size_px, recipe.decay, device)
        spectrum = canvas.enlarge(spectrum, larger).requires_grad_(True)
        canvas = larger
        optimiser = torch.optim.Adam([spectrum], lr=recipe.lr, fused=True)
        n_unread = unread_rim(recipe, tap.layer, stage.seen_px)
        for _ in range(stage.steps):
            whole = canvas.image(spectrum)
            images = tap.normalise(jittered(whole, next(jitter), stage.seen_px))
            z = _answers(tap, images, channels, recipe, n_unread)
            score = objective(tap, z, channels, recipe)  # (B,)
            if recipe.roughness:
                score = score - recipe.roughness * _roughness(whole)
            optimiser.zero_grad()
            (-score.sum()).backward()  # a sum: no unit's step depends on its batch mates
            assert spectrum.grad is not None
            moved |= spectrum.grad.flatten(1).abs().amax(1) > 0
            optimiser.step()
            n_done += 1
            if n_done in RESCUE_STEPS and stage is recipe.stages[0]:
                spectrum.data *= torch.where(moved, 1.0, RESCUE_GAIN).view(-1, 1, 1, 1, 1)
        spectrum = spectrum.detach()
    final = canvas.image(spectrum)
    if recipe.objective == "centre":
        return Ascent(
            start, final, moved, shown=middle_field(tap.layer, z.shape[-1] + 2 * n_unread)
        )
    return Ascent(_crop(start, recipe.margin_px), _crop(final, recipe.margin_px), moved)


def unread_rim(recipe: Fourier, layer: Layer, size_px: int) -> int:
    """Rows and columns at each side of a unit's map that do not count.

    Args:
        recipe: of whose canvas the middle counts, or what is inside the margin: there no receptive
            field meets the padding. Some of a map is always left.
        layer: of the unit.
        size_px: of the image that the network is shown.
    """
    around_middle = max(0, (size_px // layer.total_stride_px - 1) // 2)
    if recipe.objective == "centre":
        return around_middle
    if recipe.objective == "layer":
        return 0
    return min(math.ceil(recipe.margin_px / layer.total_stride_px), around_middle)


def _answers(tap: Tap, images: Tensor, channels: Tensor, recipe: Fourier, n_unread: int) -> Tensor:
    """In sigmas, what each unit answers to its image, (B, h, w); or all of them, (B, n, h, w)."""
    if recipe.objective == "layer":
        return tap.all_sigmas(tap(images))
    return tap.sigmas(tap.own_maps(images, channels, n_unread), channels)


def objective(tap: Tap, z: Tensor, channels: Tensor, recipe: Fourier) -> Tensor:
    """What each image is worth to its unit, from its answers: (B, h, w) -> (B,).

    `mean` is the pre-activation in sigmas. `power` counts what passes the unit's own threshold,
    smoothly: a linear mean is degenerate in shallow layers, where one flat colour maximises it.
    Downwards it counts from the average, for below the threshold all is nothing.
    `centre` is the position in the middle, `layer` the power of all channels together.
    """
    if recipe.objective == "layer":
        return _power(z + tap.offset[:, None, None])
    threshold = -tap.offset[channels, None, None]
    if recipe.aim == "inhibit":
        z, threshold = -z, torch.zeros_like(threshold)
    if recipe.objective == "centre":
        return tap.middle(z)
    if recipe.objective == "mean":
        return z.mean((1, 2))
    return _power(z - threshold)


def _power(z: Tensor) -> Tensor:
    """Root of the mean square of what is positive, smoothly: (B, ...) -> (B,)."""
    power: Tensor = F.softplus(z).square().flatten(1).mean(1)
    return power.sqrt()


def _noise(units: Sequence[Unit], recipe: Fourier) -> Tensor:
    """Start coefficients (B, 3, N, N/2+1, 2)."""
    size_px = recipe.stages[0].size_px
    shape = (3, size_px, size_px // 2 + 1, 2)
    drawn = [
        torch.randn(shape, generator=unit_generator(recipe.seed, unit, "noise 0")) for unit in units
    ]
    return torch.stack(drawn) * recipe.init_std


def _jitters(units: Sequence[Unit], recipe: Fourier) -> Tensor:
    """Angle in radians, zoom, and shift right and down in half canvases: (steps, B, 4)."""
    limits = torch.tensor(
        [math.radians(recipe.rotation_deg), recipe.zoom, 2 * recipe.shift, 2 * recipe.shift]
    )
    drawn = [
        torch.rand(recipe.n_steps, 4, generator=unit_generator(recipe.seed, unit, "jitter"))
        for unit in units
    ]
    return (torch.stack(drawn, dim=1) * 2 - 1) * limits


def _roughness(images: Tensor) -> Tensor:
    """Mean square of the steps from pixel to pixel, rightwards plus downwards: (B,)."""
    right, down = images.diff(dim=3), images.diff(dim=2)
    return right.square().mean((1, 2, 3)) + down.square().mean((1, 2, 3))


def jittered(images: Tensor, jitter: Tensor, seen_px: int) -> Tensor:
    """Turn, zoom and shift every image by its own row of `jitter`, and look at the middle.

    Args:
        images: (B, 3, N, N).
        jitter: (B, 4), as `_jitters` gives it.
        seen_px: M, side of what is looked at, at most N.

    Returns:
        (B, 3, M, M).
    """
    angle, zoom, right, down = jitter.unbind(1)
    cos, sin = angle.cos() / (1 + zoom), angle.sin() / (1 + zoom)
    cos, sin, right, down = (each[:, None, None] for each in (cos, sin, right, down))
    size_px = images.shape[-1]
    # Of the pixels' middles, where -1 and 1 are the rims of the canvas.
    x = (torch.arange(seen_px, device=images.device) * 2 + 1 - seen_px) / size_px
    y = x[:, None]
    grid = torch.stack([cos * x - sin * y + right, sin * x + cos * y + down], dim=-1)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _crop(images: Tensor, margin_px: int) -> Tensor:
    size_px = images.shape[-1]
    return images[:, :, margin_px : size_px - margin_px, margin_px : size_px - margin_px]


def middle_field(layer: Layer, map_size: int) -> slice:
    """Rows, and columns, of the receptive field of the middle of a layer's map of this size."""
    field_px = layer.receptive_field_px
    centre_px = layer.field_centre_px + map_size // 2 * layer.total_stride_px
    first = round(centre_px - (field_px - 1) / 2)
    return slice(first, first + field_px)
