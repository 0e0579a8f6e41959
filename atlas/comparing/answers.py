"""How alike the units of two networks respond to the same images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from atlas.comparing import AnswersRecord, AnswersSpec
from atlas.comparing.classes import Pair
from atlas.comparing.filters import matched, rounded
from atlas.decoding import Skipped
from atlas.errors import ImagesError, NetworkError
from atlas.images import ImageSet, ImagesOf
from atlas.kinds.natural.make import CPU_BATCH, GPU_BATCH, as_images
from atlas.network.network import Network
from atlas.network.taps import Reader
from atlas.units import Layer

DIGITS = 5  # after the point, of what is stored
# The variance, as a share of the squared mean, up to which a response counts as constant: rounding
# of single precision stays below it.
CONSTANT_SHARE = 1e-10
SAME = 1e-5  # of two correlations that differ by less, that of the unit's own index is preferred
CPU_BYTES, GPU_BYTES = 512 << 20, 4 << 30  # for the responses and sums of layers read together


class Agreement:
    """Sums from which the correlations between the units of two layers follow.

    Their size does not depend on the number of images: (n_units, n_units) for all pairs.
    """

    def __init__(self, n_units: int, device: torch.device) -> None:
        self.n = 0  # positions of all images
        self._shifts: tuple[Tensor, Tensor] | None = None  # (n_units,), near the units' means
        self._sums = torch.zeros(5, n_units, dtype=torch.float64)  # of a, b, aa, bb and ab
        self._products = torch.zeros(n_units, n_units, device=device)  # of each a with each b

    def add(self, a: Tensor, b: Tensor) -> None:
        """Add the responses of both layers to the same images, (B, n_units, h, w) each."""
        rows_a, rows_b = (_rows(maps) for maps in (a, b))
        if self._shifts is None:
            self._shifts = rows_a.mean(0), rows_b.mean(0)
        rows_a, rows_b = rows_a - self._shifts[0], rows_b - self._shifts[1]
        columns = (rows_a, rows_b, rows_a * rows_a, rows_b * rows_b, rows_a * rows_b)
        self._sums += torch.stack([column.sum(0) for column in columns]).cpu()
        self._products.addmm_(rows_a.T, rows_b)
        self.n += len(rows_a)

    @property
    def is_finite(self) -> bool:
        """Whether all responses were finite."""
        return bool(self._sums.isfinite().all())

    def is_constant(self) -> tuple[Tensor, Tensor]:
        """Whether each unit of A, and of B, gave the same response everywhere, (n_units,)."""
        assert self._shifts
        variances = self._variances()
        shifts = (shift.cpu().double() for shift in self._shifts)
        a, b = (
            variance <= CONSTANT_SHARE * self.n * (shift + total / self.n).square()
            for variance, shift, total in zip(variances, shifts, self._sums[:2], strict=True)
        )
        return a, b

    def own(self) -> Tensor:
        """Correlations of the units of one index, NaN where one is constant: (n_units,)."""
        a, b, _, _, ab = self._sums
        variance_a, variance_b = self._variances()
        correlation: Tensor = (ab - a * b / self.n) / (variance_a * variance_b).sqrt()
        constant_a, constant_b = self.is_constant()
        correlation[constant_a | constant_b] = torch.nan
        return correlation.clamp(-1, 1)

    def all_pairs(self) -> Tensor:
        """Correlations of each unit of A with each of B, -inf for constant ones: (n, n)."""
        a, b = (each.float().to(self._products.device) for each in self._sums[:2])
        spreads = (each.sqrt().float().to(a.device) for each in self._variances())
        spread_a, spread_b = spreads
        pairs = torch.addr(self._products, a, b, alpha=-1 / self.n)
        pairs = pairs / spread_a[:, None] / spread_b
        constant_a, constant_b = (each.to(a.device) for each in self.is_constant())
        pairs[constant_a] = -torch.inf
        pairs[:, constant_b] = -torch.inf
        return pairs.clamp(max=1)

    def _variances(self) -> tuple[Tensor, Tensor]:
        """Sums of squared deviations from the mean in A and in B, (n_units,)."""
        a, b, aa, bb, _ = self._sums
        return (aa - a * a / self.n).clamp(min=0), (bb - b * b / self.n).clamp(min=0)


@dataclass(frozen=True)
class Shown:
    """How many images were shown to both networks, and which could not be read."""

    n_images: int
    skipped: Mapping[str, int]  # number by reason


def answers_records(
    a: Network,
    b: Network,
    layers: Sequence[Layer],
    images: ImageSet,
    spec: AnswersSpec,
    progress: Callable[[int], object] = lambda n_images: None,
    classes: Sequence[Pair] = (),
) -> list[AnswersRecord]:
    """Show the same images to both networks, and correlate the responses of layers of one name.

    Args:
        a: the first network.
        b: the second, on the same device.
        layers: layers of the same shape in both, except for the number of classes, whose maps are
            in memory together.
        images: the images.
        spec: how they are prepared, and how many are shown.
        progress: called with the number of files in each batch that is done.
        classes: those that are compared; none: each with that of its number.

    Raises:
        NetworkError: a response is not finite.
        ImagesError: an image cannot be read now, or none of them is an image.
    """
    agreements = [Agreement(n_compared(layer, classes), a.device) for layer in layers]
    watches = [network.watch(_of_network(layers, network)) for network in (a, b)]
    sample = Sampled(images, spec.n_images)
    n_images, skipped = 0, Counter[str]()
    for batch in sample.batches(spec.preprocessing, batch_size(a.device)):
        readable = [pixels for _, pixels in batch if not isinstance(pixels, Skipped)]
        skipped.update(each.group for _, each in batch if isinstance(each, Skipped))
        if readable:
            shown = as_images(readable, a.device)
            in_a, in_b = (watch.sigmas(shown) for watch in watches)
            for agreement, maps in zip(agreements, _in_pairs(in_a, in_b, classes), strict=True):
                agreement.add(*maps)
        n_images += len(readable)
        progress(len(batch))
    if not n_images:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in skipped.items())
        raise ImagesError.none_of_them(reasons)
    return [
        answers_record(layer, agreement, Shown(n_images, skipped))
        for layer, agreement in zip(layers, agreements, strict=True)
    ]


def answers_record(layer: Layer, agreement: Agreement, shown: Shown) -> AnswersRecord:
    """The correlations of one layer.

    Raises:
        NetworkError: a response was not finite.
    """
    if not agreement.is_finite:
        raise NetworkError.not_finite(layer.name)
    own, pairs = agreement.own(), agreement.all_pairs()
    constant_a, constant_b = agreement.is_constant()
    in_b, in_a = _most_alike(pairs, own), _most_alike(pairs.T, own)
    return AnswersRecord(
        n_images=shown.n_images,
        n_skipped=sum(shown.skipped.values()),
        correlation=rounded(own, DIGITS),
        is_constant_a=constant_a.tolist(),
        is_constant_b=constant_b.tolist(),
        alike_in_b=in_b[0],
        alike_in_b_correlation=in_b[1],
        alike_in_a=in_a[0],
        alike_in_a_correlation=in_a[1],
    )


def n_compared(layer: Layer, classes: Sequence[Pair]) -> int:
    """How many units of a layer are compared: all, or the classes that were chosen."""
    return len(classes) if layer.is_classifier and classes else layer.n_units


def equal_answers(n_units: int) -> AnswersRecord:
    """The record of a layer that computes the same in both networks: nothing need be measured."""
    ones, selves, never = (1.0,) * n_units, tuple(range(n_units)), (False,) * n_units
    return AnswersRecord(0, 0, ones, never, never, selves, ones, selves, ones)


def groups_of(layers: Sequence[Layer], device: torch.device) -> Iterator[list[Layer]]:
    """Layers that are read together, in order: as many as fit into a fixed share of memory."""
    limit = GPU_BYTES if device.type == "cuda" else CPU_BYTES
    group: list[Layer] = []
    n_bytes = 0
    for layer in layers:
        needed = bytes_of(layer, batch_size(device))
        if group and n_bytes + needed > limit:
            yield group
            group, n_bytes = [], 0
        group.append(layer)
        n_bytes += needed
    if group:
        yield group


def bytes_of(layer: Layer, n_images: int) -> int:
    """Memory for a layer's responses in both networks, and for the products of all pairs."""
    height, width = layer.output_px
    return 4 * layer.n_units * (2 * n_images * height * width + layer.n_units)


