"""The demo network against measures that are older than any network.

A class whose look is known by analysis - the angle and width of stripes, the square symmetry of
checks, a hue - is measured twice: in the drawings the network was trained on, which says that the
measure is right, and in the picture synthesised for its logit, which says that the product is.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from atlas.asked import AtlasSpec
from atlas.families import find_family
from atlas.families.demo import INPUT_SIZE_PX, PREPROCESSING, WEIGHTS_PATH
from atlas.families.demo.drawings import DRAWINGS, Drawing, draw_batch
from atlas.families.demo.images import N_PER_CLASS, SOURCE
from atlas.families.demo.network import build_demo
from atlas.families.demo.train import Training, accuracy, train
from atlas.kinds.excitatory import ExcitatoryRecord
from atlas.network.load import load_network
from atlas.network.network import Network
from atlas.pictures import fourier
from atlas.pictures.finished import finish
from atlas.pictures.picture import Picture
from atlas.pixels import Pixels
from atlas.recipes import Fourier, unit_recipe

FAMILY = find_family("demo")
LABELS = [drawing.label for drawing in DRAWINGS]
STRIPES = [drawing for drawing in DRAWINGS if drawing.angle_deg is not None]
HUES = [drawing for drawing in DRAWINGS if drawing.hue_deg is not None]
ROUND_PATTERNS = ("dots", "rings", "rays")


def by_label(drawing: Drawing) -> str:
    return drawing.label


# What is measured


def main_wave(images: Sequence[Pixels]) -> tuple[float, float]:
    """Angle of the lines in degrees, 0..180, and wavelength in pixels, at the spectrum's centre.

    The centre of the power, not its highest point: lines that bend a little have many peaks.
    """
    power, fx, fy = power_spectrum(images)
    doubled = np.exp(2j * np.arctan2(fx, fy))  # a line has no front: 0 and 180 are the same
    angle = np.degrees(np.angle((power * doubled).sum())) / 2 % 180
    wavelength = 1 / np.average(np.hypot(fx, fy), weights=power**2)
    return float(angle), float(wavelength)


def square_symmetry(images: Sequence[Pixels]) -> float:
    """1 where all waves run along the sides of the image, -1 along its diagonals, 0 for neither."""
    power, fx, fy = power_spectrum(images)
    return float((power * np.cos(4 * np.arctan2(fy, fx))).sum() / power.sum())


def directedness(images: Sequence[Pixels]) -> float:
    """1 for waves in one direction only, 0 for all directions alike."""
    power, fx, fy = power_spectrum(images)
    return float(np.abs((power * np.exp(2j * np.arctan2(fy, fx))).sum()) / power.sum())


def dominant_hue(images: Sequence[Pixels]) -> float:
    """The hue in degrees around which the images' colour is densest."""
    votes = np.zeros(360)
    for image in images:
        hsv = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
        chroma = hsv[..., 1] * hsv[..., 2]
        votes += np.histogram(hsv[..., 0], 360, (0, 360), weights=chroma)[0]
    return float(cv2.GaussianBlur(np.tile(votes, 3), (0, 0), 12).ravel()[360:720].argmax())


def power_spectrum(images: Sequence[Pixels]) -> tuple[NDArray, NDArray, NDArray]:
    """Power per frequency, smoothed, rid of the 1/f that every picture has, and where it is."""
    size_px = images[0].shape[0]
    padded_px = 4 * size_px  # a finer grid of frequencies
    window = np.hanning(size_px)[:, None] * np.hanning(size_px)
    fy, fx = np.meshgrid(*2 * [np.fft.fftshift(np.fft.fftfreq(padded_px))], indexing="ij")
    frequency = np.hypot(fx, fy)
    power = np.zeros_like(frequency)
    for image in images:
        waves = (image - image.mean((0, 1))) / 255 * window[..., None]  # (H, W, 3)
        power += (np.abs(np.fft.fft2(waves, (padded_px, padded_px), axes=(0, 1))) ** 2).sum(2)
    power = cv2.GaussianBlur(np.fft.fftshift(power), (0, 0), 4.0) * frequency
    return power * ((frequency > 1 / 30) & (frequency < 1 / 4)), fx, fy


def turn_between(angle: float, other: float, whole: float = 180) -> float:
    """The smaller way round from one angle to another."""
    return abs((angle - other + whole / 2) % whole - whole / 2)


# The drawings


def drawn(drawing: Drawing, n_images: int = 12) -> list[Pixels]:
    rng = np.random.default_rng(3)
    return [drawing.draw(rng) for _ in range(n_images)]


