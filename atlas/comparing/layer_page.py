"""The page of one layer of a comparison: its units, and pictures of some."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from atlas import paths
from atlas.comparing.compared import (
    PAIRS,
    Compared,
    PairView,
    alike_words,
    answers_words,
    kept_words,
    neighbours,
    pair_view,
    three,
    unit_link,
)
from atlas.comparing.ranking import LayerChange, UnitChange
from atlas.site import wording
from atlas.site.parts import Fact, Head, Link
from atlas.vocabulary import words_of


class UnitRow(NamedTuple):
    """One unit in the table of all units of a layer."""

    link: Link
    answers: str
    alike: str
    cosine: str
    length: str
    kept: str


class Group(NamedTuple):
    """Pairs under a heading."""

    heading: str
    words: str
    pairs: tuple[PairView, ...]


class LayerPage(NamedTuple):
    """View of `comparison/layer.html`."""

    head: Head
    name: str
    subtitle: str
    facts: tuple[Fact, ...]
    findings: tuple[str, ...]
    groups: tuple[Group, ...]
    noun: str
    is_paired: bool
    that_differ: str  # how many
    rows: tuple[UnitRow, ...]
    unchanged: str | None  # how many units are left out of the rows
    previous: Link | None
    next: Link | None


def layer_view(compared: Compared, name: str) -> LayerPage:
    """The page of one layer."""
    change = compared.by_layer[name]
    layer, words, network = change.layer, words_of(change.layer), compared.a.facts.name
    names = [each.layer.name for each in compared.ranking.layers]
    before, after = neighbours(names, name)
    changed = [unit for unit in change.units if unit.change > 0 or unit.turned]
    return LayerPage(
        head=Head(
            title=f"{name} · {network}: two weight sets compared",
            description=f"How far the units of {name} in {network} differ between two weight sets.",
            root="../",
        ),
        name=name,
        subtitle=words.layer_subtitle.format(
            kernel=wording.kernel(layer),
            where=f"block {layer.block}" if layer.block else layer.stage,
            units=wording.count(layer.n_units, words.noun, words.plural),
        ),
        facts=_layer_facts(change),
        findings=tuple(_layer_findings(compared, change)),
        groups=tuple(_groups(compared, change)),
        noun=words.noun.capitalize(),
        is_paired=change.is_paired,
        that_differ=wording.count(
            len(changed), f"{words.noun} that differs", f"{words.plural} that differ"
        ),
        rows=tuple(_unit_row(compared, unit) for unit in changed),
        unchanged=_unchanged(change, len(change.units) - len(changed)),
        previous=Link(before, f"../{paths.layer_page(before)}") if before else None,
        next=Link(after, f"../{paths.layer_page(after)}") if after else None,
    )


def _layer_facts(change: LayerChange) -> tuple[Fact, ...]:
    answers, filters = change.answers, change.filters
    if change.is_equal or answers is None:
        return ()
    facts = [Fact("Median correlation of answers", three(1 - answers.median))]
    if filters:
        facts.append(Fact("Median cosine of weights", three(1 - filters.median)))
    if change.own_share is not None:
        share = wording.share(change.own_share)
        own = "class" if change.layer.is_classifier else "number"
        facts.append(Fact(f"Like their own {own}", share))
    return tuple(facts)


def _layer_findings(compared: Compared, change: LayerChange) -> Iterable[str]:
    if change.layer.is_classifier:
        yield f"{compared.ranking.classes.words}."
    if change.is_equal:
        yield (
            "This layer computes the same in both networks: neither its weights nor anything "
            "before it differs."
        )
        return
    if not change.is_paired:
        yield (
            f"{change.own.n_own:,} of {change.own.n_units:,} units of A are most like the unit of "
            "B with their own number, no more than by chance. So each unit of A is compared with "
            "the unit of B whose answers are most like its own; several may share one. Weights are "
            "not compared, as the numbers of their inputs may mean other units as well."
        )
    words = words_of(change.layer)
    constant = [unit for unit in change.units if unit.constant]
    if constant:
        yield (
            f"{wording.count(len(constant), words.noun, words.plural)} gave the same response "
            "everywhere in one of the networks or in both, so there is no correlation."
        )


def _groups(compared: Compared, change: LayerChange) -> Iterable[Group]:
    picked = compared.picked[change.layer.name]
    views = [pair_view(compared, unit, nth, PAIRS, root="../") for nth, unit in enumerate(picked)]
    changed = [unit for unit in change.units if unit.change > 0]
    if not views:
        return
    if change.is_paired or len(changed) <= len(picked):
        yield Group("Differ most", "A on the left, B on the right.", tuple(views))
        return
    n_least = len(picked) - len(picked) // 2
    yield Group(
        "Without a good counterpart",
        "A’s unit on the left, and on the right the unit of B that is most like it.",
        tuple(views[:n_least]),
    )
    yield Group(
        "Best counterparts",
        "Units of A that have learned nearly what the unit of B beside them has.",
        tuple(views[n_least:]),
    )


def _unchanged(change: LayerChange, n_units: int) -> str | None:
    """A sentence about the units that answer the same and have the same weights."""
    if not n_units or change.is_equal:
        return None
    words = words_of(change.layer)
    verb = "has" if n_units == 1 else "have"
    counted = wording.count(n_units, f"other {words.noun}", f"other {words.plural}")
    return f"The {counted} {verb} equal weights and equal answers."


def _unit_row(compared: Compared, change: UnitChange) -> UnitRow:
    return UnitRow(
        link=unit_link(compared, change, "../"),
        answers=answers_words(change),
        alike=alike_words(compared.labelled_b, compared.layer(change), change.alike_in_b),
        cosine=three(change.cosine),
        length="" if change.norm_ratio is None else f"× {change.norm_ratio:.3g}",
        kept=kept_words(change),
    )