def batch_size(device: torch.device) -> int:
    """Images that are shown at once."""
    return GPU_BATCH if device.type == "cuda" else CPU_BATCH


class Sampled(ImagesOf):
    """At most so many images of a set, evenly spaced in its order."""

    def __init__(self, images: ImageSet, n_images: int) -> None:
        super().__init__(images)
        n_files = len(images.files)
        n_kept = min(n_images, n_files)
        self.files = tuple(images.files[nth * n_files // n_kept] for nth in range(n_kept))


def _of_network(layers: Sequence[Layer], network: Network) -> list[Layer]:
    """The layers of a network that are called like these."""
    return [network.facts.layer(layer.name) for layer in layers]


def _in_pairs(
    a: Iterator[tuple[Reader, Tensor]],
    b: Iterator[tuple[Reader, Tensor]],
    classes: Sequence[Pair],
) -> Iterator[tuple[Tensor, Tensor]]:
    for (reader, maps_a), (_, maps_b) in zip(a, b, strict=True):
        yield matched(reader.layer, classes, maps_a, maps_b, dim=1)


def _rows(maps: Tensor) -> Tensor:
    """Maps (B, n_units, h, w) with a row for each position: (B * h * w, n_units)."""
    return maps.float().permute(0, 2, 3, 1).flatten(0, 2)


def _most_alike(pairs: Tensor, own: Tensor) -> tuple[list[int | None], list[float | None]]:
    """For each row, the column of the highest correlation, and that correlation.

    The column of the row's own index is taken where no other is clearly higher.
    """
    highest, columns = (each.cpu() for each in pairs.max(1))
    prefers_own = own.nan_to_num(-torch.inf) >= highest - SAME
    columns = torch.where(prefers_own, torch.arange(len(own)), columns)
    highest = torch.where(prefers_own, own, highest.double())
    is_any = highest.isfinite().tolist()
    return (
        [column if found else None for column, found in zip(columns.tolist(), is_any, strict=True)],
        rounded(highest, DIGITS),
    )
