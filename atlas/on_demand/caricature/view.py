"""The page of a photograph's caricatures: what each layer keeps of it."""

from __future__ import annotations

from atlas.cache import Entry
from atlas.on_demand.caricature import KIND
from atlas.on_demand.page import Page
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.site.on_demand import Pictured, PicturesPage, crop_from_strip, pictures_page
from atlas.site.parts import Fact, Link, layer_link


def caricature_view(contents: Contents, page: Page) -> PicturesPage:
    """The photograph, and its caricature at each layer that was asked for, in forward order."""
    first = page.entries[0]
    name = KIND.record_of(first).name
    photograph = Pictured(
        crop_from_strip(first, 0, f"The photograph {name}, as the network gets it"),
        Link("The photograph", None),
        (),
    )
    caricatures = (_caricature(entry) for entry in page.entries)
    description = f"What layers of {contents.facts.name} keep of one photograph."
    return pictures_page(contents, page, description, (), (photograph, *caricatures))


def _caricature(entry: Entry) -> Pictured:
    record = KIND.record_of(entry)
    return Pictured(
        crop_from_strip(entry, 1, f"Caricature of {record.name} at {record.layer}"),
        layer_link(record.layer, "../"),
        (
            Fact("Likeness", wording.plain(record.cosine)),
            Fact("Likeness of noise", wording.plain(record.cosine_start)),
        ),
    )
