"""Units that answer alike are neighbours, in their layer and in others."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from atlas.kinds.similar.neighbours import (
    alike_in_answers,
    alike_in_pictures,
    nearest_neighbours,
)
from atlas.network.network import Network
from atlas.pictures.embedding import N_DIMS, Embedder, packed, unpacked


def test_answers_are_alike_as_they_correlate():
    answers = torch.rand(4, 30, generator=torch.Generator().manual_seed(0))
    directions = alike_in_answers(answers)
    np.testing.assert_allclose(directions @ directions.T, np.corrcoef(answers), atol=1e-5)


def test_a_constant_answer_is_like_none(seeded: Network):
    layer = seeded.facts.layers[0]
    answers = torch.rand(4, 30, generator=torch.Generator().manual_seed(0))
    answers[1] = 7.0
    directions = alike_in_answers(answers)
    found = nearest_neighbours(seeded.facts.layers, layer.units, directions, 3)
    assert found[layer.unit(1)] == ([], [])
    assert all(channel != 1 for within, _ in found.values() for _, channel, _ in within)


def test_neighbours_are_the_most_similar_within_and_across_layers(seeded: Network):
    first, second, *_ = layers = seeded.facts.layers
    units = [*first.units, *second.units]
    degrees = torch.tensor([0.0, 10, 30, 60, 12, 33, 64, 180])
    directions = torch.stack([degrees.deg2rad().cos(), degrees.deg2rad().sin()], 1)
    found = nearest_neighbours(layers, units, directions, 2)
    cos = lambda degree: round(float(np.cos(np.radians(degree))), 3)  # noqa: E731
    within, across = found[first.unit(0)]
    assert within == [[0, 1, cos(10)], [0, 2, cos(30)]]
    assert across == [[1, 0, cos(12)], [1, 1, cos(33)]]
    assert found[second.unit(3)][0] == []  # opposite to all
    assert list(found) == units  # and no other


def test_blocks_change_nothing(seeded: Network, monkeypatch):
    units = [unit for layer in seeded.facts.layers for unit in layer.units]
    vectors = torch.randn(len(units), 6, generator=torch.Generator().manual_seed(0))
    directions = alike_in_pictures(vectors)
    whole = nearest_neighbours(seeded.facts.layers, units, directions, 3)
    monkeypatch.setattr("atlas.kinds.similar.neighbours.BLOCK", 5)
    assert nearest_neighbours(seeded.facts.layers, units, directions, 3) == whole


def test_equal_pictures_have_equal_embeddings_and_survive_packing(seeded: Network):
    embed = Embedder(seeded.tap(seeded.facts.layers[-1], "float32"), input_px=48)
    images = torch.rand(3, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    images[2] = images[0]
    points = embed(images)
    assert torch.equal(points[0], points[2]) and not torch.allclose(points[0], points[1])
    text = packed(points[0].tolist())
    np.testing.assert_allclose(unpacked(text), points[0].numpy(), rtol=1e-3)


@pytest.mark.parametrize("size", [1e-8, 1.0, 1e8])
def test_an_embedding_of_any_size_keeps_its_direction(size: float):
    embedding = torch.randn(16, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    kept = torch.from_numpy(unpacked(packed((size * embedding).tolist()))).double()
    torch.testing.assert_close(kept / kept.norm(), embedding / embedding.norm(), rtol=0, atol=1e-3)


def test_many_features_are_projected_and_keep_their_angles():
    class Wide:
        device = torch.device("cpu")
        layer = SimpleNamespace(in_channels=4096, takes_one_size=False, smallest_px=1)

        def normalise(self, images):
            return images

        def inputs(self, images):
            return images.flatten(1)

    features = torch.randn(6, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    features[1] = 0.8 * features[0] + 0.6 * features[1]
    points = Embedder(Wide(), input_px=64)(features)
    assert points.shape == (6, N_DIMS)
    cosines = torch.nn.functional.cosine_similarity(points[:1], points)
    assert abs(cosines[1] - 0.8) < 0.15 and cosines[2:].abs().max() < 0.35
