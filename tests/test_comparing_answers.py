"""Answers of two networks to the same images: correlations of planted changes, and counterparts."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

import atlas.comparing.answers
from atlas.comparing import AnswersRecord, AnswersSpec
from atlas.comparing.answers import (
    Agreement,
    Sampled,
    Shown,
    answers_record,
    answers_records,
    bytes_of,
    equal_answers,
    groups_of,
)
from atlas.decoding import Skipped
from atlas.errors import ImagesError, NetworkError
from atlas.generated_images import GeneratedImages
from atlas.network.network import Network

CPU = torch.device("cpu")
IMAGES = GeneratedImages()


def random_maps(n_units: int = 6, seed: int = 0) -> Tensor:
    """Responses (8, n_units, 5, 5) with means and sizes of their own."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(8, n_units, 5, 5, generator=generator)
    offsets = torch.arange(n_units)[:, None, None]
    return maps * (offsets + 0.5) + 3.0 * offsets


def agreement(a: Tensor, b: Tensor, n_batches: int = 1) -> Agreement:
    made = Agreement(a.shape[1], CPU)
    for part_a, part_b in zip(a.chunk(n_batches), b.chunk(n_batches), strict=True):
        made.add(part_a, part_b)
    return made


def spec_of(network: Network, n_images: int = 16) -> AnswersSpec:
    return AnswersSpec("1" * 64, IMAGES.sha256, network.facts.preprocessing, n_images)


def record_of(a: Network, b: Network, layer: str) -> AnswersRecord:
    (record,) = answers_records(a, b, [a.facts.layer(layer)], IMAGES, spec_of(a))
    return record


@pytest.fixture
def changed(seeded: Network) -> Network:
    """A copy, to be changed."""
    return Network(copy.deepcopy(seeded.model), seeded.facts)


@pytest.mark.parametrize("n_batches", [1, 4, 8])
def test_correlations_are_those_of_numpy_whatever_the_batches(n_batches: int):
    a, b = random_maps(), random_maps(seed=1)
    b = b + 0.7 * a.roll(2, 1)
    rows = [maps.permute(1, 0, 2, 3).flatten(1).double().numpy() for maps in (a, b)]
    expected = np.corrcoef(*rows)[:6, 6:]
    made = agreement(a, b, n_batches)
    assert made.all_pairs().numpy() == pytest.approx(expected, abs=1e-5)
    assert made.own().numpy() == pytest.approx(np.diag(expected), abs=1e-6)


def test_equal_answers_correlate_exactly():
    a = random_maps()
    assert agreement(a, a.clone(), 4).own().tolist() == [1.0] * 6


def test_scale_and_offset_do_not_count_and_a_flip_is_opposite():
    a = random_maps()
    b = a.clone()
    b[:, 1] = 7 * b[:, 1] - 2
    b[:, 2] *= -1
    assert agreement(a, b).own().numpy() == pytest.approx([1, 1, -1, 1, 1, 1], abs=1e-6)


def test_a_unit_that_never_moves_has_no_correlation(seeded: Network):
    a, b = random_maps(4), random_maps(4)
    a[:, 0] = b[:, 1] = 2.7
    layer = seeded.facts.layer("conv1")
    record = answers_record(layer, agreement(a, b), Shown(8, {}))
    assert record.correlation == [None, None, 1.0, 1.0]
    assert record.is_constant_a == [True, False, False, False]
    assert record.is_constant_b == [False, True, False, False]
    assert record.alike_in_b[0] is None and record.alike_in_a[1] is None
    assert record.alike_in_b[1] != 1


def test_units_that_changed_places_are_found(seeded: Network):
    a = random_maps(4)
    b = a[:, [1, 0, 2, 3]]
    record = answers_record(seeded.facts.layer("conv1"), agreement(a, b), Shown(8, {}))
    assert record.alike_in_b == record.alike_in_a == [1, 0, 2, 3]
    assert record.alike_in_b_correlation == pytest.approx([1] * 4, abs=1e-5)
    assert abs(record.correlation[0]) < 0.3 and record.correlation[2:] == [1.0, 1.0]


def test_of_equal_units_the_one_of_the_same_number_is_most_alike(seeded: Network):
    a = random_maps(4)
    a[:, 3] = a[:, 0]
    record = answers_record(seeded.facts.layer("conv1"), agreement(a, a), Shown(8, {}))
    assert record.alike_in_b == [0, 1, 2, 3]


def test_responses_that_are_not_finite_are_refused(seeded: Network):
    a = random_maps(4)
    a[0, 0, 0, 0] = torch.inf
    with pytest.raises(NetworkError, match="conv1 gives values that are not finite"):
        answers_record(seeded.facts.layer("conv1"), agreement(a, a), Shown(8, {}))


