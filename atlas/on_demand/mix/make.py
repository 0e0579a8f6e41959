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
from atlas.recipes import Fourier, Stage
from atlas.renderer import Renderer
from atlas.units import Unit

LEAST_SCORE = 1e-12  # whose logarithm is taken: nothing drives a dead unit


class Together:
    """Scores each image by a weighted sum of the logarithms of other scores.

    So it rises most by what raises the lower of them, however low that is, and not by the size of
    their numbers. A sum of the scores themselves is highest where one of them has all.

    Args:
        objectives: K of them.
        weights: of each for each image, (B, K).
    """

    def __init__(self, objectives: Sequence[Objective], weights: Tensor) -> None:
        self._objectives, self._weights = objectives, weights

    def score(self, images: Tensor, jitter: Tensor, stage: Stage) -> Tensor:
        """The score of each image: (B, 3, M, M) -> (B,)."""
        scores = [each.score(images, jitter, stage) for each in self._objectives]
        logs = torch.stack(scores, dim=1).clamp(min=LEAST_SCORE).log()  # (B, K)
        return (logs * self._weights).sum(1)


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
    assert spec.shares[0] == 0 and spec.shares[-1] == 1
    recipe, stream = spec.recipe, Stream(spec.recipe.seed, units[0])

    def own(n_images: int, recipe: Fourier = recipe) -> list[OwnResponses]:
        return [
            OwnResponses(tap, [Stream(recipe.seed, unit)] * n_images, recipe)
            for tap, unit in zip(taps, units, strict=True)
        ]

    device = taps[0].device
    first, last = (climb(each, [stream], recipe, device).final for each in own(1))
    shares = torch.tensor(spec.shares[1:-1], device=device)
    parts = torch.stack([1 - shares, shares], dim=1)  # (B - 2, 2)
    # Penalties of the recipe are made for numbers of the size of the scores.
    unvaried = dataclasses.replace(recipe, branch_noise=0.0, branch_gradient=1.0)
    size = parts @ _scores(own(1, unvaried), (first, last))
    together = Together(own(len(shares)), parts * size[:, None])
    between = climb(together, [stream] * len(shares), recipe, device).final
    return torch.cat([first, between, last])


@torch.no_grad()
def _scores(objectives: Sequence[Objective], pictures: Sequence[Tensor]) -> Tensor:
    """Each score for a picture of its own, (1, 3, N, N) each, without jitter: (K,)."""
    stage = Stage(pictures[0].shape[-1], steps=1)
    still = pictures[0].new_zeros(1, 4)
    pairs = zip(objectives, pictures, strict=True)
    return torch.cat([each.score(picture, still, stage) for each, picture in pairs])
