"""The sections that kinds of artifacts contribute to pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from atlas.kinds.kind import Kind, PagePart, Section
from atlas.lazily import load
from atlas.site.contents import Contents


class SectionView(NamedTuple):
    """A section of one page: its template and what the template reads as `view`."""

    template: str  # in the folder of templates, or "kind/template" in the folder of a kind
    view: Any


class Placed(NamedTuple):
    """A section of pages, contributed by a kind or by the page itself."""

    order: int
    template: str
    make_view: Any  # (contents, layer[, unit]) -> view or None


def unit_sections(contents: Contents, more: Mapping[PagePart, Sequence[Placed]]) -> SectionTable:
    """The sections of the pages of units.

    Args:
        contents: the contents, whose kinds contribute sections.
        more: sections that belong to the page itself.
    """
    return _table(((kind, kind.unit_sections) for kind in contents.kinds), more)


def layer_sections(contents: Contents, more: Mapping[PagePart, Sequence[Placed]]) -> SectionTable:
    """The sections of the pages of layers; arguments as for those of units."""
    return _table(((kind, kind.layer_sections) for kind in contents.kinds), more)


class SectionTable(NamedTuple):
    """The sections at each place of a page, in order."""

    by_place: Mapping[PagePart, tuple[Placed, ...]]

    def views(self, place: PagePart, *arguments: Any) -> tuple[SectionView, ...]:
        """The sections that a page has in one place."""
        views = (
            (placed.template, placed.make_view(*arguments))
            for placed in self.by_place.get(place, ())
        )
        return tuple(SectionView(template, view) for template, view in views if view is not None)


def _table(
    kinds: Iterable[tuple[Kind[Any], Sequence[Section]]], more: Mapping[PagePart, Sequence[Placed]]
) -> SectionTable:
    by_place = {place: list(placed) for place, placed in more.items()}
    for kind, sections in kinds:
        for section in sections:
            order = kind.order if section.order is None else section.order
            placed = Placed(order, f"{kind.name}/{section.template}", load(section.view))
            by_place.setdefault(section.place, []).append(placed)
    return SectionTable(
        {
            place: tuple(sorted(placed, key=lambda each: each.order))
            for place, placed in by_place.items()
        }
    )
