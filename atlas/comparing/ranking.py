"""From what was measured to a ranking of units and layers: pure functions of records."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from atlas.comparing import AnswersRecord, ExchangeRecord, FiltersRecord
from atlas.comparing.classes import Pair
from atlas.units import Layer, Unit

# The probability that as many units are most like the unit of their own number by chance, up to
# which numbers mean the same in two networks. Where they do, a layer is an exception above the
# second probability.
BY_CHANCE = 1e-4
IN_LAYER = 0.01
MIN_TELLING = 7  # units of a layer that can be an exception; fewer do not show whether they are


@dataclass(frozen=True)
class Exchange:
    """Responses of a pair of units to the pictures of both, at their strongest positions."""

    a_to_a: float | None  # of A's unit to its own picture
    b_to_a: float | None  # of B's unit to the picture of A's unit
    b_to_b: float | None
    a_to_b: float | None

    @property
    def kept(self) -> float | None:
        """How much of a response to the own picture the other network's unit has, 0 to 1.

        The mean of both directions; None without pictures that drive their own unit up.
        """
        shares = [
            min(1.0, max(0.0, other / own))
            for own, other in ((self.a_to_a, self.b_to_a), (self.b_to_b, self.a_to_b))
            if own is not None and other is not None and own > 0
        ]
        return statistics.fmean(shares) if shares else None


@dataclass(frozen=True)
class Alike:
    """The unit of the other network whose answers are most like a unit's."""

    index: int
    correlation: float


@dataclass(frozen=True)
class UnitChange:
    """What was found about a unit of A and its partner in B."""

    unit: Unit  # of A
    partner: int  # index in B
    answers: float | None  # correlation; None where one of them is constant
    constant: str  # which of them is: "", "A", "B" or "both"
    cosine: float | None  # of the weights; None where units of one index are no pair
    norm_ratio: float | None
    alike_in_b: Alike | None
    alike_in_a: Alike | None  # of the partner
    exchange: Exchange | None = None

    @property
    def change(self) -> float:
        """1 minus the correlation of answers: 0 for equal ones, 1 for unrelated, 2 for opposite.

        A unit that is constant in one network only counts as unrelated, in both as equal.
        """
        if self.answers is None:
            return 0.0 if self.constant == "both" else 1.0
        return 1.0 - self.answers

    @property
    def turned(self) -> float | None:
        """1 minus the cosine of the weights."""
        return None if self.cosine is None else 1.0 - self.cosine

    @property
    def lost(self) -> float | None:
        """The share of the response to the own picture that the other unit does not have."""
        kept = self.exchange.kept if self.exchange else None
        return None if kept is None else 1.0 - kept


@dataclass(frozen=True)
class Spread:
    """Where the middle and most of some numbers lie."""

    low: float  # a tenth of them are below
    median: float
    high: float  # a tenth of them are above

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread | None:
        """The spread of those that are known; None if there are none."""
        known = sorted(value for value in values if value is not None)
        if not known:
            return None
        last = len(known) - 1
        return cls(known[round(0.1 * last)], statistics.median(known), known[round(0.9 * last)])


class OwnNumbers(NamedTuple):
    """How many units of A are most like the unit of B of their own index, of how many."""

    n_own: int
    n_units: int

    @classmethod
    def of(cls, answers: AnswersRecord) -> OwnNumbers:
        """Those of a layer, without units that are like none because they are constant."""
        alike = enumerate(answers.alike_in_b)
        is_own = [index == each for index, each in alike if each is not None]
        return cls(sum(is_own), len(is_own))

    def probability(self, n_layers: int = 1) -> float:
        """The probability of as many or more in layers whose numbers mean nothing.

        However large a layer is, chance gives one on average: the matches of a random order are
        distributed as Poisson's law says. Source: https://en.wikipedia.org/wiki/Rencontres_numbers
        """
        terms = (
            math.exp(count * math.log(n_layers) - n_layers - math.lgamma(count + 1))
            for count in range(self.n_own)
        )
        return max(0.0, 1.0 - math.fsum(terms))


@dataclass(frozen=True)
class LayerChange:
    """The units of a layer, the most changed first."""

    layer: Layer
    is_equal: bool  # whether the layer computes the same in both networks
    is_paired: bool  # whether units of one index are taken for a pair
    own: OwnNumbers
    n_images: int
    units: tuple[UnitChange, ...]

    @property
    def own_share(self) -> float | None:
        """The share of units that are most like the unit of their own index; None without any."""
        return self.own.n_own / self.own.n_units if self.own.n_units else None

    @cached_property
    def answers(self) -> Spread | None:
        """Of 1 minus the correlation of answers."""
        return Spread.of(unit.change for unit in self.units)

    @cached_property
    def filters(self) -> Spread | None:
        """Of 1 minus the cosine of weights."""
        return Spread.of(unit.turned for unit in self.units)

    def picked(self, n_units: int) -> tuple[UnitChange, ...]:
        """Units that are shown with pictures, in the order of the ranking.

        Where units of one index are no pair, half of them are those with the best counterpart.
        """
        changed = [unit for unit in self.units if unit.change > 0]
        if self.is_paired or len(changed) <= n_units:
            return tuple(changed[:n_units])
        n_alike = n_units // 2
        return tuple(changed[: n_units - n_alike] + changed[len(changed) - n_alike :])


