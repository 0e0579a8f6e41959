"""Means and standard deviations of layers that no BatchNorm follows, on generated images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, fx, nn

from atlas.generated_images import Images
from atlas.network.operators import module_of, operator_of
from atlas.network.outputs import layer_node
from atlas.units import Layer, Preprocessing

BATCH = 4  # images per batch; all maps of all measured layers are in memory at once


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
    moments = {layer.name: _Moments() for layer in layers}
    for batch in normalised_batches(images, preprocessing, device):
        raw = outputs(batch)
        for layer in layers:
            moments[layer.name].add(_by_unit(raw.pop(layer.name), layer))
    return {name: each.mean_and_std() for name, each in moments.items()}


def normalised_batches(
    images: Iterator[Images], preprocessing: Preprocessing, device: torch.device
) -> Iterator[Tensor]:
    """Images (C, H, W) in 0..1 as a network is given them, in batches (B, C, H, W)."""
    mean, std = (
        torch.tensor(values, device=device).view(1, -1, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    for batch in _batches(images):
        yield (batch.to(device) - mean) / std


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
