"""What was found of a unit and how far to trust it, in a few plain sentences under its heading."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from atlas.kinds.border import KIND as BORDER
from atlas.kinds.field import KIND as FIELD
from atlas.kinds.filter import KIND as FILTER
from atlas.kinds.filter import is_switched_off
from atlas.kinds.kind import Kind
from atlas.kinds.names import KIND as NAMES
from atlas.kinds.names.view import preferences_of
from atlas.kinds.natural import KIND as NATURAL
from atlas.kinds.noise import KIND as NOISE
from atlas.kinds.tuning import KIND as TUNING
from atlas.kinds.twin import KIND as TWIN
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.text import enumerated
from atlas.units import Layer, Unit
from atlas.vocabulary import score_of

ALIKE, PARTLY_ALIKE = 0.8, 0.5  # least similarity of the pictures from two seeds
CLEARLY = 0.2  # by how much they must be more alike than the pictures of two units


class Border(NamedTuple):
    """How a unit that responds to borders responds to an image of one colour, in words."""

    response: str  # `+13.6 σ`
    place: str  # `top left corner`
    middle: str  # `+0.5 σ`


@dataclass(frozen=True)
class Known:
    """What is known of a unit; None and empty where nothing was measured.

    Responses are those at the strongest position, in the unit of the layer's score.
    """

    is_class: bool = False
    given: str = ""  # name by hand
    name: str = ""  # that photographs gave
    auc: float = 0.0  # of that name
    preferred: tuple[str, ...] = ()  # among drawn stimuli
    tried: tuple[str, ...] = ()  # what could have described it
    has_picture: bool = False
    is_dead: bool = False
    reached: float | None = None  # by the excitatory picture
    begun: float | None = None  # by the noise that a class's picture began with
    one_position: float | None = None  # by the picture of one receptive field
    noise: float | None = None
    photograph: float | None = None  # the best
    similarity: float | None = None  # of the pictures from two seeds
    similarity_other: float | None = None  # of pictures of two units
    rank: int | None = None  # of the class, in the network's answer to its picture
    norm_share: float | None = None  # how far it varies after its BatchNorm, over the median unit
    border: Border | None = None  # what an image of one colour does, if it responds to borders


class Verdict(NamedTuple):
    """The name of a unit, if it has one, and the sentences that follow it."""

    name: str
    sentences: tuple[str, ...]


Standing = Literal[
    "missing",
    "dead",
    "not raised",
    "as noise",
    "below photograph, above it at one position",
    "below photograph",
    "above photographs",
    "above noise",
    "alone",
]
STANDINGS: Mapping[Standing, str] = {
    "missing": "Its picture is not rendered yet.",
    "dead": "No step of the ascent changed its response, so its picture shows nothing.",
    "not raised": "Its picture did not raise its score, and so shows nothing.",
    "as noise": "Its picture drives it no further than plain noise does, and so shows nothing.",
    "below photograph": (
        "The best photograph drives it further than its picture does, so the picture shows only "
        "part of what it responds to."
    ),
    "below photograph, above it at one position": (
        "The best photograph drives it further than the large picture does, though not as far as "
        "the picture of one receptive field: the large picture shows only part of what it "
        "responds to."
    ),
    "above photographs": "Its picture drives it further than any of the photographs does.",
    "above noise": (
        "Its picture drives it further than plain noise does; nothing else was there to compare."
    ),
    "alone": "There is nothing to compare its picture with.",
}
SHOWS_NOTHING: frozenset[Standing] = frozenset(("missing", "dead", "not raised", "as noise"))


def verdict_view(contents: Contents, layer: Layer, unit: Unit) -> Verdict:
    """What is said under the heading of a unit's page, whose name is not said again."""
    found = verdict(known_of(contents, layer, unit))
    return found._replace(name="") if found.name == contents.label(layer, unit.index) else found


def verdict(known: Known) -> Verdict:
    """First what was found, then how far to trust the picture."""
    return Verdict(known.given or known.name, (*_found(known), *_trust(known)))


def standing(known: Known) -> Standing:
    """How a unit's picture stands against all else that the unit was shown."""
    is_below = _exceeds(known.photograph, known.reached)
    is_above_at_one = _exceeds(known.one_position, known.photograph)
    cases: tuple[tuple[Standing, bool], ...] = (
        ("missing", not known.has_picture),
        ("dead", known.is_dead),
        ("alone", known.reached is None),
        ("not raised", known.begun is not None and not _exceeds(known.reached, known.begun)),
        ("as noise", known.noise is not None and not _exceeds(known.reached, known.noise)),
        ("below photograph, above it at one position", is_below and is_above_at_one),
        ("below photograph", is_below),
        ("above photographs", known.photograph is not None),
        ("above noise", known.noise is not None),
    )
    return next((name for name, holds in cases if holds), "alone")


