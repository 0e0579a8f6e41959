"""Makes the pictures for two units together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from atlas.network.taps import Tap
from atlas.on_demand.mix import MixRecord, MixSpec
from atlas.on_demand.page import Request
from atlas.pictures.ascent import unit_channels
from atlas.pictures.finished import peaks, quantise
from atlas.pictures.fourier import Objective, OwnResponses, Stream, climb
from atlas.pictures.strip import side_by_side
from atlas.pixels import Pixels
from atlas.recipes import Stage
from atlas.renderer import Renderer
from atlas.units import Unit

LEAST_SCORE = 0.1  # that is divided by: nothing drives a dead unit


class WeightedSum:
    """Scores each image by a weighted sum of other scores.

    Args:
        objectives: K of them.
        weights: of each for each image, (B, K).
    """

    def __init__(self, objectives: Sequence[Objective], weights: Tensor) -> None:
        self._objectives, self._weights = objectives, weights

    def score(self, images: Tensor, jitter: Tensor, stage: Stage) -> Tensor:
        """The score of each image: (B, 3, M, M) -> (B,)."""
        scores = [each.score(images, jitter, stage) for each in self._objectives]
        return (torch.stack(scores, dim=1) * self._weights).sum(1)


def make(renderer: Renderer, request: Request) -> tuple[MixRecord, Pixels]:
    """What the units answer to the pictures; the pictures, side by side.

    Raises:
        NetworkError: a response is not finite.
    """
    spec, facts = request.spec, renderer.network.facts
    assert isinstance(spec, MixSpec)
    units = [facts.unit(unit_id) for unit_id in (spec.first, spec.second)]
    taps = [renderer.taps(facts.layer(unit.layer), spec.recipe) for unit in units]
    levels = quantise(mixed([fast for fast, _ in taps], units, spec))
    each = [
        peaks(exact, levels / 255, unit_channels([unit] * len(levels), exact.device))
        for (_, exact), unit in zip(taps, units, strict=True)
    ]
    rows = [[round(peak, 3) for peak in row] for row in torch.stack(each, dim=1).tolist()]
    unit_ids = [unit.id for unit in units]
    record = MixRecord(facts.identity, request.name, unit_ids, list(spec.shares), rows)
    return record, side_by_side(levels)


def mixed(taps: Sequence[Tap], units: Sequence[Unit], spec: MixSpec) -> Tensor:
    """The pictures for two units, one for each share: (B, 3, N, N) in 0..1.

    Args:
        taps: on the layers of the units.
        units: the two units.
        spec: the shares, from 0 to 1 in order, and the recipe.
    """
    shares = torch.tensor(spec.shares, device=taps[0].device)
    ends, between = shares[[0, -1]], shares[1:-1]
    first, last = _climbed(taps, units, spec, torch.stack([1 - ends, ends], dim=1))
    own = _own_scores(taps, units, spec, torch.stack([first, last]))
    parts = torch.stack([1 - between, between], dim=1)  # (B - 2, 2)
    weights = parts / own * (parts @ own)[:, None]
    return torch.stack([first, *_climbed(taps, units, spec, weights), last])


def _climbed(taps: Sequence[Tap], units: Sequence[Unit], spec: MixSpec, weights: Tensor) -> Tensor:
    """Pictures for weighted sums of the units' scores, (B, 2), all from the first unit's noise."""
    objectives = [
        OwnResponses(tap, [Stream(spec.recipe.seed, unit)] * len(weights), spec.recipe)
        for tap, unit in zip(taps, units, strict=True)
    ]
    streams = [Stream(spec.recipe.seed, units[0])] * len(weights)
    return climb(WeightedSum(objectives, weights), streams, spec.recipe, taps[0].device).final


@torch.no_grad()
def _own_scores(
    taps: Sequence[Tap], units: Sequence[Unit], spec: MixSpec, pictures: Tensor
) -> Tensor:
    """The score of each unit for its own picture, (2, 3, N, N) -> (2,)."""
    stage = Stage(pictures.shape[-1], steps=1)
    still = torch.zeros(1, 4, device=pictures.device)
    unvaried = dataclasses.replace(spec.recipe, branch_noise=0.0)
    scores = [
        OwnResponses(tap, [Stream(0, unit)], unvaried).score(picture[None], still, stage)
        for tap, unit, picture in zip(taps, units, pictures, strict=True)
    ]
    return torch.cat(scores).clamp(min=LEAST_SCORE)
