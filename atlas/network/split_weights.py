"""Weights that a file has in parts: of weight and spectral normalisation, and of pruning.

Sources: torch.nn.utils.weight_norm, spectral_norm and prune, whose hooks call the parts `weight_g`,
`weight_v`, `weight_u`, `weight_orig` and `weight_mask`, and torch.nn.utils.parametrizations:
https://docs.pytorch.org/docs/stable/nn.html#utilities
"""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from torch import Tensor

from atlas.network.stored import StoredTensor
from atlas.network.weights import Weights

# A part's key: of the layer, of its tensor, and of the part.
_HOOKED = re.compile(r"(?P<layer>(?:.*\.)?)(?P<name>[a-z]+)_(?P<part>g|v|u|orig|mask)")
_PARAMETRISED = re.compile(
    r"(?P<layer>(?:.*\.)?)parametrizations\.(?P<name>[a-z]+)\.(?P<part>original[01]?|0\._[uv])"
)


def is_part(name: str) -> bool:
    """Whether a tensor's name is that of a part."""
    return bool(_HOOKED.fullmatch(name) or _PARAMETRISED.fullmatch(name))


def with_whole_tensors(weights: Weights) -> Weights:
    """Weights with a tensor in place of each group of parts that makes one."""
    groups = _groups(weights.tensors)
    wholes: dict[str, Callable[[], Tensor]] = {}
    tensors = dict(weights.tensors)
    for whole, keys in groups.items():
        make = _MADE_OF.get(frozenset(keys))
        if make is None or whole in tensors:
            continue
        _, main = make
        if not all(_belongs(tensors[key], tensors[keys[main]]) for key in keys.values()):
            continue
        wholes[whole] = partial(_made, weights, keys, make[0])
        tensors[whole] = tensors[keys[main]]
        for key in keys.values():
            del tensors[key]
    order = {key: place for place, key in enumerate(weights.tensors)}
    first = {whole: min(order[key] for key in groups[whole].values()) for whole in wholes}
    ordered = sorted(tensors, key=lambda key: first.get(key, order.get(key, 0)))
    return dataclasses.replace(weights, tensors={key: tensors[key] for key in ordered}, made=wholes)


def _groups(keys: Iterable[str]) -> dict[str, dict[str, str]]:
    """The keys of parts, by the name of the tensor that they make, and by what they are."""
    groups: dict[str, dict[str, str]] = defaultdict(dict)
    for key in keys:
        if match := _HOOKED.fullmatch(key) or _PARAMETRISED.fullmatch(key):
            groups[f"{match['layer']}{match['name']}"][match["part"].removeprefix("0._")] = key
    return groups


def _belongs(part: StoredTensor, main: StoredTensor) -> bool:
    """Whether a part has numbers, and a shape that one of this main part can have."""
    if part.dtype is None or not part.dtype.is_floating_point or not main.n_items:
        return False
    if len(part.shape) == 1 < len(main.shape):  # a singular vector
        return part.shape[0] in (main.shape[0], main.n_items // main.shape[0])
    sides = zip(part.shape, main.shape, strict=False)
    same = len(part.shape) == len(main.shape)
    return not part.shape or (same and all(side in (1, whole) for side, whole in sides))


def _made(
    weights: Weights, keys: Mapping[str, str], make: Callable[[Mapping[str, Tensor]], Tensor]
) -> Tensor:
    return make({part: weights.read(key).float() for part, key in keys.items()})


def _normalised(direction: Tensor, length: Tensor) -> Tensor:
    """A tensor whose slices have these lengths; a slice extends where `length` has size 1."""
    sides = [side for side in range(direction.ndim) if not length.ndim or length.shape[side] == 1]
    squares = direction.square()
    return direction * length / (squares.sum(sides, keepdim=True) if sides else squares).sqrt()


def _divided(original: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """A tensor divided by its largest singular value, whose vectors are known."""
    return original / (left @ original.flatten(1) @ right)


# By the parts of a tensor, what makes it of them, and the part that has its shape.
_MADE_OF: Mapping[frozenset[str], tuple[Callable[[Mapping[str, Tensor]], Tensor], str]] = {
    frozenset("gv"): (lambda parts: _normalised(parts["v"], parts["g"]), "v"),
    frozenset({"original0", "original1"}): (
        lambda parts: _normalised(parts["original1"], parts["original0"]),
        "original1",
    ),
    frozenset({"orig", "mask"}): (lambda parts: parts["orig"] * parts["mask"], "orig"),
    frozenset({"orig", "u", "v"}): (
        lambda parts: _divided(parts["orig"], parts["u"], parts["v"]),
        "orig",
    ),
    frozenset({"original", "u", "v"}): (
        lambda parts: _divided(parts["original"], parts["u"], parts["v"]),
        "original",
    ),
}
