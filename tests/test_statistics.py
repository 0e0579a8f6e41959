"""Sigmas are measured where no BatchNorm follows, from images that anybody can make again."""

from __future__ import annotations

import copy
import re

import numpy as np
import pytest
import torch
from conftest import HiddenLinear, Planted, make_network, randomise
from torch import Tensor, nn

from atlas.asked import AtlasSpec
from atlas.generated_images import dead_leaves, reference_images
from atlas.network.network import Network
from atlas.network.statistics import measure
from atlas.plan import make_plan
from atlas.progress import Lines
from atlas.units import N_REFERENCE_IMAGES, Preprocessing


def test_images_are_the_same_every_time_and_different_from_each_other():
    images = list(reference_images(40, 3))
    again = reference_images(40, 3)
    assert len(images) == N_REFERENCE_IMAGES
    assert all(np.array_equal(one, other) for one, other in zip(images, again, strict=True))
    assert len({image.tobytes() for image in images}) == N_REFERENCE_IMAGES
    assert min(image.min() for image in images) >= 0 and max(image.max() for image in images) <= 1


@pytest.mark.parametrize("n_channels", [1, 3, 4])
def test_images_have_the_channels_of_the_network(n_channels: int):
    image = dead_leaves(24, n_channels, np.random.default_rng(0))
    assert image.shape == (n_channels, 24, 24) and image.dtype == np.float32


def test_images_have_the_spectrum_of_photographs():
    """Power falls with the square of frequency, as it does in photographs, between 1.5 and 2.5."""
    power = np.zeros((128, 65))
    for image in reference_images(128, 1, 24):
        power += np.abs(np.fft.rfft2(image[0] - image.mean())) ** 2
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.rfftfreq(128))
    inside = (frequency > 2 / 128) & (frequency < 0.35)
    slope, _ = np.polyfit(np.log(frequency[inside]), np.log(power[inside]), 1)
    assert -3.0 < slope < -1.5


class Without(nn.Module):
    """Layers of every kind that no BatchNorm follows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.mix = nn.Conv2d(3, 6, 3, stride=2), nn.Linear(6, 4)
        self.hidden, self.fc = nn.Linear(4, 5), nn.Linear(5, 2)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.mix(self.conv(images).relu().permute(0, 2, 3, 1))
        return self.fc(self.hidden(maps.mean((1, 2))).relu())


def test_statistics_are_those_of_all_images_and_positions():
    network = make_network(randomise(Without()), 24)
    model, normalise = network.model, network.reader(network.layers[0]).normalise
    images = torch.from_numpy(np.stack(list(reference_images(24, 3))))
    conv = model.conv(normalise(images))
    mix = model.mix(conv.relu().permute(0, 2, 3, 1))
    hidden = model.hidden(mix.mean((1, 2)))
    values = {
        "conv": conv.transpose(0, 1).flatten(1),
        "mix": mix.flatten(0, 2).T,
        "hidden": hidden.T,
    }
    for name, expected in values.items():
        reader = network.reader(network.facts.layer(name))
        torch.testing.assert_close(reader.mean, expected.mean(1), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(reader.std, expected.std(1, correction=0), atol=1e-5, rtol=1e-4)
        assert (reader.sign == 1).all()
    reader = network.reader(network.facts.layer("fc"))
    assert (reader.mean == 0).all() and (reader.std == 1).all()  # logits are left as they are


def test_zero_is_the_threshold_only_where_an_activation_follows():
    network = make_network(randomise(Without()), 24)
    for name, is_activated in (("conv", True), ("mix", False), ("hidden", True)):
        reader = network.reader(network.facts.layer(name))
        at_zero = reader.sigmas(torch.zeros(len(reader.std), 1, 1), torch.arange(len(reader.std)))
        expected = -at_zero[:, 0, 0] if is_activated else torch.zeros_like(reader.std)
        torch.testing.assert_close(reader.offset, expected.clamp(-4, 4))


def test_measuring_again_gives_the_same_numbers():
    model = randomise(Without())
    one, other = (make_network(copy.deepcopy(model), 24).measured for _ in range(2))
    assert one.keys() == other.keys() == {"conv", "mix", "hidden"}
    for name in one:
        assert torch.equal(one[name].mean, other[name].mean)
        assert torch.equal(one[name].std, other[name].std)


def test_a_unit_that_never_changes_is_left_in_its_own_scale():
    model = randomise(Without())
    model.conv.weight.data[2] = 0
    model.conv.bias.data[2] = 0.25
    network = make_network(model, 24)
    reader = network.reader(network.facts.layer("conv"))
    assert (reader.std[2], reader.mean[2]) == (1, 0.25)


def test_nothing_is_measured_for_layers_with_batchnorm(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise AssertionError("measured")

    monkeypatch.setattr("atlas.network.network.reference_images", refuse)
    network = make_network(randomise(Planted()))
    for layer in network.layers:
        network.reader(layer)
    assert all(layer.sigma == "batch_norm" for layer in network.layers[:-1])
    mixed = make_network(HiddenLinear())
    mixed.reader(mixed.facts.layer("conv"))
    with pytest.raises(AssertionError, match="measured"):
        mixed.reader(mixed.facts.layer("hidden"))


def test_addresses_name_the_measurement_and_not_its_numbers(monkeypatch: pytest.MonkeyPatch):
    def keys(version: int) -> dict[str, tuple[str, ...]]:
        monkeypatch.setattr("atlas.plan.SIGMAS_VERSION", version)
        network = make_network(HiddenLinear())
        plan = make_plan(AtlasSpec(kinds=("noise",)), network.facts, ())
        return {job.layer.name: job.keys for job in plan.asked}

    torch.manual_seed(0)
    before = keys(1)
    torch.manual_seed(1)  # other weights, and so other numbers
    assert keys(1) == before
    after = keys(2)
    assert [name for name in before if after[name] != before[name]] == ["hidden"]


def test_preprocessing_is_that_of_the_network():
    layers = make_network(randomise(Without()), 24).layers[:1]
    pass_through = nn.Module()
    pass_through.forward = lambda images: {"conv": images}  # type: ignore[method-assign]
    layer = layers[0]
    layer = type(layer)(**{**vars(layer), "n_units": 3})
    seen = Preprocessing(24, 24.0, (0.1, 0.2, 0.3), (0.5, 1.0, 2.0))
    (mean, std) = measure(
        pass_through, [layer], seen, torch.device("cpu"), reference_images(24, 3)
    )["conv"]
    images = np.stack(list(reference_images(24, 3))).transpose(1, 0, 2, 3).reshape(3, -1)
    assert mean.tolist() == pytest.approx(
        (images.mean(1) - [0.1, 0.2, 0.3]) / [0.5, 1, 2], abs=1e-4
    )
    assert std.tolist() == pytest.approx(images.std(1) / [0.5, 1, 2], rel=1e-4)


def test_measuring_is_shown_and_happens_once_and_not_where_batch_norms_know():
    said: list[str] = []
    measured, known = make_network(randomise(HiddenLinear())), make_network(Planted())
    for plain in (measured, known):
        network = Network(plain.model, plain.facts, progress=Lines(said.append))
        network.prepare()
        network.prepare()
    assert [re.sub(r"[\d:]+$", "", line) for line in said] == ["measuring sigma done, "]
