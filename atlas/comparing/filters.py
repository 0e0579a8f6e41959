"""How much the weights of two networks differ, unit by unit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from atlas.comparing import FiltersRecord
from atlas.comparing.classes import Pair
from atlas.network.network import Network
from atlas.units import Layer

DIGITS = 6  # after the point, of what is stored


def filters_records(
    a: Network, b: Network, layers: Sequence[Layer], classes: Sequence[Pair] = ()
) -> list[FiltersRecord]:
    """The weights of two networks of one architecture, layer by layer.

    Args:
        a: the first network.
        b: the second.
        layers: layers that are of the same shape in both, except for the number of classes.
        classes: those that are compared; none: each with that of its number.
    """
    first = first_changed(a, b, classes)
    return [
        filters_record(
            *matched(layer, classes, a.weight(layer), b.weight(b.facts.layer(layer.name))),
            is_equal=layer.index < first,
        )
        for layer in layers
    ]


def filters_record(a: Tensor, b: Tensor, *, is_equal: bool) -> FiltersRecord:
    """Two layers' weights, each (n_units, ...); `is_equal` says that nothing before differs."""
    rows_a, rows_b = (weight.flatten(1).cpu().double() for weight in (a, b))
    square_a, square_b = rows_a.square().sum(1), rows_b.square().sum(1)
    # Equal rows give exactly 1, because the root of a square is exact.
    cosine = (rows_a * rows_b).sum(1) / (square_a * square_b).sqrt()
    return FiltersRecord(
        is_equal=is_equal,
        cosine=rounded(cosine.clamp(-1, 1), DIGITS),
        norm_ratio=rounded((square_b / square_a).sqrt(), DIGITS),
    )


def matched(
    layer: Layer, classes: Sequence[Pair], a: Tensor, b: Tensor, dim: int = 0
) -> tuple[Tensor, Tensor]:
    """What belongs to the classes that are compared, in their order; of other layers everything.

    Args:
        layer: the layer that both tensors are of.
        classes: those that are compared; none: each with that of its number.
        a: a tensor of A.
        b: the same of B.
        dim: the dimension that counts units.
    """
    if not (layer.is_classifier and classes):
        return a, b
    numbers_a, numbers_b = torch.tensor(classes, device=a.device).T
    return a.index_select(dim, numbers_a), b.index_select(dim, numbers_b)


def first_changed(a: Network, b: Network, classes: Sequence[Pair] = ()) -> int:
    """Index of the first layer whose responses may differ; the number of layers if none does.

    Layers are in forward order, so what comes before the first module that differs is computed from
    equal numbers. A module that belongs to no layer may be anywhere, so it counts as the first.
    """
    layers = a.facts.layers
    if a.facts.preprocessing.mean != b.facts.preprocessing.mean:
        return 0
    if a.facts.preprocessing.std != b.facts.preprocessing.std:
        return 0
    index_of = {layer.batch_norm: layer.index for layer in layers if layer.batch_norm}
    index_of |= {layer.name: layer.index for layer in layers}
    changed = (index_of.get(module, 0) for module in _changed_modules(a, b, classes))
    return min(changed, default=len(layers))


def _changed_modules(a: Network, b: Network, classes: Sequence[Pair]) -> set[str]:
    """Dotted names of the modules whose parameters or statistics differ."""
    state_a, state_b = a.model.state_dict(), b.model.state_dict()
    classifier = a.facts.classifier
    changed = set()
    for key, tensor in state_a.items():
        module, pair = key.rpartition(".")[0], (tensor, state_b[key])
        if classifier and module == classifier.name:
            pair = matched(classifier, classes, *pair)
        if not key.endswith("num_batches_tracked") and not torch.equal(*pair):
            changed.add(module)
    return changed


def rounded(values: Tensor, digits: int) -> list[float | None]:
    """Values to so many digits after the point; what is not finite becomes None."""
    return [
        round(value, digits) if finite else None
        for value, finite in zip(values.tolist(), values.isfinite().tolist(), strict=True)
    ]
