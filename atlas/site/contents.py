"""Everything that a site is made from."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from atlas import paths
from atlas.cache import Entry
from atlas.canonical import canonical_json
from atlas.kinds import KINDS
from atlas.kinds.excitatory import KIND as EXCITATORY
from atlas.kinds.excitatory import ExcitatoryRecord
from atlas.kinds.kind import Evidence, Kind, SheetOf
from atlas.kinds.map import KIND as MAP
from atlas.lazily import load
from atlas.on_demand import ON_DEMAND, Page, pages_of
from atlas.records import RecordType
from atlas.sheets import SheetKind, SheetPlace, Size, Sprite
from atlas.units import Layer, NetworkFacts, Unit


@dataclass(frozen=True)
class SpecSummary:
    """The settings of the pictures, as the pages show them."""

    recipe: str  # "fourier"
    preset: str  # "standard"
    seed: int
    layers: Mapping[str, Mapping[str, Any]]  # layer -> its excitatory recipe, as plain data


@dataclass(frozen=True)
class Contents:
    """Everything a site is made from. `read` is only called from the thread that writes the site.

    `entries` gives, by unit id and name of the kind, the entries of the unit's artifacts. Artifacts
    that are made once for a whole layer are under the layer's name.
    """

    facts: NetworkFacts
    spec: SpecSummary
    entries: Mapping[str, Mapping[str, Entry]]
    read: Callable[[str], bytes]
    on_demand: tuple[Entry, ...] = ()  # of all pages that somebody asked for
    kinds: Sequence[Kind[Any]] = KINDS
    family_glossary: str = ""  # HTML: entries that only this family of networks needs
    failures: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by unit id, in words
    given_names: Mapping[str, str] = field(default_factory=dict)  # by unit id, given by hand

    def entry(self, unit: Unit, kind: Kind[Any]) -> Entry | None:
        """The entry of a unit's artifact of one kind, None if it was not made."""
        return self.entries.get(unit.id, {}).get(kind.name)

    def record(self, unit: Unit, kind: Kind[RecordType]) -> RecordType | None:
        """The record of a unit's artifact of one kind, None if it was not made."""
        entry = self.entry(unit, kind)
        if entry is None:
            return None
        return entry.record(kind.record, self.facts.layer(unit.layer).score_name)

    @functools.cached_property
    def made_in(self) -> Mapping[str, frozenset[str]]:
        """By layer, names of the kinds of which anything was made there."""
        kinds: dict[str, set[str]] = {layer.name: set() for layer in self.facts.layers}
        for unit_id, made in self.entries.items():
            if layer := self.facts.layer_of(unit_id):
                kinds[layer.name].update(made)
        return {name: frozenset(made) for name, made in kinds.items()}

    def layer_record(self, layer: Layer, kind: Kind[RecordType]) -> RecordType | None:
        """The record of a layer's artifact of one kind, None if it was not made."""
        return self.record(layer.whole, kind)

    @functools.cached_property
    def evidence(self) -> tuple[tuple[Kind[Any], Evidence], ...]:
        """The kinds on the axis of evidence and how they appear on it, in drawing order."""
        sources = [(kind, kind.evidence) for kind in self.kinds if kind.evidence]
        return tuple(sorted(sources, key=lambda each: each[1].order))

    @functools.cached_property
    def cover_kind(self) -> Kind[Any] | None:
        """The kind whose pictures represent whole layers."""
        return next((kind for kind in self.kinds if kind.layer_file == paths.COVER), None)

    def has_cover(self, layer: Layer) -> bool:
        """Whether there is a picture that represents a layer."""
        return self.cover_kind is not None and self.entry(layer.whole, self.cover_kind) is not None

    @property
    def map_entry(self) -> Entry | None:
        """The entry of the map of all units, None if there is none or nothing is on it."""
        entry = self.entry(self.facts.layers[0].whole, MAP)
        return entry if entry and entry.n_bytes else None

    @property
    def has_map(self) -> bool:
        """Whether there is a map of all units."""
        return self.map_entry is not None

    def excitatory(self, unit: Unit) -> ExcitatoryRecord | None:
        """The record of a unit's excitatory picture, None if it was not made."""
        return self.record(unit, EXCITATORY)

    def has_picture(self, unit: Unit) -> bool:
        """Whether there is an excitatory picture of a unit."""
        return EXCITATORY.name in self.entries.get(unit.id, {})

    def failures_in(self, layer: Layer) -> list[str]:
        """What could not be made in a layer and why, in words."""
        units = (layer.whole, *layer.units) if self.failures else ()
        return [words for unit in units for words in self.failures.get(unit.id, ())]

    def is_dead(self, unit: Unit) -> bool:
        """Whether the gradient was zero at every step of a unit's excitatory picture."""
        record = self.excitatory(unit)
        return record is not None and record.dead

    def pictured(self, layer: Layer) -> tuple[Unit, ...]:
        """The units of a layer that have an excitatory picture, in order."""
        return tuple(
            unit for index in self.paged[layer.name] if self.has_picture(unit := layer.unit(index))
        )

    @functools.cached_property
    def digest(self) -> str:
        """A digest of everything that the site shows."""
        parts = [self.digests[layer.name] for layer in self.facts.layers]
        return _digest("".join([*parts, *map(_shown_by, self.on_demand)]))

    @functools.cached_property
    def digests(self) -> Mapping[str, str]:
        """By layer, a digest of everything that its pages show.

        Of other layers, pages only show which of their units have a page or an excitatory picture,
        records of some kinds, and whether there is a map.
        """
        elsewhere = [kind.name for kind in self.kinds if kind.is_shown_elsewhere]
        spec = canonical_json(dataclasses.asdict(self.spec))
        availability = [
            f"{unit_id}{EXCITATORY.name in made}{made.keys() <= self._sheet_kinds}"
            + "".join(_shown_by(made[name]) for name in elsewhere if name in made)
            for unit_id, made in sorted(self.entries.items())
        ]
        names = canonical_json(dict(self.given_names))
        parts = [self.facts.to_json(), spec, names, str(self.has_map), *availability]
        shared = _digest("".join(parts))
        return {
            layer.name: _digest(shared + "".join(self._shown_of(layer)))
            for layer in self.facts.layers
        }

    def _shown_of(self, layer: Layer) -> Iterator[str]:
        if not (self.made_in[layer.name] or self.pages_about or self.failures):
            return
        for unit in (layer.whole, *layer.units):
            for kind, entry in sorted(self.entries.get(unit.id, {}).items()):
                yield f"{kind}{_shown_by(entry)}"
            for page in self.pages_about.get(unit.id, ()):
                yield page.path
            yield from self.failures.get(unit.id, ())

    @functools.cached_property
    def on_demand_pages(self) -> tuple[Page, ...]:
        """The pages that somebody asked for, by their kinds."""
        return pages_of(self.on_demand, ON_DEMAND)

    @functools.cached_property
    def pages_about(self) -> Mapping[str, tuple[Page, ...]]:
        """By the id of a unit or a layer, the pages among them that are about it."""
        about: dict[str, list[Page]] = defaultdict(list)
        for page in self.on_demand_pages:
            for unit_id in dict.fromkeys(page.about):
                about[unit_id].append(page)
        return {unit_id: tuple(pages) for unit_id, pages in about.items()}

    def prepare(self) -> None:
        """Compute the cached properties that all pages use, before several threads read them."""
        _ = self.made_in, self.pages, self._cells_px, self.pages_about, self.prepared

    @functools.cached_property
    def prepared(self) -> Mapping[str, Any]:
        """By kind, what its sections show besides its records."""
        return {kind.name: load(kind.prepare)(self) for kind in self.kinds if kind.prepare}

    @functools.cached_property
    def paged(self) -> Mapping[str, tuple[int, ...]]:
        """By layer, indices of the units that have a page."""
        return {layer.name: self._paged(layer) for layer in self.facts.layers}

    def _paged(self, layer: Layer) -> tuple[int, ...]:
        """The units with an artifact of their own, or else those on sheets or in photographs.

        A sheet is made for several units even if only one of them was chosen.
        """
        units = layer.units if self.made_in[layer.name] else ()
        own = [unit.index for unit in units if self._has_own(unit)]
        return tuple(own or self._on_sheets(layer) or self._shown(layer))

    def _has_own(self, unit: Unit) -> bool:
        made = self.entries.get(unit.id)
        return made is not None and not made.keys() <= self._sheet_kinds

    def _on_sheets(self, layer: Layer) -> list[int]:
        """The units on sheets that are not empty."""
        there = self._sheet_kinds & self.made_in[layer.name]
        sheets = [kind for kind in self.kinds if kind.name in there]
        if not sheets:
            return []
        return [
            index
            for index in range(layer.n_units)
            if any(self.sprite(layer, index, kind) for kind in sheets)
        ]

    def _shown(self, layer: Layer) -> list[int]:
        """The units that a kind shows something of without an artifact of their own."""
        shown = (load(kind.units_shown)(self, layer) for kind in self.kinds if kind.units_shown)
        return sorted({index for indices in shown for index in indices})

    @functools.cached_property
    def _sheet_kinds(self) -> frozenset[str]:
        return frozenset(kind.name for kind in self.kinds if isinstance(kind.scope, SheetOf))

    @functools.cached_property
    def pages(self) -> Mapping[str, Mapping[int, str]]:
        """By layer and unit, the paths of all unit pages."""
        return {
            layer.name: {
                index: paths.unit_page(layer.unit(index)) for index in self.paged[layer.name]
            }
            for layer in self.facts.layers
        }

    @property
    def n_pages(self) -> int:
        """Number of units that have a page."""
        return sum(len(indices) for indices in self.paged.values())

    def n_made(self, kind: Kind[Any]) -> int:
        """Number of artifacts of one kind."""
        return sum(kind.name in made for made in self.entries.values())

    @functools.cached_property
    def n_dead(self) -> int:
        """Number of dead units."""
        return sum(
            self.is_dead(unit) for layer in self.facts.layers for unit in self.pictured(layer)
        )

    def sprite(self, layer: Layer, index: int, kind: Kind[Any]) -> Sprite | None:
        """Where a unit's picture is on the sheets of its kind, None if it was not made."""
        sheets = kind.sheet
        if sheets is None or kind.name not in self.made_in[layer.name]:
            return None
        if isinstance(kind.scope, SheetOf):
            return self._part_of_sheet(layer, index, kind, kind.scope, sheets)
        entry = self.entry(layer.unit(index), kind)
        if entry is None:
            return None
        place = sheets.place(kind.scope.position(layer, index))
        return Sprite(
            place,
            sheets.columns,
            self._cells_px[layer.name, place.sheet],
            sheets.fitted_px((entry.width_px, entry.height_px)),
        )

    def _part_of_sheet(
        self, layer: Layer, index: int, kind: Kind[Any], scope: SheetOf, sheets: SheetKind
    ) -> Sprite | None:
        """The same for artifacts that are sheets; a sheet is empty if no photograph was read."""
        sheet = self.entry(layer.unit(scope.first(index)), kind)
        if sheet is None or not sheet.width_px:
            return None
        n = sheets.columns
        size_px = sheet.width_px // n, sheet.height_px // n
        return Sprite(sheets.place(index), n, size_px, size_px)

    @functools.cached_property
    def _cells_px(self) -> Mapping[tuple[str, str], Size]:
        """By layer and sheet, the size of the sheet's cells, which fit its largest picture."""
        cells: dict[tuple[str, str], Size] = {}
        for layer in self.facts.layers:
            for kind in self.kinds:
                if kind.sheet and not isinstance(kind.scope, SheetOf):
                    for sheet, entries in self.on_sheets(layer, kind, kind.sheet).items():
                        sizes_px = [(each.width_px, each.height_px) for _, each in entries]
                        cells[layer.name, sheet] = kind.sheet.cell_size_px(sizes_px)
        return cells

    def on_sheets(
        self, layer: Layer, kind: Kind[Any], sheets: SheetKind
    ) -> Mapping[str, list[tuple[SheetPlace, Entry]]]:
        """By sheet, its pictures of one kind, each with its place."""
        on_sheet: dict[str, list[tuple[SheetPlace, Entry]]] = defaultdict(list)
        for index in self.paged[layer.name]:
            if entry := self.entry(layer.unit(index), kind):
                place = sheets.place(kind.scope.position(layer, index))
                on_sheet[place.sheet].append((place, entry))
        return on_sheet

    def label(self, layer: Layer, index: int) -> str | None:
        """The name of a class, None for other units."""
        named = layer.is_classifier and index < len(self.facts.labels)
        return self.facts.labels[index] if named else None

    def title(self, layer: Layer, index: int) -> str:
        """What a unit is called in a heading."""
        return self.label(layer, index) or f"Unit {index}"


def _shown_by(entry: Entry) -> str:
    """All of an artifact that can change what a page shows."""
    return f"{entry.key}{entry.sha256}{entry.numbers_json}"


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()
