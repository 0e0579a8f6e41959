"""Pictures of one network's units, shown to the other: planted filters give known responses."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch
from conftest import IMAGE_PX
from PIL import Image
from test_natural import RED_UNIT

from atlas.comparing.exchange import decoded, exchange_record, peaks
from atlas.network.network import Network

RED = np.full((IMAGE_PX, IMAGE_PX, 3), (250, 10, 10), np.uint8)
GREEN = np.full((IMAGE_PX, IMAGE_PX, 3), (10, 250, 10), np.uint8)
RESPONSE = 4 * (250 - 10) / 255 / 0.25  # of the unit that weighs red against green


@pytest.fixture
def flipped(planted: Network) -> Network:
    """The same network, in which that unit wants green."""
    model = copy.deepcopy(planted.model)
    with torch.no_grad():
        model.conv1.weight[RED_UNIT] *= -1
    return Network(model, planted.facts)


def test_each_unit_answers_to_both_pictures(planted: Network, flipped: Network):
    layer = planted.facts.layer("conv1")
    pairs = [(RED_UNIT, RED_UNIT), (0, RED_UNIT)]
    pictures = ({RED_UNIT: RED}, {RED_UNIT: GREEN})
    record = exchange_record(planted, flipped, layer, pairs, pictures)
    about = [pytest.approx(sign * RESPONSE, rel=0.01) for sign in (1, -1)]
    assert record.a_to_a == [about[0], None]  # there is no picture of A's unit 0
    assert record.b_to_a == [about[1], None]
    assert record.b_to_b == [about[0], about[0]]
    assert record.a_to_b[0] == about[1]
    assert record.a_to_b[1] is not None  # A's Gabor filter sees the picture of its partner


def test_classes_answer_with_their_logits(seeded: Network):
    layer = seeded.facts.classifier
    noise = np.random.default_rng(0).integers(0, 255, (IMAGE_PX, IMAGE_PX, 3), np.uint8)
    image = torch.from_numpy(noise).permute(2, 0, 1)[None] / 255
    logits = seeded.model((image - 0.5) / 0.25)[0].tolist()
    found = peaks(seeded.tap(layer, "float32"), [noise, None, noise], [2, 1, 0], IMAGE_PX)
    assert found == [pytest.approx(logits[2], abs=2e-3), None, pytest.approx(logits[0], abs=2e-3)]


def test_stored_pictures_are_decoded():
    buffer = io.BytesIO()
    Image.fromarray(RED).save(buffer, "WEBP", lossless=True)
    assert (decoded(buffer.getvalue()) == RED).all()
