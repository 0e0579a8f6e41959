"""The page on which units of all layers are found, by what was measured or by a drawn stimulus."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlencode

import numpy as np

from atlas import paths
from atlas.kinds.kind import Preset
from atlas.kinds.names.description import HUES, STRIPES
from atlas.kinds.tuning.view import stimuli_shown
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.site.find_index import Found, FoundNumbers
from atlas.site.network_pages import atlas_card
from atlas.site.parts import Head, Link, layer_link

# The dials that ask for an angle, by the fields of the numbers that say which one a unit prefers.
DIALS_OF_ANGLES = {"orientation_deg": "ask-orientation", "hue_deg": "ask-hue"}


class NumberFilter(NamedTuple):
    """Units are found by a range of a number, or by whether they have it."""

    name: str
    unit: str
    words: str
    about: str  # entry of the glossary, or empty
    low: str  # the smallest there is
    high: str
    full_turn: int  # of an angle, else 0
    is_mark: bool  # whether all units that have it have a 1


class TextFilter(NamedTuple):
    """Units are found by a part of a word."""

    name: str
    words: str
    about: str


class Dial(NamedTuple):
    """One number of a drawn stimulus."""

    key: str  # in the address
    name: str
    unit: str
    low: int
    high: int
    start: int
    full_turn: int  # of an angle, else 0
    words: tuple[str, ...]  # names of angles, evenly spaced from 0


class Stimulus(NamedTuple):
    """A kind of stimulus, with a drawing."""

    key: str
    name: str
    dials: tuple[Dial, ...]


@dataclass(frozen=True)
class FindPage:
    """View of `find.html`."""

    head: Head
    words: str
    layers: tuple[Link, ...]
    presets: tuple[Link, ...]
    stimuli: tuple[Stimulus, ...]
    size_px: int  # of the drawings
    texts: tuple[TextFilter, ...]
    numbers: tuple[NumberFilter, ...]


def find_view(contents: Contents, found: Found) -> FindPage:
    """The page, which a script brings to life."""
    network = contents.facts.name
    paged = (layer.name for layer in contents.facts.layers if contents.paged[layer.name])
    units = wording.count(contents.n_pages, "unit")
    return FindPage(
        head=Head(
            title=f"Find units · {network}",
            description=f"Find units among the {units} of {network} by what they answer to.",
            root="",
            section="find",
            card=atlas_card(contents, paths.FIND),
        ),
        words=units,
        layers=tuple(layer_link(name, "") for name in paged),
        presets=tuple(ready_questions(found)),
        stimuli=tuple(_stimuli(contents)),
        size_px=contents.facts.input_size_px,
        texts=tuple(
            TextFilter(each.column.name, each.column.words, each.column.about)
            for each in found.texts
        ),
        numbers=tuple(_filter(each) for each in found.numbers),
    )


def _filter(numbers: FoundNumbers) -> NumberFilter:
    column = numbers.column
    low, high = float(np.nanmin(numbers.values)), float(np.nanmax(numbers.values))
    return NumberFilter(
        numbers.name,
        numbers.unit,
        column.words,
        numbers.about,
        "0" if column.full_turn else f"{low:.3g}",
        str(column.full_turn or f"{high:.3g}"),
        column.full_turn,
        is_mark=_is_mark(numbers),
    )


def _stimuli(contents: Contents) -> Iterator[Stimulus]:
    """Nothing where units were shown no stimuli."""
    shown = stimuli_shown(contents)
    if shown is None:
        return
    stripes = tuple(words[0] for words in STRIPES)
    hues = tuple(words[0] for words in HUES)
    period, radius = (_dial_of_sizes(shown[name]) for name in ("periods_px", "radii_px"))
    yield Stimulus(
        "stripes",
        "Stripes",
        (
            Dial("ask-orientation", "direction", "°", 0, 179, 45, 180, stripes),
            Dial("ask-period", "period", "px", *period, 0, ()),
        ),
    )
    yield Stimulus("hue", "Colour", (Dial("ask-hue", "hue", "°", 0, 359, 0, 360, hues),))
    yield Stimulus("ring", "Ring", (Dial("ask-ring", "radius", "px", *radius, 0, ()),))


def _dial_of_sizes(sizes_px: list[int]) -> tuple[int, int, int]:
    """Where a dial begins, ends, and stands at first."""
    return sizes_px[0], sizes_px[-1], sizes_px[len(sizes_px) // 2]


def ready_questions(found: Found) -> Iterator[Link]:
    """Questions that at least one unit answers, with the fragments of their addresses.

    Angles are asked for with a stimulus, which has the strongest answers first.
    """
    for numbers in found.numbers:
        dial = DIALS_OF_ANGLES.get(numbers.column.field)
        for preset in numbers.column.presets:
            if any(map(preset.holds, numbers.values.tolist())):
                angle = f"{dial}={_middle(numbers, preset):g}" if dial else ""
                yield Link(preset.name, f"#{angle or _address(numbers, preset)}")


def _middle(numbers: FoundNumbers, preset: Preset) -> float:
    """The angle in the middle of a preset's range, which may run through the full turn."""
    assert preset.low is not None and preset.high is not None
    turn = numbers.column.full_turn
    return (preset.low + (preset.high - preset.low) % turn / 2) % turn


def _address(numbers: FoundNumbers, preset: Preset) -> str:
    """The fragment of the address of a preset, sorted so that its open end comes first."""
    ends = ("" if end is None else f"{end:g}" for end in (preset.low, preset.high))
    name = numbers.name
    state = {name: "..".join(ends)}
    if not _is_mark(numbers):
        state |= {"sort": name} if preset.high is None else {"sort": name, "order": "up"}
    return urlencode(state)


def _is_mark(numbers: FoundNumbers) -> bool:
    """Whether all units that have the number have a 1."""
    return bool(np.nanmin(numbers.values) == np.nanmax(numbers.values) == 1)
