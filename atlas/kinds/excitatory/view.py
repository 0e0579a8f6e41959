"""The excitatory picture on a unit's page, its numbers, and the classes that it is taken for."""

from __future__ import annotations

from typing import NamedTuple

from atlas import paths
from atlas.cache import Entry
from atlas.kinds.excitatory import KIND, ExcitatoryRecord
from atlas.sheets import SMALL_PX
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.site.parts import Fact, Link, own_name, picture_alt, unit_link
from atlas.units import Layer, Unit
from atlas.vocabulary import score_of, words_of

COLUMN_PX = 538
LEAST_PX = 256  # least shown width, so that it is the largest picture of its page


class ScaleBar(NamedTuple):
    """The receptive field at the scale of the picture, like the bar of a map."""

    words: str
    percent: str | None  # of the picture's width; None if the field is larger


class PictureView(NamedTuple):
    """A large picture and its caption."""

    src: str
    alt: str
    shown_px: int
    pixelated: bool
    caption: str
    scale: ScaleBar | None


class MainPicture(NamedTuple):
    """The picture of a unit's page, None until it is rendered."""

    picture: PictureView | None


class Response(NamedTuple):
    """The numbers of the picture and what they mean."""

    is_dead: bool
    facts: tuple[Fact, ...]
    finding: str | None  # what the numbers mean, in a sentence


class Guess(NamedTuple):
    """One of the classes that the network sees in a class's picture."""

    link: Link
    share: str
    bar: str  # its length in percent, as text for SVG
    own: bool  # whether it is the class of the picture


def median_words(contents: Contents, layer: Layer) -> str:
    """What a layer's units responded to, for their median response."""
    return "their own pictures"


def picture_view(contents: Contents, layer: Layer, unit: Unit) -> MainPicture:
    """The picture of a unit's page."""
    entry = contents.entry(unit, KIND)
    return MainPicture(_picture(contents, layer, unit, entry) if entry else None)


def response_view(contents: Contents, layer: Layer, unit: Unit) -> Response | None:
    """The numbers of a unit's picture, None if it was not made."""
    record = contents.excitatory(unit)
    if record is None:
        return None
    return Response(record.dead, _facts(layer, record), _finding(layer, record))


def guesses_view(contents: Contents, layer: Layer, unit: Unit) -> tuple[Guess, ...] | None:
    """The most probable classes of a class's picture, None for other units."""
    record = contents.excitatory(unit)
    if record is None or not record.top5 or layer.n_units < 2:  # a single class is always first
        return None
    return tuple(
        Guess(
            unit_link(contents, layer.name, index, contents.title(layer, index), "../"),
            wording.percent(share),
            f"{100 * share:.1f}",
            index == unit.index,
        )
        for index, share in record.top5
    )


def _picture(contents: Contents, layer: Layer, unit: Unit, entry: Entry) -> PictureView:
    record = contents.excitatory(unit)
    enlargement = (record.enlargement if record else None) or 1
    seen_px = entry.width_px // enlargement
    size = f"{seen_px} × {seen_px} px"
    if enlargement > 1:
        size += f", enlarged {enlargement} times"
    return PictureView(
        src=own_name(unit, paths.unit_picture(unit)),
        alt=picture_alt(contents, layer, unit.index),
        shown_px=_shown_px(entry.width_px),
        pixelated=entry.width_px < SMALL_PX,
        caption=f"made from noise to excite {_all_of(layer)}; {size}",
        scale=_scale(layer, seen_px) if layer.has_maps and layer.is_traced else None,
    )


def _all_of(layer: Layer) -> str:
    noun = words_of(layer).noun
    return f"all positions of this {noun}" if layer.has_maps else f"this {noun}"


def _shown_px(width_px: int) -> int:
    """The shown width: small pictures are enlarged to their column, but about fourfold at most."""
    return max(width_px, min(max(4 * width_px, LEAST_PX), COLUMN_PX))


def _scale(layer: Layer, seen_px: int) -> ScaleBar:
    field_px = layer.receptive_field_px
    if field_px >= seen_px:
        return ScaleBar(
            f"receptive field {wording.count(field_px)} px, more than the picture", None
        )
    return ScaleBar(f"receptive field {field_px} px", f"{100 * field_px / seen_px:.1f}")


def _facts(layer: Layer, record: ExcitatoryRecord) -> tuple[Fact, ...]:
    score, facts = score_of(layer), []
    if record.peak is not None:
        facts.append(Fact(score.term, wording.response(score, record.peak), about=score.about))
    if layer.n_units < 2:  # its probability among all classes is 1, whatever the picture
        return tuple(facts)
    if record.p is not None:
        facts.append(Fact("Probability", wording.percent(record.p), about="probability"))
    if record.rank is not None:
        rank = f"{record.rank + 1} of {wording.count(layer.n_units)}"
        facts.append(Fact("Rank of this class", rank, about="probability"))
    return tuple(facts)


def _finding(layer: Layer, record: ExcitatoryRecord) -> str | None:
    """The response (mean over the picture, or logit) after the ascent and before it, in words."""
    score, start = score_of(layer), record.start
    if record.score is None:
        return None
    if score.name == "z":
        return _mean_words(layer, wording.response(score, record.score), start)
    if start is None:
        return None
    change = f"from {wording.signed(start)} on the first noise to {wording.signed(record.score)}"
    if record.score <= start:
        return f"The ascent did not raise the {score.noun}: {change}. The picture shows nothing."
    return f"The ascent raised the {score.noun} {change}."


def _mean_words(layer: Layer, mean: str, start: float | None) -> str:
    """The average response over the picture, after the ascent and before it."""
    before = "" if start is None else f", and was {wording.response(score_of(layer), start)}"
    noise = f"{before} on the first noise" if before else ""
    if layer.has_maps:
        return f"The average of all positions is {mean}{noise}."
    return f"The response is {mean}{noise}."
