"""The synthetic stimuli are what they are said to be."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from atlas.kinds.tuning import TuningSpec
from atlas.kinds.tuning.stimuli import batches, hues_deg, orientations_deg, stimuli

SPEC = TuningSpec(48, periods_px=(4, 8), radii_px=(6, 12), n_orientations=4, n_phases=4, n_hues=6)
MEAN = torch.tensor([0.485, 0.456, 0.406])
N_GRATINGS = 2 * 4 * 4


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.stack(list(stimuli(SPEC, MEAN)))


def grating(images: Tensor, period: int, orientation: int, phase: int) -> Tensor:
    """The middle of a grating's green channel, where the aperture is open, (16, 16)."""
    return images[(period * 4 + orientation) * 4 + phase, 1, 16:32, 16:32] - MEAN[1]


def test_there_are_as_many_as_asked_for_and_all_are_images(images: Tensor):
    assert images.shape == (N_GRATINGS + 6 + 2 * 2 + 1, 3, 48, 48)
    assert images.min() >= 0 and images.max() <= 1


def test_contrast_is_as_high_as_the_mean_colour_allows(images: Tensor):
    assert images[:N_GRATINGS].min() == pytest.approx(0, abs=0.01)


def test_the_blank_is_the_mean_colour_and_comes_last(images: Tensor):
    assert (images[-1] == MEAN[:, None, None]).all()


def test_the_frame_shows_nothing_so_that_padding_is_invisible(images: Tensor):
    frame = torch.ones(48, 48, dtype=torch.bool)
    frame[1:-1, 1:-1] = False
    assert (images - MEAN[:, None, None]).abs()[:, :, frame].max() < 0.003


def test_stripes_run_along_the_orientation(images: Tensor):
    assert orientations_deg(SPEC) == [0, 45, 90, 135]
    lying, rising, standing, falling = (grating(images, 1, nth, 0) for nth in range(4))
    assert lying.std(1).max() < 1e-6 < lying.std(0).min()
    assert standing.std(0).max() < 1e-6 < standing.std(1).min()
    # One step right and one up, or down: the same stripe. Rows are counted from the top.
    torch.testing.assert_close(rising[1:, :-1], rising[:-1, 1:])
    torch.testing.assert_close(falling[:-1, :-1], falling[1:, 1:])


def test_stripes_repeat_after_a_period(images: Tensor):
    lying = grating(images, 0, 0, 0)
    torch.testing.assert_close(lying[4:], lying[:-4])
    torch.testing.assert_close(lying[2:], -lying[:-2])


def test_phases_are_evenly_spaced(images: Tensor):
    first, second, third, fourth = (grating(images, 1, 2, nth) for nth in range(4))
    torch.testing.assert_close(first, -third)
    torch.testing.assert_close(second, -fourth)
    torch.testing.assert_close(first[:, 2:], second[:, :-2])  # a quarter of the period


def test_gratings_and_rings_are_grey(images: Tensor):
    added = images - MEAN[:, None, None]
    grey = torch.cat([added[:N_GRATINGS], added[-5:-1]])
    torch.testing.assert_close(grey[:, 0], grey[:, 1])
    torch.testing.assert_close(grey[:, 0], grey[:, 2])


def test_hues_change_the_colour_and_not_the_brightness(images: Tensor):
    assert hues_deg(SPEC) == [0, 60, 120, 180, 240, 300]
    discs = images[N_GRATINGS : N_GRATINGS + 6, :, 24, 24] - MEAN
    torch.testing.assert_close(discs.sum(1), torch.zeros(6), atol=1e-6, rtol=0)
    red, yellow, green, cyan, blue, magenta = (disc / disc.abs().max() for disc in discs)
    torch.testing.assert_close(red, torch.tensor([1.0, -0.5, -0.5]))
    torch.testing.assert_close(green, torch.tensor([-0.5, 1.0, -0.5]))
    torch.testing.assert_close(blue, torch.tensor([-0.5, -0.5, 1.0]))
    for one, other in ((cyan, red), (magenta, green), (yellow, blue)):
        torch.testing.assert_close(one, -other)


def test_rings_have_their_radius_bright_and_dark(images: Tensor):
    rightwards = images[-5:-1, 0, 24, 24:] - MEAN[0]  # from the middle
    small, small_dark, large, _ = rightwards
    assert [small.argmax().item(), large.argmax().item()] in ([5, 11], [6, 12])
    torch.testing.assert_close(small, -small_dark)
    assert small[0] == pytest.approx(0, abs=1e-3)  # empty inside


def test_batches_hold_all_images_in_order():
    images = [torch.full((3, 2, 2), float(nth)) for nth in range(5)]
    found = list(batches(iter(images), 2))
    assert [len(batch) for batch in found] == [2, 2, 1]
    assert torch.cat(found)[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_no_image_is_drawn_before_it_is_asked_for():
    def images():
        yield torch.zeros(3, 2, 2)
        yield torch.zeros(3, 2, 2)
        raise AssertionError("drawn ahead")

    assert len(next(batches(images(), 2))) == 2
