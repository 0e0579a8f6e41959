"""Stages and blocks of a network, decided from its layers and from where its branches join."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from atlas.families.family import LayerPlace

Size = tuple[int, int]
CONTAINERS = frozenset({"Sequential", "ModuleList", "ModuleDict", "Module"})


@dataclass(frozen=True)
class Spot:
    """What the place of a layer depends on."""

    name: str
    map_px: Size | None  # None if it gives one vector per image
    is_classifier: bool = False


@dataclass(frozen=True)
class Junction:
    """A sum or concatenation of branches."""

    module: str  # dotted name of the module that joins them
    layers: tuple[str, ...]  # those on some of the branches and not on all


def places(
    spots: Sequence[Spot], junctions: Sequence[Junction], classes: Mapping[str, str]
) -> tuple[LayerPlace, ...]:
    """The stage and block of each layer.

    The smallest module that holds branches and their junction is a block, and so is every module of
    the same class; of nested blocks the outermost counts. Neighbouring layers with maps of equal
    size are a stage; the layers of a block count with the map that it gives.

    Args:
        spots: the layers in forward order.
        junctions: where branches join.
        classes: names of the modules' classes, by the modules' dotted names.
    """
    modules = _block_modules(junctions, classes)
    blocks = [_block_of(spot.name, modules) for spot in spots]
    runs = _runs(spots, blocks)
    stages = _stage_names(runs)
    named = {
        spot.name: stage for run, stage in zip(runs, stages, strict=True) for spot in run.spots
    }
    return tuple(
        LayerPlace(named[spot.name], block) for spot, block in zip(spots, blocks, strict=True)
    )


@dataclass(frozen=True)
class _Run:
    """Neighbouring layers of a stage."""

    spots: tuple[Spot, ...]
    map_px: Size | None
    is_outside: bool  # whether it is the network's own layers at the beginning or the end
    prefix: str  # the module that holds its layers and blocks


def _block_modules(junctions: Sequence[Junction], classes: Mapping[str, str]) -> set[str]:
    found = {
        _common_prefix([junction.module, *map(_parent, junction.layers)])
        for junction in junctions
        if junction.layers
    } - {""}
    kinds = {classes[name] for name in found if name in classes} - CONTAINERS
    return found | {name for name, kind in classes.items() if name and kind in kinds}


def _block_of(name: str, modules: Collection[str]) -> str | None:
    """The outermost block that a layer is in."""
    parts = name.split(".")
    prefixes = (".".join(parts[:n]) for n in range(1, len(parts) + 1))
    return next((prefix for prefix in prefixes if prefix in modules), None)


def _runs(spots: Sequence[Spot], blocks: Sequence[str | None]) -> list[_Run]:
    sizes = _stage_sizes(spots, blocks)
    first_inside = next((nth for nth, spot in enumerate(spots) if _top(spot.name)), len(spots))
    keyed = [
        (size, not _top(spot.name) and (nth < first_inside or size is None), spot, block)
        for nth, (size, spot, block) in enumerate(zip(sizes, spots, blocks, strict=True))
    ]
    runs = []
    for (size, is_outside), group in itertools.groupby(keyed, key=lambda each: each[:2]):
        members = list(group)
        holders = [_parent(block or spot.name) for *_, spot, block in members]
        run_spots = tuple(spot for _, _, spot, _ in members)
        runs.append(_Run(run_spots, size, is_outside, _common_prefix(holders)))
    return runs


def _stage_sizes(spots: Sequence[Spot], blocks: Sequence[str | None]) -> list[Size | None]:
    """The map size that each layer counts with.

    A block counts with the last map that it gives, apart from the maps of one position that gates
    have. Where larger maps follow, a layer at one position is such a gate, also outside of blocks,
    and counts with the map before it. Where a module works on maps of several sizes side by side,
    so that larger ones follow smaller ones, all of it counts with its last map.
    """
    of_block: dict[str, Size | None] = {}
    for spot, block in zip(spots, blocks, strict=True):
        if block and (_n_positions(spot.map_px) > 1 or block not in of_block):
            of_block[block] = spot.map_px
    sizes = [
        of_block[block] if block else spot.map_px for spot, block in zip(spots, blocks, strict=True)
    ]
    n_before = max(
        (nth for nth, spot in enumerate(spots) if _n_positions(spot.map_px) > 1), default=0
    )
    for nth in range(1, n_before):
        if blocks[nth] is None and _n_positions(spots[nth].map_px) == 1:
            sizes[nth] = sizes[nth - 1]
    by_module: dict[str, list[int]] = {}
    for nth, spot in enumerate(spots):
        by_module.setdefault(_top(spot.name), []).append(nth)
    for module, members in by_module.items():
        areas = [_n_positions(sizes[nth]) for nth in members]
        if module and any(after > before for before, after in itertools.pairwise(areas)):
            for nth in members:
                sizes[nth] = sizes[members[-1]]
    return sizes


def _n_positions(map_px: Size | None) -> int:
    return map_px[0] * map_px[1] if map_px else 1


def _stage_names(runs: Sequence[_Run]) -> list[str]:
    names: list[str] = []
    for nth, run in enumerate(runs):
        others = [spot.name for other in runs if other is not run for spot in other.spots]
        is_alone = not any(name.startswith(f"{run.prefix}.") for name in others)
        name = _stage_name(run, is_first=nth == 0, is_alone=is_alone)
        n_same = sum(other == name or other.startswith(f"{name} (") for other in names)
        names.append(f"{name} ({n_same + 1})" if n_same else name)
    return names


def _stage_name(run: _Run, *, is_first: bool, is_alone: bool) -> str:
    if run.prefix and is_alone:
        return run.prefix
    if any(spot.is_classifier for spot in run.spots) or (run.is_outside and run.map_px is None):
        return "classifier"
    if is_first and run.is_outside:
        return "stem"
    return "{} × {}".format(*(run.map_px or (1, 1)))


def _common_prefix(names: Sequence[str]) -> str:
    """The innermost module that holds all these modules."""
    common: Iterator[tuple[str, ...]] = itertools.takewhile(
        lambda parts: len(set(parts)) == 1, zip(*(name.split(".") for name in names), strict=False)
    )
    return ".".join(parts[0] for parts in common)


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _top(name: str) -> str:
    """The outermost module that holds a layer; empty if only the network does."""
    return name.split(".", maxsplit=1)[0] if "." in name else ""