def test_networks_that_are_equal_up_to_a_layer_agree_exactly_before_it(
    seeded: Network, changed: Network
):
    with torch.no_grad():
        changed.model.get_submodule("layer1.0.conv2").weight[2] *= -1
    layers = seeded.facts.layers
    records = answers_records(seeded, changed, layers, IMAGES, spec_of(seeded))
    for layer, record in zip(layers, records, strict=True):
        if layer.index < seeded.facts.layer("layer1.0.conv2").index:
            assert record.correlation == [1.0] * layer.n_units
    at = record_of(seeded, changed, "layer1.0.conv2").correlation
    assert at[2] == pytest.approx(-1, abs=1e-4) and [at[0], at[1], at[3]] == [1.0] * 3
    after = record_of(seeded, changed, "layer1.1.conv1").correlation
    assert min(after) < 0.999


def test_scaled_and_flipped_filters_and_a_swap_are_told_apart(seeded: Network, changed: Network):
    with torch.no_grad():
        weight = changed.model.get_submodule("layer1.0.conv1").weight
        weight[0] *= 3
        weight[1] *= -1
        weight[[2, 3]] = weight[[3, 2]].clone()
    record = record_of(seeded, changed, "layer1.0.conv1")
    assert record.correlation[:2] == pytest.approx([1, -1], abs=1e-4)
    norm = changed.model.get_submodule("layer1.0.bn1")
    signs = norm.weight.sign()  # a negative scale turns what a response means
    assert record.alike_in_b[0] == 0
    if signs[2] == signs[3]:
        assert record.alike_in_b[2:] == [3, 2]


def test_equal_layers_need_no_measuring(seeded: Network):
    layer = seeded.facts.layer("layer1.0.conv1")
    record = equal_answers(layer.n_units)
    assert record.n_images == 0 and record.correlation == (1.0,) * 4
    assert record.alike_in_b == record.alike_in_a == (0, 1, 2, 3)


def test_layers_that_are_read_together_stay_within_the_memory(
    monkeypatch: pytest.MonkeyPatch, seeded: Network
):
    layers = seeded.facts.layers
    limit = 2 * max(bytes_of(layer, atlas.comparing.answers.CPU_BATCH) for layer in layers)
    monkeypatch.setattr(atlas.comparing.answers, "CPU_BYTES", limit)
    groups = list(groups_of(layers, CPU))
    assert [layer for group in groups for layer in group] == list(layers)
    assert len(groups) > 1
    for group in groups:
        assert sum(bytes_of(layer, atlas.comparing.answers.CPU_BATCH) for layer in group) <= limit
    monkeypatch.setattr(atlas.comparing.answers, "CPU_BYTES", 1)
    assert [len(group) for group in groups_of(layers, CPU)] == [1] * len(layers)


def test_a_sample_is_spread_over_the_whole_set():
    sample = Sampled(IMAGES, 4)
    assert sample.files == ("00.png", "16.png", "32.png", "48.png")
    assert Sampled(IMAGES, 1000).files == IMAGES.files


class Torn(GeneratedImages):
    """Images of which all or some cannot be read."""

    def __init__(self, torn: tuple[str, ...]) -> None:
        super().__init__()
        object.__setattr__(self, "torn", torn)

    def load(self, file, preprocessing):
        return (
            Skipped("damaged", "torn") if file in self.torn else super().load(file, preprocessing)
        )


def test_images_that_cannot_be_read_are_counted(seeded: Network):
    layer, spec = seeded.facts.layer("conv1"), spec_of(seeded, 64)
    (record,) = answers_records(seeded, seeded, [layer], Torn(("03.png", "09.png")), spec)
    assert (record.n_images, record.n_skipped) == (62, 2)
    with pytest.raises(ImagesError, match="no photograph can be used: 64 damaged"):
        answers_records(seeded, seeded, [layer], Torn(IMAGES.files), spec)


def test_generated_images_are_the_same_every_time_and_like_photographs(seeded: Network):
    preprocessing = dataclasses.replace(seeded.facts.preprocessing, size_px=64)
    first, again, other = (
        IMAGES.load(file, preprocessing) for file in ("00.png", "00.png", "01.png")
    )
    assert first.shape == (64, 64, 3) and first.dtype == np.uint8
    assert (first == again).all() and (first != other).any()
    images = [IMAGES.load(file, preprocessing).astype(float) for file in IMAGES.files[:16]]
    power = np.mean([np.abs(np.fft.fft2(image.mean(-1))) ** 2 for image in images], axis=0)
    low, high = power[1:3, 1:3].mean(), power[16:24, 16:24].mean()
    falls_as = np.log(low / high) / np.log(20 / 1.5)  # the power of a frequency, to minus this
    assert 1.5 < falls_as < 3  # about 2 in photographs
    red, blue = first[..., 0].astype(float).ravel(), first[..., 2].astype(float).ravel()
    assert np.corrcoef(red, blue)[0, 1] > 0.6  # mostly grey, as photographs are
