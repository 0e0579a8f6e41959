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
            crop_from_strip(entry, nth, f"Synthetic picture for {record.name}: {title}"),
            Link(title, None),
            _facts(contents, record, nth),
        )
        for nth, title in enumerate(_shares(contents, record, share) for share in record.shares)
    )
    subjects = tuple(subject(contents, unit_id) for unit_id in record.units)
    description = f"Two units of {contents.facts.name} in one picture."
    return pictures_page(contents, page, description, subjects, pictures)


def _shares(contents: Contents, record: MixRecord, share: float) -> str:
    """`75 % and 25 %`, and at the ends `conv1:0 alone`."""
    if share in (0, 1):
        return f"{short_name(contents, contents.facts.unit(record.units[int(share)]))} alone"
    return f"{100 * (1 - share):.0f} % and {100 * share:.0f} %"


def _facts(contents: Contents, record: MixRecord, nth: int) -> tuple[Fact, ...]:
    """What each unit answers to a picture."""
    units = [contents.facts.unit(unit_id) for unit_id in record.units]
    return tuple(
        Fact(
            short_name(contents, unit),
            wording.response(score_of(contents.facts.layer(unit.layer)), peak, 1),
        )
        for unit, peak in zip(units, record.peaks[nth], strict=True)
    )
