"""A caricature is to its layer what the photograph is, and not what another photograph is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Planted, make_network, randomise
from PIL import Image

import atlas
from atlas.asked import AtlasSpec
from atlas.images import read_photograph
from atlas.network.network import Network
from atlas.on_demand import caricature
from atlas.on_demand.caricature.make import Likeness, make
from atlas.renderer import Renderer


def drawing(seed: int, size_px: int = 64) -> Image.Image:
    """Coloured squares at random places."""
    random = np.random.default_rng(seed)
    pixels = np.full((size_px, size_px, 3), 128, np.uint8)
    for _ in range(12):
        top, left = random.integers(0, size_px - 12, 2)
        pixels[top : top + 14, left : left + 14] = random.integers(0, 256, 3)
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def demo() -> Network:
    return atlas.open_network("demo", device="cpu")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "squares.png"
    drawing(0).save(path)
    return path


def made(network: Network, photo: Path, layer: str, preset: str = "standard"):
    """The record, the photograph and the caricature, (H, W, 3) each."""
    asked = AtlasSpec(preset=preset)
    layers = [network.facts.layer(layer)]
    (request,) = caricature.requests(photo, layers, asked, network.facts)
    record, strip = make(Renderer(network), request)
    return record, *np.split(strip, 2, axis=1)


@pytest.mark.parametrize("layer", ["conv1", "layer1.0.conv2", "layer2.1.conv2"])
def test_it_is_more_like_its_photograph_than_noise_or_another_one(
    demo: Network, photo: Path, layer: str
):
    record, photograph, picture = made(demo, photo, layer)
    other = np.asarray(drawing(1, len(photograph)))
    own, found, another = (
        torch.tensor(each).permute(2, 0, 1)[None] / 255 for each in (photograph, picture, other)
    )
    likeness = Likeness(demo.tap(demo.facts.layer(layer)), own, 1.0)
    assert record.cosine == pytest.approx(likeness.cosine(found), abs=0.002)
    assert record.cosine > 0.8
    assert record.cosine > likeness.cosine(another) + 0.5
    assert record.cosine > record.cosine_start + 0.4
    assert likeness.cosine(own) == pytest.approx(1, abs=1e-4)


def test_what_a_planted_layer_sees_is_exaggerated(planted: Network, tmp_path: Path):
    """A left half that is a little red and a right half that is a little green."""
    pixels = np.full((64, 64, 3), 128, np.uint8)
    pixels[:, :32, 0], pixels[:, 32:, 1] = 150, 150
    Image.fromarray(pixels).save(tmp_path / "halves.png")
    _, _, picture = made(planted, tmp_path / "halves.png", "conv1")
    redness = picture[..., 0].astype(float) - picture[..., 1]
    middle = picture.shape[1] // 2
    assert redness[:, : middle - 4].mean() > 60
    assert redness[:, middle + 4 :].mean() < -60


def test_no_unit_counts_more_because_its_numbers_are_larger(photo: Path):
    usual, loud = (randomise(Planted()) for _ in range(2))
    for model in (usual, loud):
        model.bn1.eps = 0.0
    with torch.no_grad():
        loud.conv1.weight[2] *= 1000
        loud.bn1.running_mean[2] *= 1000
        loud.bn1.running_var[2] *= 1000**2
    pictures = [made(make_network(model), photo, "conv1")[2] for model in (usual, loud)]
    first, second = (each.astype(int) for each in pictures)
    assert np.abs(first - second).mean() < 2


def test_a_photograph_is_turned_as_its_file_says(photo: Path, planted: Network, tmp_path: Path):
    turned = drawing(0).transpose(Image.Transpose.ROTATE_90)
    exif = turned.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    turned.save(tmp_path / "turned.png", exif=exif)
    seen = read_photograph(tmp_path / "turned.png", planted.facts.preprocessing)
    layers = planted.facts.layers[:1]
    (first,) = caricature.requests(photo, layers, AtlasSpec(), planted.facts)
    (second,) = caricature.requests(tmp_path / "turned.png", layers, AtlasSpec(), planted.facts)
    np.testing.assert_array_equal(first.pixels, seen)
    assert first.spec == second.spec


def test_unasked_it_is_one_layer_of_each_stage(planted: Network):
    names = [layer.name for layer in caricature.last_of_stages(planted.facts)]
    stages = {layer.stage for layer in planted.facts.layers if not layer.is_classifier}
    assert len(names) == len(stages)
    assert names[-1] == "layer1.1.conv2"
