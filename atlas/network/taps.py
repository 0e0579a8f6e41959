"""Reading a layer: running the network up to it, and its units' responses in sigmas.

A sigma is one standard deviation of a unit's raw output: in the statistics of the BatchNorm that
follows the layer, else as measured on generated images (`statistics.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, fx, nn

from atlas.errors import NetworkError
from atlas.network.channels import in_channels_of
from atlas.network.prepacking import prepacked
from atlas.network.residuals import ResidualBranches
from atlas.network.shortcuts import own_maps, pays_alone
from atlas.network.trimming import cut, trim_module, trimmed
from atlas.network.weighting import is_plain
from atlas.units import Layer

OFFSET_LIMITS = (-4.0, 4.0)  # of thresholds, in sigmas


class Statistics(NamedTuple):
    """What a `Reader` knows of its layer's raw output, (n_units,) each."""

    mean: Tensor
    std: Tensor
    sign: Tensor
    offset: Tensor

    @classmethod
    def none(cls, n_units: int, device: torch.device) -> Statistics:
        """Those that leave the raw output unchanged."""
        zeros, ones = (fill(n_units, device=device) for fill in (torch.zeros, torch.ones))
        return cls(zeros, ones, ones, zeros)

    @classmethod
    def measured(cls, mean: Tensor, std: Tensor, is_activated: bool) -> Statistics:
        """Those of a layer whose mean and standard deviation were measured.

        Where an activation function follows, zero is the threshold, else the average is. The
        responses of a unit that never changed are left in its own scale.
        """
        std = torch.where(std > 0, std, 1.0)
        offset = (mean / std).clamp(*OFFSET_LIMITS) if is_activated else torch.zeros_like(mean)
        return cls(mean, std, torch.ones_like(std), offset)

    @classmethod
    def of_norm(cls, norm: nn.BatchNorm2d) -> Statistics:
        """Those of a BatchNorm with running statistics."""
        assert norm.running_mean is not None and norm.running_var is not None
        gamma = norm.weight.detach() if norm.affine else torch.ones_like(norm.running_mean)
        beta = norm.bias.detach() if norm.affine else torch.zeros_like(norm.running_mean)
        return cls(
            mean=norm.running_mean.float(),
            std=(norm.running_var.float() + norm.eps).sqrt(),
            sign=torch.where(gamma < 0, -1.0, 1.0),
            # The limits keep the threshold within reach where gamma is tiny.
            offset=(beta / gamma.abs().clamp(min=1e-6)).clamp(*OFFSET_LIMITS),
        )


