"""What torch.fx cannot trace is read through hooks, slower and without connections."""

from __future__ import annotations

import copy
import dataclasses
from collections import UserDict

import numpy as np
import pytest
import torch
from conftest import make_network, randomise
from torch import Tensor, nn

from atlas.errors import NetworkError
from atlas.network.hooks import HookedInput, HookedOutputs
from atlas.network.tracing import UntraceableError, trace
from atlas.network.walk import walk
from atlas.pictures.recipes import ascend
from atlas.recipes import Fourier, Progressive, Stage

SIZE_PX = 40
FOURIER = Fourier((Stage(SIZE_PX, 1),), margin_px=0, objective="mean", roughness=1.0)
PROGRESSIVE = Progressive(n_scales=2, blur_px=0, steps=1)


class Branching(nn.Module):
    """Goes another way for dark images, and works in place after every layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4)
        self.again, self.unused = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.mix, self.fc = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, images: Tensor, *more: Tensor) -> Tensor:
        x = self.norm(self.conv(images)).relu_()
        for _ in range(1 + int(images.mean() > 1e6)):
            x = self.again(x).relu_()
        return self.fc(self.mix(x.permute(0, 2, 3, 1)).relu_().mean((1, 2)))


@pytest.fixture
def network():
    return make_network(randomise(Branching()), SIZE_PX)


def test_layers_come_in_order_of_execution_and_what_is_not_known_is_empty(network, capsys):
    with pytest.raises(UntraceableError):
        trace(network.model, 3, SIZE_PX)
    layers = walk(network.model, SIZE_PX)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "hooks" in said
    assert [(layer.name, layer.kind) for layer in layers] == [
        ("conv", "conv"),
        ("again", "conv"),
        ("mix", "pointwise"),
        ("fc", "classifier"),
    ]
    for layer in layers:
        assert not layer.is_traced
        assert (layer.inputs, layer.writers, layer.batch_norm) == ((), (), None)
        assert layer.receptive_field_px == SIZE_PX  # the whole image
        assert not layer.takes_one_size
    assert [layer.output_px for layer in layers] == [(20, 20), (20, 20), (20, 20), (1, 1)]
    assert layers[1].macs - layers[0].macs == 4 * 4 * 9 * 400
    assert [layer.stage for layer in layers] == ["stem", "stem", "stem", "classifier"]


@pytest.mark.parametrize("precision", [None, "float32"])
def test_a_tap_reads_what_the_network_computes(network, precision):
    model, images = network.model, torch.rand(4, 3, SIZE_PX, SIZE_PX)
    conv = model.conv(images)
    again = model.again(model.norm(conv).relu())
    mix = model.mix(again.relu().permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    values = {"conv": conv, "again": again, "mix": mix, "fc": model(images)[:, :, None, None]}
    channels = torch.tensor([0, 1, 2, 0])
    for layer in network.layers:
        tap, expected = network.tap(layer, precision), values[layer.name]
        torch.testing.assert_close(tap(images), expected, atol=1e-5, rtol=1e-5)
        own = expected[torch.arange(4), channels]
        for n_unread in (0, 2) if layer.has_maps else (0,):
            shown = own[:, n_unread : own.shape[1] - n_unread, n_unread : own.shape[2] - n_unread]
            found = tap.own_maps(images, channels, n_unread)
            torch.testing.assert_close(found, shown, atol=1e-5, rtol=1e-5)


def test_one_pass_reads_all_layers_before_they_are_changed(network):
    images = torch.rand(2, 3, SIZE_PX, SIZE_PX)
    for reader, z in network.watch(network.layers).sigmas(images):
        tap = network.tap(reader.layer)
        torch.testing.assert_close(z, tap.all_sigmas(tap(tap.normalise(images))))


def test_sigmas_are_measured_and_circuits_not_known(network):
    assert network.measured.keys() == {"conv", "again", "mix"}
    assert all(signal is None for signal in network.wiring.values())
    assert network.weight(network.facts.layer("mix")).shape == (5, 4, 1, 1)


def test_a_picture_can_be_made(network):
    layer = network.facts.layer("again")
    ascent = ascend(
        network.tap(layer, "float32"), layer.units[:2], Fourier((Stage(SIZE_PX, 4),), 0, "mean")
    )
    assert ascent.moved.all() and ascent.final.shape == (2, 3, SIZE_PX, SIZE_PX)


def test_a_network_that_does_not_run_is_an_error_with_its_cause():
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(5, 4, 3)

        def forward(self, images: Tensor) -> Tensor:
            return self.conv(images)

    with pytest.raises(NetworkError, match="cannot be run on an image of 40 px with 3 channels"):
        walk(Broken().eval(), SIZE_PX)


def test_an_assert_without_a_message_is_named_with_its_line():
    class OfOneSize(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, images: Tensor) -> Tensor:
            if images.shape[-1] != SIZE_PX + 1:
                raise AssertionError
            return self.conv(images)

    with pytest.raises(NetworkError, match=r"3 channels: AssertionError \(.*test_hooks.py:\d+\); "):
        walk(OfOneSize().eval(), SIZE_PX)


def test_a_layer_that_other_images_do_not_reach_is_said(network):
    with pytest.raises(NetworkError, match="unused was not called"):
        HookedInput(network.model, "unused")(torch.rand(1, 3, SIZE_PX, SIZE_PX))


class Ungraded(nn.Module):
    """Untraceable, and computed without gradients up to its second layer, in one of many ways."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.a, self.b, self.fc = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        arrays = {"numpy": Tensor.numpy, "array": np.asarray}
        if self.way in arrays and arrays[self.way](images).mean() > 1e6:
            return images
        if self.way == "decorated":
            maps = self.frozen(images)
        elif self.way == "no_grad":
            with torch.no_grad():
                maps = self.a(images).relu() if images.mean() < 1e6 else images
        else:
            maps = self.a(images).relu()
        return self.fc(self.b(maps).relu().mean((2, 3)))

    @torch.no_grad()
    def frozen(self, images: Tensor) -> Tensor:
        return self.a(images).relu() if images.mean() < 1e6 else images


