"""What is said beside a picture: twins, plain noise, photographs."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from conftest import GABOR_ANGLE_DEG, GABOR_PERIOD_PX, IMAGE_PX
from PIL import Image

from atlas.asked import AtlasSpec
from atlas.cache import Cache
from atlas.engine import Engine
from atlas.images import ImageFolder
from atlas.kinds import KINDS
from atlas.kinds.noise import NoiseSpec
from atlas.kinds.noise.make import noise_panel
from atlas.kinds.twin import TwinRecord, TwinSpec
from atlas.kinds.twin.make import similarity, twin_pictures
from atlas.network.network import Network
from atlas.pictures.finished import all_responses, finish
from atlas.pictures.recipes import ascend
from atlas.plan import make_plan
from atlas.recipes import Fourier, Stage
from atlas.records import to_numbers

RECIPE = Fourier((Stage(48, 48),), margin_px=5, objective="power", decay=0.6)
TWIN = TwinSpec(RECIPE, dataclasses.replace(RECIPE, seed=1))


def gabor_image(phase: float = 0.0) -> np.ndarray:
    """A grating as the planted unit wants it, large enough to be cut to the network's input."""
    side = round(IMAGE_PX * 8 / 7)
    y, x = np.mgrid[:side, :side]
    angle = np.radians(GABOR_ANGLE_DEG)
    across = x * np.cos(angle) + y * np.sin(angle)
    wave = np.cos(2 * np.pi * across / GABOR_PERIOD_PX + phase)
    return np.repeat(np.rint(127.5 + 120 * wave).astype(np.uint8)[..., None], 3, axis=2)


@pytest.fixture
def photographs(tmp_path) -> ImageFolder:
    """Grey, a grating, a red and a green field, and a file that is no image."""
    side = round(IMAGE_PX * 8 / 7)
    flat = {"grey": (128, 128, 128), "red": (250, 10, 10), "green": (10, 250, 10)}
    for name, colour in flat.items():
        Image.new("RGB", (side, side), colour).save(tmp_path / f"{name}.png")
    Image.fromarray(gabor_image()).save(tmp_path / "grating.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff not a photograph")
    return ImageFolder.of(tmp_path)


def test_two_seeds_of_one_unit_agree_more_than_two_units(seeded: Network):
    layer = seeded.facts.layer("layer1.1.conv2")
    tap = seeded.tap(layer, "float32")
    twins = twin_pictures(tap, tap, layer.units, TWIN).pictures()
    own = [twin.record.similarity for twin in twins]
    other = [twin.record.similarity_other for twin in twins]
    assert np.mean(own) > np.mean(other)
    assert [twin.unit for twin in twins] == list(layer.units)


def test_a_twin_is_the_picture_of_the_other_seed(seeded: Network):
    layer = seeded.facts.layer("layer1.0.conv1")
    tap = seeded.tap(layer, "float32")
    (twin,) = twin_pictures(tap, tap, layer.units[1:2], TWIN).pictures()
    second = ascend(tap, layer.units[1:2], TWIN.second)
    (alone,) = finish(second, layer.units[1:2], tap, TwinRecord).pictures()
    assert np.abs(twin.pixels.astype(int) - alone.pixels.astype(int)).max() <= 3


def test_similarity_is_a_correlation_that_leaves_the_unit_itself_out():
    one = torch.tensor([[100.0, 1.0, 2.0, 3.0]]).expand(4, -1)
    others = torch.tensor(
        [
            [-100.0, 2.0, 4.0, 6.0],
            [-100.0, 3.0, 2.0, 1.0],
            [0.0, 5.0, 5.0, 5.0],  # a constant
            [3.0, 1.0, 2.0, 4.0],
        ]
    )
    found = similarity(one, others, torch.tensor([0, 0, 0, 3]))
    expected = [1.0, -1.0, math.nan, float(np.corrcoef([100, 1, 2], [3, 1, 2])[0, 1])]
    assert found.tolist() == pytest.approx(expected, abs=1e-6, nan_ok=True)
    one_other_unit = similarity(one[:1, :2], one[:1, :2], torch.tensor([0]))
    assert math.isnan(one_other_unit.item())  # that is no profile


def test_noise_drives_a_linear_unit_as_statistics_say(planted: Network):
    """A sum of many independent pixels: mean 0, and sigma from the weights and the noise's."""
    layer = planted.facts.layers[0]
    record = noise_panel(planted.tap(layer, "float32"), NoiseSpec(IMAGE_PX, 16), 5).record
    assert record.n_images == 16
    deviation = (1 / 12) ** 0.5 / 0.25  # of even noise in 0..1, as the network gets it
    sigma = planted.weight(layer)[0].square().sum().sqrt().item() * deviation
    assert record.score[0] == pytest.approx(0, abs=0.1 * sigma)
    assert 2.5 * sigma < record.highest[0] < 5 * sigma  # the peak of some 2,000 positions
    assert record.lowest[0] == pytest.approx(-record.highest[0], rel=0.2)
    assert record.score[3] == record.highest[3] == record.lowest[3] == 0  # the dead unit


def test_noise_of_a_classifier_is_given_in_logits(planted: Network):
    layer = planted.facts.layers[-1]
    record = noise_panel(planted.tap(layer, "float32"), NoiseSpec(IMAGE_PX, 4), 4).record
    numbers = to_numbers(record, layer.score_name)
    assert set(numbers) == {"n_images", "logit", "logit_max", "logit_min"}
    assert len(numbers["logit"]) == 3
    assert numbers["logit"] == numbers["logit_max"] == numbers["logit_min"]  # of one position


def test_the_batch_of_noise_changes_nothing(seeded: Network):
    tap = seeded.tap(seeded.facts.layers[2], "float32")
    whole, parts = (noise_panel(tap, NoiseSpec(IMAGE_PX, 6), n).record for n in (6, 4))
    assert whole.highest == pytest.approx(parts.highest, abs=2e-3)


def test_watching_all_layers_gives_what_each_tap_gives(seeded: Network):
    images = torch.rand(2, 3, IMAGE_PX, IMAGE_PX, generator=torch.Generator().manual_seed(0))
    for tap, z in seeded.watch(seeded.facts.layers).sigmas(images):
        alone = all_responses(seeded.tap(tap.layer), images)
        torch.testing.assert_close(z, alone, atol=1e-4, rtol=1e-4)


def test_the_engine_makes_every_kind(planted: Network, cache: Cache, photographs: ImageFolder):
    kinds = tuple(kind.name for kind in KINDS)
    spec = AtlasSpec(preset="preview", kinds=kinds, images_sha256=photographs.sha256)
    jobs = make_plan(spec, planted.facts, ()).missing
    artifacts = []

    def commit(batch):
        cache.put(batch)
        artifacts.extend(batch)

    with Engine(planted, cache, photographs) as engine:
        engine.run(jobs, commit)
    assert [a.key for a in artifacts] == [key for job in jobs for key in job.keys]
    assert {a.kind for a in artifacts} == {kind.name for kind in KINDS}
    without_picture = {a.kind for a in artifacts if not a.width_px}
    measured = {"border", "circuit", "noise", "tuning", "natural", "names", "similar"}
    assert without_picture == {*measured, "map", "photographs"}  # files one after another
    assert make_plan(spec, planted.facts, cache.keys()).n_missing == 0