def are_related(layers: Sequence[Layer], records: Sequence[AnswersRecord]) -> bool:
    """Whether a number means the same unit in two networks: one descends from the other.

    That is so if more units than chance would give are most like the unit of their own number.
    Classifiers, whose numbers mean classes, do not count.

    Args:
        layers: the layers that are compared.
        records: their responses.
    """
    counted = [
        OwnNumbers.of(record)
        for layer, record in zip(layers, records, strict=True)
        if not layer.is_classifier
    ]
    if not counted:
        return False
    together = OwnNumbers(*map(sum, zip(*counted, strict=True)))
    return together.probability(len(counted)) <= BY_CHANCE


def layer_change(
    layer: Layer,
    indices: Sequence[int],
    filters: FiltersRecord,
    answers: AnswersRecord,
    is_related: bool = False,
    classes: Sequence[Pair] = (),
) -> LayerChange:
    """The ranking of some units of a layer.

    Where numbers mean the same, units of one index are a pair. Where they do not, as between
    networks that were trained independently, the partner of a unit is the unit of B whose answers
    are most like its own.

    Args:
        layer: the layer.
        indices: of the units that are ranked.
        filters: its weights.
        answers: its responses.
        is_related: whether numbers mean the same in most layers of the network.
        classes: those that the records of a classifier are about; none: all, by their numbers.
    """
    own = OwnNumbers.of(answers)
    is_paired = layer.is_classifier or filters.is_equal or _by_number(own, is_related)
    all_units = [(index, index) for index in range(layer.n_units)]
    pairs = classes if layer.is_classifier and classes else all_units
    place_of = {index: place for place, (index, _) in enumerate(pairs)}
    changes = (
        _unit_change(layer, pairs, place_of[index], filters, answers, is_paired)
        for index in indices
    )
    return LayerChange(
        layer=layer,
        is_equal=filters.is_equal,
        is_paired=is_paired,
        own=own,
        n_images=answers.n_images,
        units=most_changed(changes, lambda unit: unit.change),
    )


def _by_number(own: OwnNumbers, is_related: bool) -> bool:
    """Whether units of one index are a pair in a layer."""
    if not own.n_units:
        return True
    return is_related and (own.n_units < MIN_TELLING or own.probability() <= IN_LAYER)


def most_changed(
    units: Iterable[UnitChange], by: Callable[[UnitChange], float | None]
) -> tuple[UnitChange, ...]:
    """Units by a number, the highest first; those without one are left out."""
    ranked = [(value, unit) for unit in units if (value := by(unit)) is not None]
    return tuple(unit for _, unit in sorted(ranked, key=lambda each: -each[0]))


def exchanges(pairs: Sequence[Pair], record: ExchangeRecord) -> Mapping[Pair, Exchange]:
    """What each pair of units answered to the pictures of both."""
    rows = zip(record.a_to_a, record.b_to_a, record.b_to_b, record.a_to_b, strict=True)
    return {pair: Exchange(*row) for pair, row in zip(pairs, rows, strict=True)}


def _unit_change(
    layer: Layer,
    pairs: Sequence[Pair],
    place: int,
    filters: FiltersRecord,
    answers: AnswersRecord,
    is_paired: bool,
) -> UnitChange:
    """What was found about the unit of A at a place of the records."""
    own, alike = answers.correlation[place], answers.alike_in_b[place]
    is_own = is_paired or alike is None
    of_partner = place if is_own or alike is None else alike
    return UnitChange(
        unit=layer.unit(pairs[place][0]),
        partner=pairs[of_partner][1],
        answers=own if is_own else answers.alike_in_b_correlation[place],
        constant=_constant(answers.is_constant_a[place], answers.is_constant_b[of_partner]),
        cosine=filters.cosine[place] if is_paired else None,
        norm_ratio=filters.norm_ratio[place] if is_paired else None,
        alike_in_b=_alike(pairs, 1, alike, answers.alike_in_b_correlation[place]),
        alike_in_a=_alike(
            pairs, 0, answers.alike_in_a[of_partner], answers.alike_in_a_correlation[of_partner]
        ),
    )


def _alike(
    pairs: Sequence[Pair], side: int, place: int | None, correlation: float | None
) -> Alike | None:
    if place is None or correlation is None:
        return None
    return Alike(pairs[place][side], correlation)


def _constant(in_a: bool, in_b: bool) -> str:
    if in_a and in_b:
        return "both"
    return "A" if in_a else "B" if in_b else ""
