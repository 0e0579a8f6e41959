"""`OnDemand`, a kind of page that is made when somebody asks for it, requests for it, and `Page`.

An artifact of such a kind is in the cache under the name of its page and, where a page has several,
its number: "cat-0a1b2c3d" or "cat-0a1b2c3d:7".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from atlas import paths
from atlas.addressing import ArtifactSpec
from atlas.cache import Entry
from atlas.pixels import Pixels
from atlas.records import internal, value
from atlas.text import displayable_name
from atlas.units import NetworkFacts, Unit


@dataclass(frozen=True)
class OnDemandRecord:
    """What all records of these artifacts have."""

    weights: str = internal("digest of the network's weights")
    name: str = value("name of the image's file, or names of the units")


Record = TypeVar("Record", bound=OnDemandRecord)


@dataclass(frozen=True)
class OnDemand(Generic[Record]):
    """One kind of pages that are made on demand.

    Functions that import torch, or parts of the site, are given as `package.module:name`.
    """

    name: str  # of the command, of its artifacts in the cache, and of the folder of its pages
    plural: str  # of the list in the manifest, and after `clean`
    noun: str  # what there are several of
    title: str  # of a page, with {name}
    record: type[Record]
    make: str  # (renderer, request) -> record, and pixels (H, W, 3)
    view: str  # (contents, page) -> view of its template
    template: str
    lines: Callable[[Record, NetworkFacts], Iterable[str]]  # that the command prints
    about: Callable[[Record], Sequence[str]] = lambda _: ()  # units and layers that it is about

    def record_of(self, entry: Entry) -> Record:
        """The record of an artifact, whose field names in JSON do not depend on the score.

        Earlier versions kept names as they were, which some files cannot hold.
        """
        record = entry.record(self.record, "logit")
        shown = displayable_name(record.name)
        return record if shown == record.name else dataclasses.replace(record, name=shown)


@dataclass(frozen=True)
class Request:
    """One artifact that somebody asked for."""

    kind: OnDemand[Any]
    unit: Unit  # the name of the page and the artifact's number, in place of a layer and a unit
    name: str  # of the image's file, or of the units
    spec: ArtifactSpec
    pixels: Pixels | None = None  # of the image that it is about, (H, W, 3)
    is_latest_only: bool = True  # whether it replaces what was made with other settings


class Page(NamedTuple):
    """A page and its artifacts, by their numbers."""

    kind: OnDemand[Any]
    slug: str
    entries: tuple[Entry, ...]

    @property
    def path(self) -> str:
        """Path of the page."""
        return paths.on_demand_page(self.kind.name, self.slug)

    @property
    def pictures(self) -> tuple[str, ...]:
        """Paths of the pictures of the artifacts."""
        return tuple(paths.on_demand_picture(self.kind.name, each.unit) for each in self.entries)

    @property
    def records(self) -> tuple[Any, ...]:
        """The records of the artifacts."""
        return tuple(map(self.kind.record_of, self.entries))

    @property
    def about(self) -> tuple[str, ...]:
        """Ids of the units and layers that it is about."""
        return tuple(unit_id for record in self.records for unit_id in self.kind.about(record))

    @property
    def title(self) -> str:
        """What the page is called in links."""
        return self.kind.title.format(name=self.records[0].name)


def pages_of(entries: Iterable[Entry], kinds: Sequence[OnDemand[Any]]) -> tuple[Page, ...]:
    """The pages of artifacts, by their kinds in order; pages are in the order of making."""
    by_name = {kind.name: kind for kind in kinds}
    grouped: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        slug, _ = paths.on_demand_parts(entry.unit)
        grouped.setdefault((entry.kind, slug), []).append(entry)
    pages = (
        Page(by_name[kind], slug, tuple(sorted(each, key=_number)))
        for (kind, slug), each in grouped.items()
    )
    order = list(by_name)
    return tuple(sorted(pages, key=lambda page: order.index(page.kind.name)))


def _number(entry: Entry) -> int:
    return paths.on_demand_parts(entry.unit)[1] or 0
