"""What the pages of a comparison share: both contents, pairs of units, and their words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

from atlas import paths
from atlas.cache import Entry
from atlas.comparing.comparison import Ranking
from atlas.comparing.ranking import Alike, LayerChange, UnitChange, most_changed
from atlas.kinds.excitatory import KIND as EXCITATORY
from atlas.sheets import SheetKind, SheetPlace
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.site.parts import Cell, Link
from atlas.units import Layer, Unit
from atlas.vocabulary import words_of

SIDES = ("a", "b")
N_MOST = 24  # pairs on the front page
N_LISTED = 12  # units in each of its other rankings
PAIRS = {side: SheetKind(f"pairs-{side}", columns=6, cell_px=128, quality=55) for side in SIDES}
MOST = {side: SheetKind(f"changed-{side}", columns=6, cell_px=128, quality=55) for side in SIDES}
Each = TypeVar("Each")


@dataclass(frozen=True)
class Compared:
    """What was found, and the contents of both networks' atlases."""

    ranking: Ranking
    a: Contents
    b: Contents

    @cached_property
    def by_layer(self) -> Mapping[str, LayerChange]:
        """What was found, by layer."""
        return {change.layer.name: change for change in self.ranking.layers}

    @cached_property
    def picked(self) -> Mapping[str, tuple[UnitChange, ...]]:
        """By layer, the units that have a page, in the order of the ranking."""
        n_pictured = self.ranking.n_pictured
        return {name: change.picked(n_pictured) for name, change in self.by_layer.items()}

    @cached_property
    def most(self) -> tuple[UnitChange, ...]:
        """The most changed of the units that have a page, which are a few of each layer."""
        picked = [unit for units in self.picked.values() for unit in units]
        return most_changed(picked, lambda unit: unit.change)[:N_MOST]

    @cached_property
    def most_by_answers(self) -> tuple[UnitChange, ...]:
        """The most changed units of the whole network."""
        changed = (unit for unit in self._units() if unit.change > 0)
        return most_changed(changed, lambda unit: unit.change)[:N_LISTED]

    def most_by_filters(self) -> tuple[UnitChange, ...]:
        """The units whose weights have turned most."""
        changed = (unit for unit in self._units() if unit.turned)
        return most_changed(changed, lambda unit: unit.turned)[:N_LISTED]

    def most_by_pictures(self) -> tuple[UnitChange, ...]:
        """The units that answer least to each other's pictures."""
        changed = (unit for unit in self._units() if unit.lost)
        return most_changed(changed, lambda unit: unit.lost)[:N_LISTED]

    def _units(self) -> Iterable[UnitChange]:
        return (unit for change in self.ranking.layers for unit in change.units)

    def layer(self, change: UnitChange) -> Layer:
        """The layer of a pair of units."""
        return self.by_layer[change.unit.layer].layer

    def entries(self, change: UnitChange, kind: str) -> tuple[Entry | None, Entry | None]:
        """The artifacts of one kind of a pair of units."""
        layer = self.layer(change)
        return (
            self.a.entries.get(change.unit.id, {}).get(kind),
            self.b.entries.get(layer.unit(change.partner).id, {}).get(kind),
        )

    def page(self, change: UnitChange) -> str | None:
        """Path of the page of a pair of units, None if it has none."""
        has_page = change.unit in self._paged
        return paths.unit_page(change.unit) if has_page else None

    @cached_property
    def _paged(self) -> frozenset[Unit]:
        return frozenset(change.unit for picked in self.picked.values() for change in picked)

    def title(self, change: UnitChange) -> str:
        """What a pair of units is called in a heading."""
        layer, index = self.layer(change), change.unit.index
        if change.partner == index or layer.is_classifier:
            return self.a.title(layer, index)
        return f"{words_of(layer).plural.capitalize()} {index} and {change.partner}"

    @property
    def labelled_b(self) -> Contents:
        """What has the labels of B: where they are not known, classes have those of A."""
        return self.b if self.ranking.classes.are_by_label else self.a

    def names(self) -> tuple[str, str]:
        """What the weights are called."""
        return self.a.facts.weights, self.b.facts.weights


