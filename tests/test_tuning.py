"""Tuning curves find what was planted: orientation, period, hue and radius."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from conftest import IMAGE_PX, Planted, make_network

from atlas.network import Network
from atlas.panels.stimuli import Stimuli
from atlas.panels.tuning import n_stimuli, tuning_panels
from atlas.spec import AtlasSpec, Tuning

SPEC = Tuning(IMAGE_PX, periods_px=(4, 6, 8, 12), radii_px=(4, 6, 9, 13))
GREY = torch.full((3,), 0.5)


def gabor(stripes_deg: float, period_px: float) -> torch.Tensor:
    """Stripes at an angle, anticlockwise from horizontal, under a Gaussian: (3, 11, 11)."""
    y, x = torch.meshgrid(torch.arange(-5.0, 6), torch.arange(-5.0, 6), indexing="ij")
    angle = math.radians(stripes_deg)
    across = x * math.sin(angle) + y * math.cos(angle)
    wave = torch.cos(2 * math.pi * across / period_px) * torch.exp(-(x**2 + y**2) / 18)
    return (wave - wave.mean()).expand(3, -1, -1)


def ring(radius_px: float) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(-5.0, 6), torch.arange(-5.0, 6), indexing="ij")
    line = torch.exp(-((torch.hypot(x, y) - radius_px) ** 2) / 2)
    return (line - line.mean()).expand(3, -1, -1)


def first_layer(*kernels: torch.Tensor) -> dict[str, list]:
    """The numbers of the first layer when these are its first kernels."""
    model = Planted()
    with torch.no_grad():
        model.bn1.weight.fill_(1.0)
        for unit, kernel in enumerate(kernels):
            model.conv1.weight[unit] = kernel
    network = make_network(model)
    (panel,) = tuning_panels(network.watch(network.facts.layers[:1]), SPEC)
    return panel.numbers


@pytest.mark.parametrize("stripes_deg", [0, 8, 22.5, 45, 71, 90, 104, 135, 172])
def test_the_orientation_of_a_planted_gabor_is_found(stripes_deg: float):
    found = first_layer(gabor(stripes_deg, 6.0))
    off = (found["orientation_deg"][0] - stripes_deg + 90) % 180 - 90
    assert abs(off) <= 5
    assert found["orientation_selectivity"][0] > 0.4


@pytest.mark.parametrize("period_px", [4, 6, 8])
def test_the_period_of_a_planted_gabor_is_found(period_px: int):
    assert first_layer(gabor(30, period_px))["period_px"][0] == period_px


def test_a_unit_under_a_negative_scale_is_tuned_like_its_twin(planted: Network):
    (panel,) = tuning_panels(planted.watch(planted.facts.layers[:1]), SPEC)
    first, twin = panel.numbers["orientation_deg"][:2]
    assert first == pytest.approx(60, abs=5)  # the planted wave runs at 30 degrees downwards
    assert twin == pytest.approx(first, abs=1)


def test_red_against_green_prefers_the_hue_where_they_differ_most(planted: Network):
    """R - G of the colours on the circle is largest at 330 degrees."""
    (panel,) = tuning_panels(planted.watch(planted.facts.layers[:1]), SPEC)
    assert panel.numbers["hue_deg"][2] == pytest.approx(330, abs=2)
    assert panel.numbers["hue_selectivity"][2] > 0.5
    assert panel.numbers["hue_selectivity"][0] is None  # a grey filter


def test_a_ring_of_its_radius_drives_a_ring_most():
    found = first_layer(ring(4.0))
    assert found["ring_px"][0] == 4
    assert found["ring"][0][0] == max(found["ring"][0])


def test_a_blob_has_no_orientation_to_speak_of():
    y, x = torch.meshgrid(torch.arange(-5.0, 6), torch.arange(-5.0, 6), indexing="ij")
    blob = torch.exp(-(x**2 + y**2) / 4)
    found = first_layer((blob - blob.mean()).expand(3, -1, -1))
    assert found["orientation_selectivity"][0] < 0.02


def test_a_dead_unit_prefers_nothing(planted: Network):
    (panel,) = tuning_panels(planted.watch(planted.facts.layers[:1]), SPEC)
    for name in ("orientation_deg", "period_px", "hue_deg", "ring_px", "hue_selectivity"):
        assert panel.numbers[name][3] is None
    assert panel.numbers["orientation"][3] == [0.0] * 12


def test_answers_are_those_of_the_tap_and_the_peak_over_phases(planted: Network):
    layer = planted.facts.layers[0]
    (panel,) = tuning_panels(planted.watch([layer]), SPEC)
    tap = planted.tap(layer, "float32")
    images = torch.cat(list(Stimuli(SPEC, GREY).batches(50)))
    with torch.inference_mode():
        peaks = tap.all_sigmas(tap(tap.normalise(images))).amax((2, 3))[:, 0]
    of_gratings = peaks[: 12 * 4 * 4].view(12, 4, 4).amax(2)
    best = int(of_gratings.amax(0).argmax())
    np.testing.assert_allclose(panel.numbers["orientation"][0], of_gratings[:, best], atol=0.02)
    np.testing.assert_allclose(panel.numbers["period"][0], of_gratings.amax(0), atol=0.02)
    assert panel.numbers["blank"][0] == pytest.approx(float(peaks[-1]), abs=0.02)


def test_every_stimulus_is_an_image_whose_rim_is_the_background():
    stimuli = Stimuli(SPEC, torch.tensor([0.485, 0.456, 0.406]))
    images = torch.cat(list(stimuli.batches(7)))
    assert len(images) == len(stimuli) == n_stimuli(SPEC) == 12 * 4 * 4 + 12 + 8 + 1
    assert images.min() >= 0 and images.max() <= 1
    rim = images[:, :, 0, :]
    expected = stimuli.background[None, :, None].expand_as(rim)
    torch.testing.assert_close(rim, expected, atol=0.01, rtol=0)
    assert images[:-1].std((1, 2, 3)).min() > images[-1].std()


def test_hues_have_equal_means_and_go_from_red_over_green_to_blue():
    stimuli = Stimuli(SPEC, GREY)
    images = torch.cat(list(stimuli.batches(50)))[stimuli.n_gratings :][: SPEC.n_hues]
    middle = images[:, :, IMAGE_PX // 2, IMAGE_PX // 2]
    torch.testing.assert_close(middle.mean(1), torch.full((12,), 0.5))
    assert middle.argmax(1)[[0, 4, 8]].tolist() == [0, 1, 2]


def test_stimuli_fit_the_input_of_any_network(planted: Network):
    spec = AtlasSpec().artifact_spec("tuning", planted.facts.layers[0], planted.facts)
    assert max(spec.periods_px) <= IMAGE_PX / 4 and max(spec.radii_px) <= IMAGE_PX / 3
    assert spec.size_px == IMAGE_PX
