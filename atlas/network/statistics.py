"""Means and standard deviations of layers that no BatchNorm follows, measured on generated images.

The images are dead leaves: discs of all sizes that cover each other, each of one colour with a
texture whose power falls with frequency as that of photographs does. They depend on nothing but
their number, their size and their channels. How close they come to the statistics of photographs
is in docs/benchmarks.md.

Sources: Lee, Mumford & Huang 2001, https://doi.org/10.1023/A:1011109015675, for dead leaves as a
model of natural images; Baradad et al. 2021, https://arxiv.org/abs/2106.05963, for learning from
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from atlas.network.operators import module_of, operator_of
from atlas.network.outputs import layer_node
from atlas.units import N_REFERENCE_IMAGES, Layer, Preprocessing

BATCH = 4  # images per batch; all maps of all measured layers are in memory at once
SEED = 20190117
N_LEAVES = 250  # so many that nearly all of the image is covered
SMALLEST, LARGEST = 1 / 14, 1.0  # radii of the leaves, as shares of the image's side
SHARED, OWN = 0.3, 0.1  # deviation of a leaf's colour: in all channels together, and in each
TEXTURE = 0.1  # greatest deviation of a leaf's texture

Images = NDArray[np.float32]


def reference_images(
    size_px: int, n_channels: int, n_images: int = N_REFERENCE_IMAGES
) -> Iterator[Images]:
    """Generated images (n_channels, size_px, size_px) in 0..1."""
    for nth in range(n_images):
        yield dead_leaves(size_px, n_channels, np.random.default_rng((SEED, nth)))


def dead_leaves(size_px: int, n_channels: int, random: np.random.Generator) -> Images:
    """One image of dead leaves, (n_channels, size_px, size_px) in 0..1."""
    leaves = _cover(size_px, random)  # (N, N), the number of the uppermost leaf
    n_leaves = int(leaves.max()) + 1
    colours = 0.45 + SHARED * random.standard_normal((1, n_leaves))
    colours = colours + OWN * random.standard_normal((n_channels, n_leaves))
    contrasts = TEXTURE * random.random(n_leaves)
    shifts = random.integers(size_px, size=(2, n_leaves))
    rows, columns = np.indices(leaves.shape)
    rows = (rows + shifts[0, leaves]) % size_px
    columns = (columns + shifts[1, leaves]) % size_px
    texture = _pink_noise(size_px, random)[rows, columns] * contrasts[leaves]
    return np.asarray(np.clip(colours[:, leaves] + texture, 0, 1), dtype=np.float32)


@torch.inference_mode()
def measure(
    outputs: nn.Module,
    layers: Sequence[Layer],
    preprocessing: Preprocessing,
    device: torch.device,
    images: Iterator[Images],
) -> Mapping[str, tuple[Tensor, Tensor]]:
    """The mean and standard deviation of each unit over images and positions, (n_units,) each.

    Args:
        outputs: computes the layers' raw outputs, by their names, from normalised images.
        layers: the layers.
        preprocessing: the size and the channels of the images, and how they are normalised.
        device: where to compute.
        images: (C, H, W) each, in 0..1.
    """
    mean, std = (
        torch.tensor(values, device=device).view(1, -1, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    moments = {layer.name: _Moments() for layer in layers}
    for batch in _batches(images):
        raw = outputs((batch.to(device) - mean) / std)
        for layer in layers:
            moments[layer.name].add(_by_unit(raw.pop(layer.name), layer))
    return {name: each.mean_and_std() for name, each in moments.items()}


def is_activated(graph: fx.GraphModule | None, layer: Layer) -> bool:
    """Whether an activation function follows a layer at once, as far as is known."""
    if graph is None:
        return False
    users = layer_node(graph, layer.name).users
    return any(operator_of(user, module_of(user, graph)).is_pointwise for user in users)


class _Moments:
    """Sums over the values of each unit, in double precision."""

    def __init__(self) -> None:
        self._n = 0
        self._sum: Tensor | float = 0.0
        self._squares: Tensor | float = 0.0

    def add(self, values: Tensor) -> None:
        """Add values (n, n_units)."""
        exact = values.double()
        self._n += len(values)
        self._sum = self._sum + exact.sum(0)
        self._squares = self._squares + exact.square().sum(0)

    def mean_and_std(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, (n_units,) in float32."""
        mean = torch.as_tensor(self._sum / self._n)
        variance = torch.as_tensor(self._squares / self._n) - mean.square()
        return mean.float(), variance.clamp(min=0).sqrt().float()


def _by_unit(raw: Tensor, layer: Layer) -> Tensor:
    """A layer's output as (n, n_units)."""
    is_map = raw.ndim == 4 and layer.kind != "pointwise"
    return (raw.permute(0, 2, 3, 1) if is_map else raw).reshape(-1, layer.n_units)


def _batches(images: Iterator[Images]) -> Iterator[Tensor]:
    batch: list[Images] = []
    for image in images:
        batch.append(image)
        if len(batch) == BATCH:
            yield torch.from_numpy(np.stack(batch))
            batch = []
    if batch:
        yield torch.from_numpy(np.stack(batch))


def _cover(size_px: int, random: np.random.Generator) -> NDArray[np.intp]:
    """The numbers of the discs that are uppermost at each pixel, from the lowest to the highest.

    The density of radii falls with the third power, so that the image looks alike at all scales.
    """
    small, large = SMALLEST**-2, LARGEST**-2
    radii = size_px * (small + (large - small) * random.random(N_LEAVES)) ** -0.5
    centres = size_px * random.random((N_LEAVES, 2))
    leaves = np.zeros((size_px, size_px), dtype=np.intp)
    places = np.arange(size_px)
    for number, ((x, y), radius) in enumerate(zip(centres, radii, strict=True)):
        top, left = (max(0, int(each - radius)) for each in (y, x))
        bottom, right = (int(each + radius) + 1 for each in (y, x))
        inside = (places[top:bottom, None] - y) ** 2 + (places[left:right] - x) ** 2 <= radius**2
        leaves[top:bottom, left:right][inside] = number
    return leaves


def _pink_noise(size_px: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Noise whose amplitude falls with frequency, (size_px, size_px), of mean 0 and deviation 1."""
    rows, columns = np.fft.fftfreq(size_px)[:, None], np.fft.rfftfreq(size_px)
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(random.standard_normal((size_px, size_px))) / frequency
    noise = np.fft.irfft2(spectrum, s=(size_px, size_px))
    return np.asarray(noise / max(float(noise.std()), 1e-12))
