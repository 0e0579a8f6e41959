"""The branches of a block, from the layers that each of its layers reads.

A block is a graph: layers are nodes, and so are the places where branches are joined. Nodes between
two others are contracted and edges between the same two nodes are put side by side until one edge
from the block's input to its output is left, which is then a series of layers and forks. Source:
Valdes, Tarjan, Lawler 1982, The recognition of series parallel digraphs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from atlas.units import Layer, Merge

Mark = Literal["sum", "concat", "product", "mixed"]


@dataclass(frozen=True)
class Fork:
    """Branches that begin with the same maps and are joined again."""

    mark: Mark  # how they are joined
    branches: tuple[Path, ...]  # an empty one hands on what comes in


Path: TypeAlias = tuple[Layer | Fork, ...]

ENTRY, EXIT = "entry of the block", "exit of the block"  # nodes beside its layers and joins


class _Join(NamedTuple):
    """A node where the outputs of several nodes are joined."""

    mark: Mark
    members: frozenset[_Node]  # before earlier joins stood for some of them


_Node: TypeAlias = str | _Join  # a layer's name, ENTRY, EXIT, or a join


class _Edge(NamedTuple):
    source: _Node
    target: _Node
    path: Path = ()


class _Reading(NamedTuple):
    """What a node reads."""

    nodes: frozenset[_Node]
    merge: Merge
    gates: frozenset[_Node] = frozenset()


def path_through(inside: Sequence[Layer], layers: Sequence[Layer]) -> Path | None:
    """The way through a block as a series of layers and forks.

    Args:
        inside: the layers of the block, in forward order.
        layers: those of the network.

    Returns:
        None if the connections are not known, or are no such series.
    """
    if not all(layer.is_traced for layer in inside):
        return None
    readings = {layer.name: _reading(layer, {each.name for each in inside}) for layer in inside}
    wiring = _Wiring(readings)
    for name, reading in readings.items():
        wiring.connect(reading, name)
    wiring.connect(_reading_of_exit(inside, layers), EXIT)
    return _contracted(wiring.edges, {layer.name: layer for layer in inside})


def layers_of(path: Path) -> Iterator[Layer]:
    """The layers of a path, branch after branch."""
    for step in path:
        if isinstance(step, Fork):
            for branch in step.branches:
                yield from layers_of(branch)
        else:
            yield step


def read_by(layer: Layer) -> tuple[str, ...]:
    """The layers that a layer's input is computed from, gates included."""
    return (*(layer.inputs or layer.writers), *layer.gates)


def _reading(layer: Layer, inside: Iterable[str]) -> _Reading:
    """What a layer of the block reads; everything outside is the block's entry."""
    inside = {*inside}
    nodes = {name if name in inside else ENTRY for name in read_by(layer)}
    return _Reading(frozenset(nodes or {ENTRY}), layer.merge, frozenset({*layer.gates} & inside))


def _reading_of_exit(inside: Sequence[Layer], layers: Sequence[Layer]) -> _Reading:
    """What leaves the block: what the first layer after it reads, and what no layer reads.

    The block's input leaves it too if that layer reads it besides.
    """
    names = {layer.name for layer in inside}
    others = [layer for layer in layers if layer.name not in names]
    read_outside = {name for layer in others for name in read_by(layer)}
    read_inside = {name for layer in inside for name in read_by(layer)}
    leaving = {name for name in names if name in read_outside or name not in read_inside}
    reader = next((layer for layer in others if names & {*read_by(layer)}), None)
    if reader is None:
        return _reading_of_nobody(inside, leaving)
    entering = read_inside - names
    skips = bool(entering) and entering <= {*read_by(reader)}
    reads = leaving | ({ENTRY} if skips else set())
    return _Reading(frozenset(reads), reader.merge, frozenset({*reader.gates} & names))


def _reading_of_nobody(inside: Sequence[Layer], leaving: set[str]) -> _Reading:
    """What leaves the last block of a network: in a block, one branch is added to its input."""
    widths = {layer.n_units for layer in inside if layer.name in leaving}
    is_alone = len(leaving) == 1 and inside[0].block is not None
    reads = leaving | ({ENTRY} if is_alone else set())
    return _Reading(frozenset(reads), "sum" if len(widths) == 1 else "concat")