class PairView(NamedTuple):
    """A unit of A beside its partner in B, small, in a grid."""

    link: Link
    layer: str | None  # where the page does not say it
    cells: tuple[Cell | None, Cell | None]
    note: str


def sheet_places(
    units: Sequence[UnitChange], kind: SheetKind
) -> Iterable[tuple[UnitChange, SheetPlace]]:
    """The place of each pair's picture on a sheet: in the order of the pairs."""
    return ((unit, kind.place(nth)) for nth, unit in enumerate(units))


def pair_view(
    compared: Compared,
    change: UnitChange,
    position: int,
    sheets: Mapping[str, SheetKind],
    root: str,
) -> PairView:
    """A pair of units with small pictures.

    Args:
        compared: what was found.
        change: the pair.
        position: of its pictures on the sheets.
        sheets: kinds of sheets by side.
        root: from the page to the site's root; a page in the root names the unit's layer.
    """
    pictures = compared.entries(change, EXCITATORY.name)
    a, b = (
        _cell(compared, change, side, sheets[side].place(position)) if entry else None
        for side, entry in zip(SIDES, pictures, strict=True)
    )
    return PairView(
        link=unit_link(compared, change, root),
        layer=None if root else change.unit.layer,
        cells=(a, b),
        note=answers_words(change),
    )


def _cell(compared: Compared, change: UnitChange, side: str, place: SheetPlace) -> Cell:
    index = change.unit.index if side == "a" else change.partner
    noun = words_of(compared.layer(change)).noun
    alt = f"Synthetic picture that excites {noun} {index} in {side.upper()}"
    return Cell(place.sheet, place.column, place.row, alt)


def unit_link(compared: Compared, change: UnitChange, root: str) -> Link:
    """A unit of A, with the index of its partner if it is another, and a link if it has a page."""
    page = compared.page(change)
    layer = compared.layer(change)
    text = compared.a.label(layer, change.unit.index) or str(change.unit.index)
    if change.partner != change.unit.index and not layer.is_classifier:
        text = f"{text} and {change.partner}"
    return Link(text, f"{root}{page}" if page else None)


def neighbours(every: Sequence[Each], one: Each) -> tuple[Each | None, Each | None]:
    """What comes before and after one of them, None at the ends."""
    position = every.index(one)
    before = every[position - 1] if position else None
    after = every[position + 1] if position + 1 < len(every) else None
    return before, after


def three(value: float | None) -> str:
    """`0.998` or `−0.050`, with a true minus and without a plus."""
    return "" if value is None else wording.signed(value, 3).lstrip("+")


def answers_words(change: UnitChange) -> str:
    """The correlation of a pair's answers, or why there is none."""
    return three(change.answers) or constant_words(change)


def kept_words(change: UnitChange) -> str:
    """How much is kept of the responses to each other's pictures; empty if it is not known."""
    kept = change.exchange.kept if change.exchange else None
    return "" if kept is None else wording.share(kept)


def alike_words(contents: Contents, layer: Layer, alike: Alike | None) -> str:
    """The most similar unit of a network, whose contents have the labels, with the correlation."""
    if alike is None:
        return "none"
    text = contents.label(layer, alike.index) or str(alike.index)
    return f"{text} ({three(alike.correlation)})"


def constant_words(change: UnitChange) -> str:
    """In which network a unit gives the same response everywhere."""
    return "constant in both" if change.constant == "both" else f"constant in {change.constant}"


def correlation_words(change: UnitChange) -> str:
    """The correlation of a pair's answers, in a sentence."""
    if change.answers is None:
        return f"no correlation, as it is {constant_words(change)}"
    return f"a correlation of {three(change.answers)}"