class Reader(nn.Module):
    """Converts the raw output of one layer to sigmas above each unit's average.

    Attributes:
        layer: the layer.
        mean, std: each unit's statistics, (n_units,); 0 and 1 for a classifier.
        sign: -1 where the BatchNorm that follows has a negative scale, else 1, (n_units,).
        offset: minus the response, in sigmas, above which a unit is active, (n_units,). That is
            where the output of the BatchNorm crosses zero, or of the layer itself if an activation
            function follows at once: ReLU, ReLU6, SiLU, Hardswish and GELU rise from zero on, and a
            sigmoid is half open there. Elsewhere it is the unit's average.
    """

    mean: Tensor
    std: Tensor
    sign: Tensor
    offset: Tensor
    image_mean: Tensor
    image_std: Tensor

    def __init__(
        self,
        layer: Layer,
        statistics: Statistics,
        image_mean: Tensor,
        image_std: Tensor,
    ) -> None:
        super().__init__()
        self.layer = layer
        for name, value in statistics._asdict().items():
            self.register_buffer(name, value)
        self.register_buffer("image_mean", image_mean)
        self.register_buffer("image_std", image_std)

    @property
    def device(self) -> torch.device:
        """The device that images must be on."""
        return self.mean.device

    def normalise(self, images: Tensor) -> Tensor:
        """RGB images (B, 3, H, W) in 0..1 as the network is given them, (B, C, H, W)."""
        return (in_channels_of(self.image_mean, images) - self.image_mean) / self.image_std

    @staticmethod
    def middle(maps: Tensor) -> Tensor:
        """The value at the middle position of maps: (B, h, w) -> (B,)."""
        return maps[:, maps.shape[1] // 2, maps.shape[2] // 2]

    def sigmas(self, maps: Tensor, channels: Tensor) -> Tensor:
        """Raw maps of the C units `channels`, (..., C, h, w), in sigmas above their averages."""
        mean, std, sign = (stat[channels, None, None] for stat in (self.mean, self.std, self.sign))
        return sign * (maps - mean) / std

    def all_sigmas(self, raw: Tensor) -> Tensor:
        """Raw maps of all units, (B, n_units, h, w), in sigmas above their averages."""
        return self.sigmas(raw.float(), torch.arange(raw.shape[1], device=raw.device))

    def checked(self, raw: Tensor) -> Tensor:
        """The raw output, unchanged.

        Raises:
            NetworkError: a value is not finite.
        """
        if not raw.isfinite().all():
            raise NetworkError.not_finite(self.layer.name)
        return raw


class _Way(NamedTuple):
    """Modules that compute a layer's maps from images, perhaps without the maps' borders."""

    extractor: nn.Module
    module: nn.Module
    layer: Layer
    n_cut: int  # rows and columns at each side that are computed though they are not wanted


class Tap(Reader):
    """The part of a network up to one layer's output, and the reader of that output."""

    def __init__(
        self,
        layer: Layer,
        statistics: Statistics,
        image_mean: Tensor,
        image_std: Tensor,
        *,
        extractor: nn.Module,
        module: nn.Module,
        ascended: nn.Module,
        own_only: bool,
    ) -> None:
        """Make a tap.

        Args:
            layer: the layer whose output is read.
            statistics: of the layer's units.
            image_mean: mean of the network's preprocessing, (1, C, 1, 1).
            image_std: standard deviation of the network's preprocessing, (1, C, 1, 1).
            extractor: computes the layer's input from images, under the name "tap"; positions that
                are not needed are left out of it if it is a graph.
            module: the layer itself, or what computes a class's logits from the layer's input.
            ascended: the same for `own_maps`, whose gradient is to show the way up from anywhere:
                without functions that hide it, as a ReLU does.
            own_only: let `own_maps` compute only one unit per image where that is faster.
        """
        super().__init__(layer, statistics, image_mean, image_std)
        self.extractor = extractor
        self.module = module
        self.ascended = ascended
        self.own_only = own_only and pays_alone(layer) and is_plain(ascended)
        # By the number of unread rows, and whether images have a gradient.
        self._ways: dict[tuple[int, bool], _Way] = {}

    def forward(self, images: Tensor) -> Tensor:
        """The layer's raw output for images (B, 3, H, W), which are not normalised here.

        Returns:
            (B, n_units, h, w), before BatchNorm; (B, n_units, 1, 1) of a layer without maps.
        """
        return self.outputs(self.inputs(images))

    def outputs(self, inputs: Tensor) -> Tensor:
        """The layer's raw output for inputs of the layer, as `forward` returns it."""
        return _as_maps(self.module(inputs), self.layer)

    def own_maps(self, images: Tensor, channels: Tensor, n_unread: int = 0) -> Tensor:
        """For each image the raw output of its own unit, as `inputs_and_own_maps` returns it."""
        return self.inputs_and_own_maps(images, channels, n_unread)[1]

    def inputs_and_own_maps(
        self, images: Tensor, channels: Tensor, n_unread: int = 0
    ) -> tuple[Tensor, Tensor]:
        """For each image the layer's input, and the raw output of the image's own unit.

        Of a class that is the unrectified logit.

        Args:
            images: (B, 3, H, W), passed to the network as they are.
            channels: index of each image's unit, (B,).
            n_unread: rows and columns at each side of the map that are not wanted; what only they
                depend on is not computed.

        Returns:
            What the wanted part of the map depends on, and (B, h, w), without the unwanted rows and
            columns.
        """
        way = self._way(n_unread, images.requires_grad)
        inputs = self._run_extractor(way.extractor, images)
        if self.own_only:
            maps = own_maps(way.module, way.layer, inputs, channels)
        else:
            maps = _as_maps(way.module(inputs), self.layer)
            maps = maps[torch.arange(len(channels), device=maps.device), channels].float()
        return inputs, cut(maps, way.n_cut)

    def inputs(self, images: Tensor) -> Tensor:
        """The layer's input for images (B, 3, H, W), which are not normalised here."""
        return self._run_extractor(self._way(0, images.requires_grad).extractor, images)

    def with_residual_branches(self, gradient: float = 1.0) -> tuple[Tap, ResidualBranches | None]:
        """A tap that computes the same, and the residual branches on the way; None without a graph.

        The layer's own module and statistics are shared.

        Args:
            gradient: factor of the gradients that come through the branches.
        """
        if not isinstance(self.extractor, fx.GraphModule):
            return self, None
        branches = ResidualBranches(self.extractor, gradient)
        tap = Tap(
            self.layer,
            Statistics(self.mean, self.std, self.sign, self.offset),
            self.image_mean,
            self.image_std,
            extractor=branches.graph,
            module=self.module,
            ascended=self.ascended,
            own_only=self.own_only,
        )
        return tap, branches

    def _run_extractor(self, extractor: nn.Module, images: Tensor) -> Tensor:
        dtype = next(self.module.parameters()).dtype
        images = images.to(dtype, memory_format=torch.channels_last)
        inputs: Tensor = extractor(images)["tap"]
        return inputs

    def _way(self, n_unread: int, has_gradient: bool) -> _Way:
        way = self._ways.get((n_unread, has_gradient))
        if way is None:
            way = self._make_way(n_unread)
            if has_gradient:  # without, a tap is run once or twice, and packing takes longer
                way = way._replace(extractor=prepacked(way.extractor))
            self._ways[n_unread, has_gradient] = way
        return way

    def _make_way(self, n_unread: int) -> _Way:
        extractor = self.extractor
        is_trimmed = n_unread and self.layer.is_conv
        if not is_trimmed or not isinstance(extractor, fx.GraphModule):
            return _Way(extractor, self.ascended, self.layer, n_unread)
        module, trim = trim_module(self.ascended, n_unread)
        layer = dataclasses.replace(self.layer, padding=(0, 0)) if trim.made else self.layer
        return _Way(trimmed(extractor, trim.read), module, layer, n_unread - trim.made)


class Watch:
    """Reads several layers of a network with one forward pass.

    Args:
        readers: one for each layer.
        extractor: computes the layers' outputs from images, by the layers' names.
        in_sigmas: the layers whose outputs it computes in sigmas; those of others are converted.
    """

    def __init__(
        self, readers: Sequence[Reader], extractor: nn.Module, in_sigmas: Container[Layer]
    ) -> None:
        self.readers = tuple(readers)
        self._extractor = extractor
        self._in_sigmas = in_sigmas

    @property
    def device(self) -> torch.device:
        """The device that images must be on."""
        return self.readers[0].device

    @torch.inference_mode()
    def sigmas(self, images: Tensor) -> Iterator[tuple[Reader, Tensor]]:
        """Each layer's responses (B, n_units, h, w), in sigmas, to images (B, 3, H, W) in 0..1.

        They may be infinite or NaN. The caller checks that when it has reduced them to fewer
        numbers, which is faster than checking all of them here.
        """
        images = self.readers[0].normalise(images)
        dtype = next(self._extractor.parameters()).dtype
        responses = self._extractor(images.to(dtype, memory_format=torch.channels_last))
        for reader in self.readers:
            maps = _as_maps(responses.pop(reader.layer.name), reader.layer)
            is_ready = reader.layer in self._in_sigmas or reader.layer.is_classifier
            yield reader, maps if is_ready else reader.all_sigmas(maps)


def _as_maps(raw: Tensor, layer: Layer) -> Tensor:
    """A layer's output as maps (B, n_units, h, w), of one position where it has no maps."""
    if raw.ndim == 4:
        return raw.permute(0, 3, 1, 2) if layer.kind == "pointwise" else raw
    return raw.reshape(-1, layer.n_units, 1, 1)
