"""What is known of the channels that a node of a network gives, and what operations do to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_map

from atlas.network.moments import Function, Moments, moments, rectified_moments

NOBODY = -1  # in place of a unit's index: no unit of the layer is in the channel
Number = Tensor | float  # the same for all channels, or a tensor that is broadcast over them


@dataclass(frozen=True)
class Writer:
    """The units of one layer that are in the channels of a signal.

    The swing of a unit is how far the channel moves when the unit's output moves by one of its own
    sigmas (standard deviations).
    """

    layer: str
    unit: Tensor  # integers, NOBODY where none is
    swing: Tensor  # 0 where none is


@dataclass(frozen=True)
class Law:
    """Values that are a function of those of a signal that is taken to be Gaussian."""

    source: Signal
    function: Function


@dataclass(frozen=True)
class Signal:
    """Statistics of what one node of the graph gives, and which units write it.

    All tensors have one shape, with as many dims as the node's output. A dim along which they do
    not change, as between the images of a batch and the positions of a map, has size 1. At the
    input of a layer they are vectors, (in_channels,).
    """

    mean: Tensor  # not a number where it is not known
    variance: Tensor
    writers: tuple[Writer, ...]  # a layer stands here several times if units of it are summed
    law: Law | None = None
    is_gaussian: bool = True

    def strongest(self) -> tuple[Tensor, Tensor, Tensor]:
        """Of the writer that moves a channel most, its position in `writers`, its unit, its swing.

        Each is (in_channels,).
        """
        swings = torch.stack([each.swing for each in self.writers])  # (writers, in_channels)
        units = torch.stack([each.unit for each in self.writers])
        writer = swings.abs().argmax(0, keepdim=True)
        return writer[0], units.gather(0, writer)[0], swings.gather(0, writer)[0]

    def after(self, found: Moments) -> Signal:
        """The signal after an operation with a slope, and the moments after it."""
        writers = [
            dataclasses.replace(each, swing=found.slope * each.swing) for each in self.writers
        ]
        return _alike(found.mean, found.variance, writers)

    def rearranged(self, move: Callable[[Tensor], Tensor]) -> Signal:
        """The signal with the elements of all its tensors rearranged in the same way."""
        writers = [Writer(each.layer, move(each.unit), move(each.swing)) for each in self.writers]
        return Signal(
            move(self.mean),
            move(self.variance),
            tuple(each for each in writers if (each.unit != NOBODY).any()),
            is_gaussian=self.is_gaussian,
        )

    def as_law(self) -> Law | None:
        """The signal as a function of a Gaussian one; None if it is not known as such."""
        is_its_own = self.law is None and self.is_gaussian
        return Law(self, torch.clone) if is_its_own else self.law


def constant(values: Tensor, n_dims: int) -> Signal:
    """The signal of a tensor that is the same for every image."""
    values = values.reshape(*[1] * (n_dims - values.ndim), *values.shape)
    return Signal(values, torch.zeros_like(values), ())


def applied(signal: Signal, function: Function, *, is_rectifier: bool = False) -> Signal | None:
    """The signal after a pointwise function."""
    law = signal.as_law()
    if law is None or signal.mean.shape[:1] != (1,) or not signal.variance.isfinite().all():
        return None
    source, before = law.source, law.function

    def composed(points: Tensor) -> Tensor:
        return function(before(points))

    if not signal.is_gaussian:
        return _by_law(source, composed)
    own = moments(function, signal.mean, signal.variance) if not is_rectifier else None
    found = rectified_moments(signal.mean, signal.variance) if is_rectifier else own
    if found is None:
        return None
    return dataclasses.replace(signal.after(found), law=Law(source, composed), is_gaussian=False)


def scaled(signal: Signal, factor: Number, shift: Number) -> Signal:
    """The signal multiplied by a factor, and shifted."""
    after = signal.after(
        Moments(
            signal.mean * factor + shift,
            signal.variance * factor**2,
            torch.as_tensor(factor, device=signal.mean.device),
        )
    )
    law = signal.as_law()
    affine = law and Law(law.source, _affine(law.function, factor, shift))
    return dataclasses.replace(after, law=affine, is_gaussian=signal.is_gaussian)


def normalised(signal: Signal, gamma: Tensor, beta: Tensor, mean: Tensor, std: Tensor) -> Signal:
    """The signal after a BatchNorm, whose statistics are those of the signal."""
    scale = gamma / std
    after = signal.after(Moments(beta, gamma**2, scale))
    if signal.is_gaussian or signal.law is None:  # its statistics are known better now
        return after
    affine = _affine(signal.law.function, scale, beta - scale * mean)
    return dataclasses.replace(after, law=Law(signal.law.source, affine), is_gaussian=False)


def summed(first: Signal, second: Signal, sign: float = 1.0) -> Signal:
    """The signal of a sum or a difference; the swings of a unit that writes both terms add up."""
    second = second if sign > 0 else scaled(second, sign, 0.0)
    variance = first.variance + second.variance
    for one in first.writers:
        for other in second.writers:
            if one.layer == other.layer:
                is_same = one.unit == other.unit
                variance = variance + 2 * torch.where(is_same, one.swing * other.swing, 0)
    writers = _joined([*first.writers, *second.writers])
    return _alike(first.mean + second.mean, variance.clamp(min=0), writers)


def combined(
    first: Signal, second: Signal, join: Callable[[Tensor, Tensor], Tensor]
) -> Signal | None:
    """The signal after a function of two signals that are functions of the same Gaussian one.

    None if they are not.
    """
    one, other = first.as_law(), second.as_law()
    if one is None or other is None or one.source is not other.source:
        return None
    left, right, source = one.function, other.function, one.source
    if source.mean.shape[:1] != (1,):
        return None

    def joined(points: Tensor) -> Tensor:
        return join(left(points), right(points))

    return _by_law(source, joined)


def gated(signal: Signal, gate: Signal) -> Signal | None:
    """The signal multiplied by a gate that is independent of it; None if units write both.

    None as well if it is not known how far the gate is open.
    """
    shared = {each.layer for each in signal.writers} & {each.layer for each in gate.writers}
    if shared or not gate.mean.isfinite().all():
        return None
    variance = (
        signal.variance * gate.variance
        + signal.variance * gate.mean**2
        + gate.variance * signal.mean**2
    )
    after = signal.after(Moments(signal.mean * gate.mean, variance, gate.mean))
    return dataclasses.replace(after, is_gaussian=False)


def measured(signal: Signal, found: Moments) -> Signal:
    """The signal after an operation whose moments were measured; not as a function of another."""
    return dataclasses.replace(signal.after(found), is_gaussian=signal.is_gaussian)


def pooled(signal: Signal) -> Signal:
    """The signal after a pool.

    A channel moves with its writers as before. By how much its mean rises in a maximum, and its
    variance falls in an average, depends on how alike neighbouring positions are.
    """
    unknown = torch.full_like(signal.mean, torch.nan)
    return measured(signal, Moments(unknown, unknown, torch.ones_like(signal.mean)))


def averaged(signal: Signal, dims: Sequence[int], *, keepdim: bool) -> Signal | None:
    """The signal averaged over positions; None if it is averaged over channels."""
    if any(signal.mean.shape[dim] != 1 for dim in dims):
        return None
    return pooled(signal).rearranged(lambda values: values.amax(tuple(dims), keepdim=keepdim))


def padded(signal: Signal, pads: Sequence[int]) -> Signal | None:
    """The signal with channels of zeros at both ends; zeros at the border of maps are ignored.

    Args:
        signal: of maps.
        pads: as for `torch.nn.functional.pad`.
    """
    channels = [0, 0, 0, 0, *pads[4:]]
    if signal.mean.ndim != 4 or signal.mean.shape[2:] != (1, 1):
        return None
    if not any(channels):
        return signal
    writers = [
        Writer(each.layer, F.pad(each.unit, channels, value=NOBODY), F.pad(each.swing, channels))
        for each in signal.writers
    ]
    mean, variance = F.pad(signal.mean, channels), F.pad(signal.variance, channels)
    return Signal(mean, variance, tuple(writers), is_gaussian=signal.is_gaussian)


def rearranged(
    signals: Mapping[Any, Signal],
    shapes: Mapping[Any, torch.Size],
    move: Callable[[Mapping[Any, Tensor]], Any],
) -> Any:
    """The signals after an operation that gives elements of its inputs at other places.

    The operation is run on tensors that hold the number of each element's channel.

    Args:
        signals: by any names.
        shapes: of what the signals stand for.
        move: runs the operation on tensors by these names.

    Returns:
        Signals in place of the tensors that the operation gives.
    """
    flat = _laid_end_to_end(list(signals.values()))
    numbers, n_before = {}, 0
    for name, signal in signals.items():
        n = signal.mean.numel()
        # Some operations are not defined for integers.
        own = torch.arange(n_before, n_before + n, dtype=torch.float64).view(signal.mean.shape)
        numbers[name], n_before = own.expand(shapes[name]), n_before + n
    device = flat.mean.device

    def signal_of(moved: Any) -> Any:
        if not isinstance(moved, Tensor):
            return moved
        indices = _without_repeats(moved).long().to(device)
        return flat.rearranged(lambda values: values[indices])

    return tree_map(signal_of, move(numbers))


def vector(signal: Signal, dim: int, n_channels: int) -> Signal | None:
    """The signal as vectors of its channels, which lie along a dim; None if it has other ones."""
    shape = list(signal.mean.shape)
    shape[dim] = 1
    is_vector = all(size == 1 for size in shape) and signal.mean.numel() == n_channels
    return signal.rearranged(torch.flatten) if is_vector and signal.writers else None


def _by_law(source: Signal, function: Function) -> Signal | None:
    """A function of a Gaussian signal."""
    found = moments(function, source.mean, source.variance)
    if found is None:
        return None
    law = Law(source, function)
    return dataclasses.replace(source.after(found), law=law, is_gaussian=False)


def _affine(function: Function, factor: Number, shift: Number) -> Function:
    def affine(points: Tensor) -> Tensor:
        return function(points) * _exact(factor) + _exact(shift)

    return affine


def _exact(number: Number) -> Number:
    """A number as the points of a quadrature are."""
    return number.detach().double().cpu() if isinstance(number, Tensor) else number


def _alike(mean: Tensor, variance: Tensor, writers: Sequence[Writer]) -> Signal:
    """A signal whose tensors are broadcast to one shape."""
    tensors = [mean, variance, *(each.swing for each in writers), *(each.unit for each in writers)]
    mean, variance, *rest = torch.broadcast_tensors(*tensors)
    swings, units = rest[: len(writers)], rest[len(writers) :]
    alike = (
        Writer(each.layer, unit, swing)
        for each, unit, swing in zip(writers, units, swings, strict=True)
    )
    return Signal(mean, variance, tuple(alike))


def _joined(writers: Iterable[Writer]) -> list[Writer]:
    """Writers with those of one layer as one, where no two units of it are in one channel."""
    joined: list[Writer] = []
    for writer in writers:
        for position, other in enumerate(joined):
            if other.layer == writer.layer and _fit_together(other.unit, writer.unit):
                unit = torch.maximum(other.unit, writer.unit)
                joined[position] = Writer(other.layer, unit, other.swing + writer.swing)
                break
        else:
            joined.append(writer)
    return joined


def _fit_together(first: Tensor, second: Tensor) -> bool:
    return bool(((first == second) | (first == NOBODY) | (second == NOBODY)).all())


def _laid_end_to_end(signals: Sequence[Signal]) -> Signal:
    """One signal of all channels of several ones, as vectors."""
    mean = torch.cat([each.mean.flatten() for each in signals])
    writers: dict[tuple[str, int], Writer] = {}
    n_before = 0
    for signal in signals:
        n_after = n_before + signal.mean.numel()
        n_of_layer: dict[str, int] = {}
        for each in signal.writers:
            key = each.layer, n_of_layer.setdefault(each.layer, 0)
            n_of_layer[each.layer] += 1
            if key not in writers:
                nobody = torch.full(mean.shape, NOBODY, device=mean.device)
                writers[key] = Writer(each.layer, nobody, torch.zeros_like(mean))
            writers[key].unit[n_before:n_after] = each.unit.flatten()
            writers[key].swing[n_before:n_after] = each.swing.flatten()
        n_before = n_after
    return Signal(
        mean,
        torch.cat([each.variance.flatten() for each in signals]),
        tuple(writers.values()),
        is_gaussian=all(each.is_gaussian for each in signals),
    )


def _without_repeats(values: Tensor) -> Tensor:
    """A tensor with size 1 in each dim along which it does not change."""
    for dim in reversed(range(values.ndim)):
        first = values.narrow(dim, 0, 1)
        if torch.equal(first.expand_as(values), values):
            values = first
    return values
