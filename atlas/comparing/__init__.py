"""Two weight sets of one architecture: how much does each unit differ between them?

The two networks are called A and B. What is measured is kept in the cache, an artifact for each
layer: `filters` (from the weights alone), `answers` (responses to the same images) and `exchange`
(responses to the pictures of the other network's units).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from atlas.records import per_unit, value
from atlas.units import Preprocessing

N_IMAGES = 512  # of a larger folder, so many are shown to the networks


@dataclass(frozen=True)
class FiltersSpec:
    """The weights of A against those of B."""

    name: ClassVar[str] = "compared-filters"
    version: ClassVar[int] = 1

    other_sha256: str  # of the weights of B


@dataclass(frozen=True, kw_only=True)
class MatchedFiltersSpec(FiltersSpec):
    """The same for classes, of which some have another number in B or are in one network only."""

    classes: tuple[tuple[int, int], ...]  # numbers in A, each with that in B


@dataclass(frozen=True)
class FiltersRecord:
    """How much the weights of a layer's units differ, each unit against its partner.

    Units count from 0 in the order of A. With the specs of matched classes they are the pairs of
    the spec, in its order, and their indices are places in it.
    """

    is_equal: bool = value(
        "whether nothing that the layer computes from differs between the networks"
    )
    cosine: Sequence[float | None] = per_unit(
        "cosine of the angle between the two units' weights; null where all weights are zero"
    )
    norm_ratio: Sequence[float | None] = per_unit(
        "length of the weights in B over that in A; null where all weights of A are zero"
    )


@dataclass(frozen=True)
class AnswersSpec:
    """Responses of A and B to the same images."""

    name: ClassVar[str] = "compared-answers"
    version: ClassVar[int] = 1

    other_sha256: str
    images_sha256: str
    preprocessing: Preprocessing  # that of A, for both
    n_images: int = N_IMAGES


@dataclass(frozen=True, kw_only=True)
class MatchedAnswersSpec(AnswersSpec):
    """The same for classes, of which some have another number in B or are in one network only."""

    classes: tuple[tuple[int, int], ...]  # numbers in A, each with that in B


@dataclass(frozen=True)
class AnswersRecord:
    """Correlations of responses, over all positions of all images; units as in `FiltersRecord`."""

    n_images: int = value("number of images that were read; 0 where the layers are equal")
    n_skipped: int = value("number of images that could not be read")
    correlation: Sequence[float | None] = per_unit(
        "correlation of the two units of one index; null where one of them is constant"
    )
    is_constant_a: Sequence[bool] = per_unit("whether A's unit gives the same response everywhere")
    is_constant_b: Sequence[bool] = per_unit("whether B's unit gives the same response everywhere")
    alike_in_b: Sequence[int | None] = per_unit(
        "the unit of B whose responses correlate best with those of A's unit"
    )
    alike_in_b_correlation: Sequence[float | None] = per_unit("that correlation")
    alike_in_a: Sequence[int | None] = per_unit(
        "the unit of A whose responses correlate best with those of B's unit"
    )
    alike_in_a_correlation: Sequence[float | None] = per_unit("that correlation")


@dataclass(frozen=True)
class ExchangeSpec:
    """Excitatory pictures of units of A, shown to units of B, and the other way round."""

    name: ClassVar[str] = "compared-pictures"
    version: ClassVar[int] = 1

    other_sha256: str
    pairs: tuple[tuple[int, int], ...]  # units of A, each with a unit of B


@dataclass(frozen=True)
class ExchangeRecord:
    """Responses at the strongest position, or logits, in the order of the spec's pairs."""

    a_to_a: Sequence[float | None] = value("response of A's unit to its own picture")
    b_to_a: Sequence[float | None] = value("response of B's unit to the picture of A's unit")
    b_to_b: Sequence[float | None] = value("response of B's unit to its own picture")
    a_to_b: Sequence[float | None] = value("response of A's unit to the picture of B's unit")
