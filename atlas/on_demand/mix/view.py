"""The page of two units in one picture."""

from __future__ import annotations

from atlas.on_demand.mix import KIND, MixRecord
from atlas.on_demand.page import Page
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.site.on_demand import (
    Pictured,
    PicturesPage,
    crop_from_strip,
    pictures_page,
    short_name,
    subject,
)
from atlas.site.parts import Fact, Link
from atlas.vocabulary import score_of


def mix_view(contents: Contents, page: Page) -> PicturesPage:
    """The pictures from the one unit to the other."""
    (entry,) = page.entries
    record = KIND.record_of(entry)
    pictures = tuple(
        Pictured(
            crop_from_strip(entry, nth, f"Synthetic picture that excites {title}"),
            Link(title, None),
            _facts(contents, record, nth),
        )
        for nth, share in enumerate(record.shares)
        if (title := _shares(contents, record, share))
    )
    subjects = tuple(subject(contents, unit_id) for unit_id in record.units)
    description = f"Two units of {contents.facts.name} in one picture."
    return pictures_page(contents, page, description, subjects, pictures)


def _shares(contents: Contents, record: MixRecord, share: float) -> str:
    """`75 % conv1:0, 25 % conv1:2`; a unit without a share is not named."""
    names = (short_name(contents, contents.facts.unit(unit_id)) for unit_id in record.units)
    parts = zip((1 - share, share), names, strict=True)
    return ", ".join(f"{part:.0%} {name}".replace("%", " %") for part, name in parts if part)


def _facts(contents: Contents, record: MixRecord, nth: int) -> tuple[Fact, ...]:
    """What each unit answers to a picture."""
    units = [contents.facts.unit(unit_id) for unit_id in record.units]
    return tuple(
        Fact(
            short_name(contents, unit),
            wording.response(score_of(contents.facts.layer(unit.layer)), peak),
        )
        for unit, peak in zip(units, record.peaks[nth], strict=True)
    )