class _Wiring:
    """The edges of a block's graph, with a join wherever a node reads several."""

    def __init__(self, readings: Mapping[str, _Reading]) -> None:
        self.edges: list[_Edge] = []
        self._readings = readings
        self._joins: list[_Join] = []

    def connect(self, reading: _Reading, target: _Node) -> None:
        """Let a node read others."""
        self.edges.append(_Edge(self._source(reading), target))

    def _source(self, reading: _Reading) -> _Node:
        """The node that gives what is read: gates are applied first, then the rest is joined."""
        nodes, mark = reading.nodes - reading.gates, _mark(reading.merge)
        for gate in sorted(reading.gates & reading.nodes, key=str):
            gated = self._gated(gate, nodes) or nodes
            product = self._joined(frozenset({self._joined(gated, mark), gate}), "product")
            nodes = nodes - gated | {product}
        return self._joined(nodes, mark)

    def _gated(self, gate: _Node, nodes: frozenset[_Node]) -> frozenset[_Node]:
        """Of some nodes those that a gate is computed from: these are what it multiplies."""
        found: set[_Node] = set()
        ahead, seen = [gate], {gate}
        while ahead:
            reading = self._readings.get(str(ahead.pop()))
            for node in (reading.nodes if reading else frozenset()) - seen:
                seen.add(node)
                (found.add if node in nodes else ahead.append)(node)
        return frozenset(found)

    def _joined(self, nodes: frozenset[_Node], mark: Mark) -> _Node:
        """The join of some nodes, made of earlier joins of some of them where there are any."""
        if len(nodes) < 2:
            return next(iter(nodes), ENTRY)
        join = _Join(mark, nodes)
        if join not in self._joins:
            parts = self._parts(nodes, mark)
            self.edges += (_Edge(part, join) for part in parts)
            self._joins.append(join)
        return join

    def _parts(self, nodes: frozenset[_Node], mark: Mark) -> frozenset[_Node]:
        """Some nodes, with earlier joins of the same kind in place of those that they join."""
        parts = nodes
        for join in sorted(self._joins, key=lambda each: -len(each.members)):
            if join.mark == mark and join.members <= parts:
                parts = parts - join.members | {join}
        return parts


def _mark(merge: Merge) -> Mark:
    return merge or "sum"


def _contracted(edges: Iterable[_Edge], layers: Mapping[str, Layer]) -> Path | None:
    """The path of the one edge that is left when all others are contracted; None if more are."""
    graph = _Graph(edges, layers)
    ahead = [*graph.into]
    while ahead:
        ahead += graph.simplify(ahead.pop())
    return graph.only_path


class _Graph:
    """Edges by their ends."""

    def __init__(self, edges: Iterable[_Edge], layers: Mapping[str, Layer]) -> None:
        self.into: dict[_Node, list[_Edge]] = defaultdict(list)
        self._out_of: dict[_Node, list[_Edge]] = defaultdict(list)
        self._layers = layers
        for edge in edges:
            self._add(edge)

    @property
    def only_path(self) -> Path | None:
        """The path of the only edge, None if there are several."""
        left = [edge for edges in self.into.values() for edge in edges]
        return left[0].path if len(left) == 1 and left[0][:2] == (ENTRY, EXIT) else None

    def simplify(self, node: _Node) -> list[_Node]:
        """Contract what ends at a node, and the node itself; returns what may be simpler now."""
        changed = [source for source in self._sources(node) if self._fork(source, node)]
        if node not in (ENTRY, EXIT) and len(self.into[node]) == len(self._out_of[node]) == 1:
            changed.append(self._skip(node))
        return changed

    def _sources(self, node: _Node) -> list[_Node]:
        return [*dict.fromkeys(edge.source for edge in self.into[node])]

    def _fork(self, source: _Node, target: _Node) -> bool:
        """Make one edge of several between two nodes."""
        edges = [edge for edge in self.into[target] if edge.source == source]
        if len(edges) < 2 or not isinstance(target, _Join):
            return False
        for edge in edges:
            self._remove(edge)
        self._add(_Edge(source, target, (_fork_of(target.mark, edges),)))
        return True

    def _skip(self, node: _Node) -> _Node:
        """Make one edge of those before and after a node; returns where it ends."""
        (before,), (after,) = self.into[node], self._out_of[node]
        own: Path = (self._layers[node],) if isinstance(node, str) else ()
        self._remove(before)
        self._remove(after)
        self._add(_Edge(before.source, after.target, before.path + own + after.path))
        return after.target

    def _add(self, edge: _Edge) -> None:
        self.into[edge.target].append(edge)
        self._out_of[edge.source].append(edge)

    def _remove(self, edge: _Edge) -> None:
        self.into[edge.target].remove(edge)
        self._out_of[edge.source].remove(edge)


def _fork_of(mark: Mark, edges: Iterable[_Edge]) -> Fork:
    """A fork; branches that are forks of the same kind are taken apart."""
    branches: list[Path] = []
    for edge in edges:
        first = edge.path[0] if len(edge.path) == 1 else None
        if isinstance(first, Fork) and first.mark == mark:
            branches += first.branches
        else:
            branches.append(edge.path)
    return Fork(mark, tuple(sorted(branches, key=_first_index)))


def _first_index(path: Path) -> int:
    """The index of a path's first layer in forward order, -1 for an empty path."""
    return min((layer.index for layer in layers_of(path)), default=-1)
