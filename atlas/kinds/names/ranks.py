"""Whether units answer more to the photographs of a concept than to others: rank statistics.

For a unit and a concept, the AUC is the probability that a photograph of the concept drives the
unit harder than another photograph does, where equal responses count half. Its standard score `z`
is its distance from one half in standard deviations of chance.

Every unit is tested for many concepts. So its largest `z` is compared with the largest one for the
same ranks when the photographs are shuffled among the classes. Equal responses are put in a random
order for `z`, so that this distribution is the same for all units. The false-discovery rate is that
over all units.

Sources: Westfall and Young 1993, Resampling-Based Multiple Testing (the largest score under
permuted labels); Benjamini and Hochberg 1995 (the false-discovery rate); Bykov et al. 2023,
https://arxiv.org/abs/2311.13594 (units named by the AUC of WordNet's concepts).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from atlas.kinds.names.concepts import Concept

RANKS_AT_ONCE = 5_000_000  # in memory while photographs are shuffled
ROUNDING = 1e-4  # difference of scores that counts as none
SEED = 0  # of shuffled photographs


class Scores(NamedTuple):
    """How units answer to each concept: (n_concepts, n_units) each."""

    auc: Tensor
    z: Tensor


class ConceptTests:
    """Tests of units for concepts, by their responses to photographs.

    Photographs that are left out count for nothing. Concepts without any photograph, or with all of
    them, are not tested.

    Attributes:
        concepts: those that are tested.
        sizes: number of photographs of each, (n_concepts,).
        n_images: number of photographs in all.
    """

    def __init__(self, classes: Tensor, concepts: Sequence[Concept]) -> None:
        """Count the photographs of each concept.

        Args:
            classes: the class of each photograph, (n,); -1 for those that are left out.
            concepts: what may be tested.
        """
        self._all_classes = classes
        self._images = (classes >= 0).nonzero()[:, 0]
        self._classes = classes[self._images]
        self.n_images = len(self._images)
        n_images = torch.bincount(self._classes, minlength=_n_classes(concepts))
        counts = [int(n_images[list(concept.classes)].sum()) for concept in concepts]
        tested = [nth for nth, count in enumerate(counts) if 0 < count < self.n_images]
        self.concepts = tuple(concepts[nth] for nth in tested)
        self.sizes = torch.tensor([counts[nth] for nth in tested], dtype=torch.double)
        self._members = torch.zeros(len(tested), len(n_images), dtype=torch.double)
        for row, concept in zip(self._members, self.concepts, strict=True):
            row[list(concept.classes)] = 1
        n_pairs = self.sizes * (self.n_images - self.sizes)  # a photograph of it, and another
        self._n_pairs = n_pairs[:, None]  # (n_concepts, 1)
        self._deviation = (self._n_pairs * (self.n_images + 1) / 12).sqrt()  # of a sum of ranks

    def scores(self, responses: Tensor) -> Scores:
        """How units answer to each concept.

        Args:
            responses: of units to all photographs, also those that are left out, (n, n_units).
        """
        order = torch.randperm(self.n_images, generator=torch.Generator().manual_seed(SEED))
        classes = self._classes[order]
        in_order, sharing = _ranks(responses[self._images[order]])
        return Scores(
            auc=0.5 + self._excess(sharing, classes) / self._n_pairs,
            z=self._excess(in_order, classes) / self._deviation,
        )

    def hold(self, responses: Tensor, n_strongest: int) -> Tensor:
        """Whether concepts hold for the strongest photograph of a unit, and for most of the next.

        Args:
            responses: as for `scores`.
            n_strongest: photographs of which a concept must hold for more than half.

        Returns:
            (n_concepts, n_units).
        """
        of_units = responses[self._images]
        strongest = of_units.topk(min(n_strongest, self.n_images), dim=0).indices
        holding = [self._members[:, self._classes[images]] for images in strongest]
        n_holding = torch.zeros_like(holding[0])
        for each in holding:
            n_holding += each
        return (holding[0] > 0) & (n_holding > len(holding) / 2)

    def largest_by_chance(self, n_shuffles: int) -> Tensor:
        """The largest `z` of all concepts for photographs in random order: (n_shuffles,), rising.

        None if there is no concept.
        """
        if not self.concepts:
            return torch.zeros(0)
        generator = torch.Generator().manual_seed(SEED)
        ranks = _twice_centred(torch.arange(self.n_images))
        largest = []
        for n_at_once in _portions(n_shuffles, max(1, RANKS_AT_ONCE // self.n_images)):
            order = torch.rand(self.n_images, n_at_once, generator=generator).argsort(0)
            excess = self._excess(ranks[order], self._classes)
            largest.append((excess / self._deviation).amax(0))
        return torch.cat(largest).sort().values

    def within(self, concept: Concept) -> ConceptTests:
        """Tests among the photographs of one concept for those that are kinds of it."""
        whole = torch.tensor(concept.classes)
        classes = torch.where(torch.isin(self._all_classes, whole), self._all_classes, -1)
        parts = [each for each in self.concepts if set(concept.classes).issuperset(each.classes)]
        return ConceptTests(classes, parts)

    def _excess(self, ranks: Tensor, classes: Tensor) -> Tensor:
        """Each concept's sum of ranks above its expectation.

        Args:
            ranks: twice the ranks less their average, (n_images, n).
            classes: of these photographs, (n_images,).

        Returns:
            (n_concepts, n).
        """
        sums = torch.zeros(self._members.shape[1], ranks.shape[1], dtype=torch.long)
        sums.index_add_(0, classes, ranks)  # exact
        return self._members @ sums.double() / 2


def _n_classes(concepts: Sequence[Concept]) -> int:
    return 1 + max((max(concept.classes) for concept in concepts), default=-1)


def _ranks(responses: Tensor) -> tuple[Tensor, Tensor]:
    """Twice the ranks of responses among those of a unit, less their average, as whole numbers.

    Args:
        responses: (n_images, n_units).

    Returns:
        Ranks with equal responses in the order of the images, and ranks in which equal responses
        share their average: (n_images, n_units) each.
    """
    rising = responses.sort(dim=0, stable=True)
    places = torch.arange(len(responses))[:, None].expand_as(responses)
    is_first = torch.ones_like(rising.values, dtype=torch.bool)  # of equal responses
    is_first[1:] = rising.values[1:] != rising.values[:-1]
    is_last = is_first.roll(-1, 0)
    first = torch.where(is_first, places, 0).cummax(0).values
    last = torch.where(is_last, places, len(responses)).flip(0).cummin(0).values.flip(0)
    sharing = first + last - (len(responses) - 1)
    in_order = _twice_centred(places)
    by_image = torch.empty_like(in_order)
    return (
        by_image.scatter(0, rising.indices, in_order),
        by_image.scatter(0, rising.indices, sharing),
    )


def _twice_centred(places: Tensor) -> Tensor:
    return 2 * places - (len(places) - 1)


def _portions(n: int, most: int) -> Iterator[int]:
    """Numbers of at most `most` that add up to `n`."""
    for start in range(0, n, most):
        yield min(most, n - start)


def corrected_p(z: Tensor, by_chance: Tensor) -> Tensor:
    """The share of largest scores by chance that reach each score, which itself counts as one.

    Args:
        z: scores, of any shape.
        by_chance: the largest scores by chance, rising, (n_shuffles,).
    """
    n_below = torch.searchsorted(by_chance, z - ROUNDING)
    return (1 + len(by_chance) - n_below) / (1 + len(by_chance))


def largest_discovery(p: Tensor, rate: float) -> float:
    """The largest p that counts where at most a share `rate` of discoveries may be false.

    Args:
        p: of all that is tested, (n,).
        rate: the false-discovery rate.

    Returns:
        The p; below 0 if none counts.
    """
    rising = p.sort().values
    limits = rate * torch.arange(1, len(p) + 1) / max(1, len(p))
    counts = (rising <= limits).nonzero()
    return float(rising[counts[-1, 0]]) if len(counts) else -1.0
