"""The page of a unit's variants."""

from __future__ import annotations

from atlas.on_demand.page import Page
from atlas.on_demand.variants import KIND, VariantsRecord
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.site.on_demand import Pictured, PicturesPage, crop_from_strip, pictures_page, subject
from atlas.site.parts import Fact, Link
from atlas.vocabulary import Score, score_of


def variants_view(contents: Contents, page: Page) -> PicturesPage:
    """The unit's own picture, then its variants."""
    (entry,) = page.entries
    record = KIND.record_of(entry)
    unit = contents.facts.unit(record.unit)
    score = score_of(contents.facts.layer(unit.layer))
    pictures = tuple(
        Pictured(
            crop_from_strip(entry, nth, f"{_title(nth)} of a picture that excites {record.name}"),
            Link(_title(nth), None),
            tuple(_facts(record, score, nth)),
        )
        for nth in range(len(record.peaks))
    )
    description = f"Several pictures of one unit of {contents.facts.name}, pushed apart."
    subjects = (subject(contents, record.unit),)
    return pictures_page(contents, page, description, subjects, pictures)


def _title(nth: int) -> str:
    return f"Variant {nth}" if nth else "Its own picture"


def _facts(record: VariantsRecord, score: Score, nth: int) -> list[Fact]:
    """What the unit answers to a picture, and how like the others that picture is."""
    facts = [Fact(score.term, wording.response(score, record.peaks[nth], 1))]
    likeness = record.likeness[nth]
    others = [each for other, each in enumerate(likeness) if other not in (0, nth)]
    if nth:
        facts.append(Fact("Like its own picture", wording.plain(likeness[0])))
    if others:
        low, high = wording.plain(min(others)), wording.plain(max(others))
        spread = low if low == high else f"{low} to {high}"
        facts.append(Fact("Like the other variants" if nth else "Like the variants", spread))
    return facts