@pytest.mark.parametrize("way", ["no_grad", "decorated", "numpy", "array"])
def test_gradients_come_through_where_code_computes_without_them(way: str):
    network = make_network(randomise(Ungraded(way)), SIZE_PX)
    layer = network.facts.layer("b")
    assert not layer.is_traced
    ascent = ascend(network.tap(layer), layer.units[:2], FOURIER)
    plain = make_network(copy.deepcopy(network.model), SIZE_PX)
    plain.model.way = ""
    expected = ascend(plain.tap(layer), layer.units[:2], FOURIER)
    torch.testing.assert_close(ascent.final, expected.final, atol=1e-4, rtol=0)
    assert ascent.moved.all()
    assert torch.is_grad_enabled()


class Failing(nn.Module):
    """Fails on bright images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        if images.max() > 0.5:
            raise ValueError("too bright\nindeed")
        return self.fc(self.conv(images).mean((2, 3)))


def test_code_that_fails_on_some_images_is_said_with_its_place():
    network = make_network(Failing(), SIZE_PX)
    bright = torch.ones(1, 3, 12, 12)
    words = (
        r"fails on an image of 12 px with 3 channels: ValueError: too bright \(.*test_hooks.py:\d"
    )
    for read in (HookedInput(network.model, "fc"), HookedOutputs(network.model, ["fc"])):
        assert read(0 * bright)
        with pytest.raises(NetworkError, match=words):
            read(bright)


@dataclasses.dataclass
class Found:
    maps: Tensor
    logits: Tensor


@pytest.mark.parametrize(
    "wrap",
    [
        lambda maps, logits: {"maps": maps, "logits": logits},
        lambda maps, logits: UserDict(logits=logits, maps=maps),
        lambda maps, logits: (maps, [logits]),
        Found,
    ],
)
def test_the_classifier_is_found_in_any_output(wrap):
    class Wrapped(Branching):
        def forward(self, images: Tensor, *more: Tensor) -> object:
            return wrap(self.conv(images), super().forward(images))

    layers = walk(randomise(Wrapped()), SIZE_PX)
    assert (layers[-1].name, layers[-1].kind) == ("fc", "classifier")
    assert not layers[-1].is_traced


class Unreached(nn.Module):
    """Untraceable, and no gradient can be computed on the way to its second layer."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.a, self.b, self.fc = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        x = self.a(images).relu()
        if images.mean() > 1e6 or self.way == "stopped":
            x = x.detach()
        elif self.way == "overwritten":
            x.mul_(2)
        return self.fc(self.b(x).relu().mean((2, 3)))


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("stopped", r"^no gradient of b reaches the image.*; leave out detach\(\)"),
        ("overwritten", r"modified by an inplace operation.*; let it change no tensor in place"),
    ],
)
@pytest.mark.parametrize("recipe", [FOURIER, PROGRESSIVE], ids=["fourier", "progressive"])
def test_where_no_gradient_comes_through_is_said_in_one_line(way, words, recipe):
    network = make_network(randomise(Unreached(way)), SIZE_PX)
    layer = network.facts.layer("b")
    assert not layer.is_traced
    with pytest.raises(NetworkError, match=words) as caught:
        ascend(network.tap(layer), layer.units[:2], recipe)
    assert "\n" not in str(caught.value)