def test_drawings_repeat_from_a_seed() -> None:
    first, second = (draw_batch(np.random.default_rng(5), 8) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert first[0].shape == (8, INPUT_SIZE_PX, INPUT_SIZE_PX, 3)


def test_labels_are_distinct() -> None:
    assert len(set(LABELS)) == len(LABELS)


@pytest.mark.parametrize("drawing", STRIPES, ids=by_label)
def test_drawn_stripes_measure_as_asked(drawing: Drawing) -> None:
    assert drawing.angle_deg is not None and drawing.wavelength_px is not None
    low, high = drawing.wavelength_px
    for image in drawn(drawing):
        angle, wavelength = main_wave([image])
        assert turn_between(angle, drawing.angle_deg) < 10
        assert low / 1.15 < wavelength < high * 1.15


@pytest.mark.parametrize("drawing", HUES, ids=by_label)
def test_drawn_hues_measure_as_asked(drawing: Drawing) -> None:
    assert drawing.hue_deg is not None
    for image in drawn(drawing):
        assert turn_between(dominant_hue([image]), drawing.hue_deg, 360) < 20


def test_drawn_symmetries_measure_as_they_look() -> None:
    symmetry = {label: square_symmetry(drawn(DRAWINGS[LABELS.index(label)])) for label in LABELS}
    assert symmetry["grid"] > 0.3
    assert symmetry["checks"] < -0.3
    assert all(abs(symmetry[label]) < 0.15 for label in ROUND_PATTERNS)


def test_drawings_stand_in_for_photographs_with_labels_of_their_own() -> None:
    images = FAMILY.images()
    assert images is not None
    assert images.labels == tuple(LABELS)
    assert len(images.files) == N_PER_CLASS * len(LABELS)
    assert images.files[0] == "00/00.png"
    file = "07/03.png"
    assert file in images.files
    assert images.label(file) == LABELS[7]
    pixels = images.load(file, PREPROCESSING)
    expected = DRAWINGS[7].draw(np.random.default_rng((7, 3)))
    np.testing.assert_array_equal(pixels, expected)
    ((position, first),) = next(images.batches(PREPROCESSING, 1, first=7 * N_PER_CLASS + 3))
    assert images.files[position] == file
    np.testing.assert_array_equal(first, expected)


def test_the_identity_of_the_drawings_is_that_of_their_source() -> None:
    """As it was before it moved, so that what was made from them is found again."""
    source = SOURCE.read_bytes().replace(b"atlas.families.demo", b"atlas.demo")
    images = FAMILY.images()
    assert images is not None
    assert images.sha256 == hashlib.sha256(source).hexdigest()


# The weights that ship


def test_file_is_small_and_says_how_it_was_made() -> None:
    assert WEIGHTS_PATH.stat().st_size < 1_000_000
    with safe_open(WEIGHTS_PATH, "pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["labels"]) == LABELS
    assert json.loads(metadata["training"]).keys() == vars(Training()).keys()


def test_network_names_fresh_drawings(network: Network) -> None:
    assert accuracy(network.model, n_images=1000, seed=99) > 0.97


def test_every_unit_answers_to_something(network: Network) -> None:
    for layer in network.facts.layers:
        if layer.batch_norm:
            scale = network.model.get_submodule(layer.batch_norm).weight
            assert (scale.abs() > 1e-3).all(), layer.name


def test_training_lowers_the_loss() -> None:
    torch.manual_seed(0)
    model = build_demo(len(DRAWINGS))
    losses = list(train(model, Training(steps=12, batch=12, attack_steps=1)))
    assert np.mean(losses[-4:]) < np.mean(losses[:4])


# The pictures


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network(AtlasSpec(), FAMILY)


@pytest.fixture(scope="module")
def pictures(network: Network) -> dict[str, Picture]:
    """One per class, by the recipe that `--demo` uses."""
    layer = network.facts.layers[-1]
    fast, exact = network.tap(layer, "float32"), network.tap(layer)
    recipe = unit_recipe("fourier", "standard", layer, network.facts, seed=0)
    assert isinstance(recipe, Fourier)
    ascent = fourier.ascend(fast, layer.units, recipe)
    ascent = dataclasses.replace(ascent, enlargement=1)  # the images that the network was shown
    done = finish(ascent, layer.units, exact, ExcitatoryRecord)
    return dict(zip(network.facts.labels, done.pictures(), strict=True))


def test_network_names_its_own_pictures(pictures: dict[str, Picture]) -> None:
    misread = [label for label, picture in pictures.items() if picture.record.rank > 0]
    assert len(misread) <= 1, misread


@pytest.mark.parametrize("drawing", STRIPES, ids=by_label)
def test_stripes_are_stripes(drawing: Drawing, pictures: dict[str, Picture]) -> None:
    assert drawing.angle_deg is not None and drawing.wavelength_px is not None
    image = pictures[drawing.label].pixels
    angle, wavelength = main_wave([image])
    low, high = drawing.wavelength_px
    assert directedness([image]) > 0.6
    assert turn_between(angle, drawing.angle_deg) < 10
    # A class's picture begins on a small canvas, and what is drawn there comes out larger, as the
    # about page says: over three seeds up to 1.76 times.
    assert low / 1.1 < wavelength < high * 1.8


def test_square_patterns_have_their_symmetry(pictures: dict[str, Picture]) -> None:
    images = {label: [picture.pixels] for label, picture in pictures.items()}
    assert square_symmetry(images["grid"]) > 0.3
    assert square_symmetry(images["checks"]) < -0.2
    assert abs(square_symmetry(images["dots"])) < 0.2
    for label in ("grid", "checks", "dots"):
        assert directedness(images[label]) < 0.25, label


@pytest.mark.parametrize("drawing", HUES, ids=by_label)
def test_hues_are_hues(drawing: Drawing, pictures: dict[str, Picture]) -> None:
    assert drawing.hue_deg is not None
    hue = dominant_hue([pictures[drawing.label].pixels])
    assert turn_between(hue, drawing.hue_deg, 360) < 20  # of the 30 to the border of the next