def _exceeds(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and one > other


def _found(known: Known) -> Iterator[str]:
    if known.given:
        yield "A name given by hand."
    if known.name:
        what = f"“{known.name}”" if known.given else "this kind"
        verb = "raise the score" if known.is_class else "drive the unit"
        yield f"Photographs of {what} {verb} further than others do, in {_share(known.auc)}."
    if known.preferred:
        yield f"Of drawn stimuli, it prefers {enumerated(known.preferred)}."
    if not (known.given or known.name or known.preferred or known.is_class):
        yield _undescribed(known.tried)


def _undescribed(tried: Sequence[str]) -> str:
    if not tried:
        return "Nothing was tried yet that would describe it in words."
    return f"No {' and no '.join(tried)} that was tried describes it."


def _share(auc: float) -> str:
    """An AUC in words: it is a share of comparisons of two photographs."""
    return f"{min(99, math.floor(100 * auc))} of 100 comparisons" if auc < 1 else "every comparison"


def _trust(known: Known) -> Iterator[str]:
    if known.norm_share is not None and is_switched_off(known.norm_share):
        yield _about_norm(known.norm_share)
    if known.border:
        yield _about_border(known.border)
    stands = standing(known)
    yield STANDINGS[stands]
    if stands in SHOWS_NOTHING:
        return
    if known.rank is not None:
        yield (
            "The network takes the picture for this class."
            if known.rank == 0
            else "The network takes the picture for another class."
        )
    if known.similarity is not None:
        yield _agreement(known.similarity, known.similarity_other)


def _about_norm(share: float) -> str:
    much = wording.percent(share)
    return (
        f"After its BatchNorm it varies only {much} as much as the layer’s median unit: training "
        "has learned a factor near zero for it."
    )


def _about_border(border: Border) -> str:
    where = "in" if "corner" in border.place else "at"
    return (
        f"An image of one colour drives it to {border.response} {where} the {border.place} of its "
        f"map, and to {border.middle} in the middle: it responds to where images end, which the "
        "padding of maps usually tells it."
    )


def _agreement(similarity: float, other: float | None) -> str:
    if other is not None and similarity - other < CLEARLY:
        return "Its pictures from two seeds are hardly more alike than pictures of two units are."
    if similarity >= ALIKE:
        return "A second seed gives much the same picture."
    if similarity >= PARTLY_ALIKE:
        return "A second seed gives a picture that is alike in part."
    return "A second seed gives another picture, so neither shows all of it."


def known_of(contents: Contents, layer: Layer, unit: Unit) -> Known:
    """All that is known of a unit."""
    names = contents.layer_record(layer, NAMES)
    fit = names.fit(unit.index) if names else None
    is_named = fit is not None and fit.is_name
    picture, twin = contents.excitatory(unit), contents.record(unit, TWIN)
    field, weights = contents.record(unit, FIELD), contents.record(unit, FILTER)
    tuning = contents.layer_record(layer, TUNING)
    return Known(
        is_class=layer.is_classifier,
        given=contents.given_names.get(unit.id, ""),
        name=fit.concept if fit and is_named else "",
        auc=fit.auc if fit and is_named else 0.0,
        preferred=tuple(each.phrase for each in preferences_of(contents, layer, unit.index)),
        tried=tuple(_tried(fit is not None, tuning is not None)),
        has_picture=contents.has_picture(unit),
        is_dead=contents.is_dead(unit),
        reached=picture.peak if picture else None,
        begun=picture.start if picture and layer.is_classifier else None,
        one_position=field.score if field else None,
        noise=_highest(contents, layer, unit, NOISE),
        photograph=_highest(contents, layer, unit, NATURAL),
        similarity=twin.similarity if twin else None,
        similarity_other=twin.similarity_other if twin else None,
        rank=picture.rank if picture and layer.n_units > 1 else None,
        norm_share=weights.norm_share if weights else None,
        border=_border(contents, layer, unit),
    )


def _border(contents: Contents, layer: Layer, unit: Unit) -> Border | None:
    record = contents.layer_record(layer, BORDER)
    if record is None or (place := record.place[unit.index]) is None:
        return None
    response, middle = (
        wording.response(score_of(layer), each[unit.index], 1)
        for each in (record.border, record.middle)
    )
    return Border(response, place, middle)


def _tried(has_fit: bool, has_tuning: bool) -> Iterator[str]:
    if has_fit:
        yield "kind of photograph"
    if has_tuning:
        yield "drawn stimulus"


def _highest(contents: Contents, layer: Layer, unit: Unit, kind: Kind[Any]) -> float | None:
    """A unit's highest response to plain noise or to photographs."""
    record = contents.layer_record(layer, kind)
    highest: float | None = record.ends(unit.index)[1] if record else None
    return highest
