"""Moments of functions of a Gaussian against closed forms and against many samples."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atlas.network.moments import Function, moments, rectified_moments

MEANS = torch.tensor([-2.0, -0.7, 0.0, 0.3, 1.5, 4.0, -0.02, 0.0])
STDS = torch.tensor([0.5, 1.0, 2.0, 0.1, 3.0, 1.5, 0.01, 20.0])
TOLERANCE_SIGMAS = 1e-4


def found(function: Function, means: Tensor = MEANS, stds: Tensor = STDS) -> tuple[Tensor, ...]:
    """Mean, standard deviation and slope of a function of Gaussians, (C,) each."""
    after = moments(function, means.view(1, -1, 1, 1), stds.square().view(1, -1, 1, 1))
    assert after is not None
    return after.mean.flatten(), after.variance.sqrt().flatten(), after.slope.flatten()


def phi(x: Tensor) -> Tensor:
    return torch.special.ndtr(x)


def density(x: Tensor) -> Tensor:
    return torch.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def piecewise_linear(
    slopes: tuple[float, ...], kinks: tuple[float, ...], start: float
) -> tuple[Tensor, ...]:
    """Closed forms for a function that is `start` at the first kink and linear between kinks.

    On each piece, E[x^n] of a clipped Gaussian for n in 0, 1, 2.
    """
    mean, std = MEANS.double(), STDS.double()
    ends = (-math.inf, *kinks, math.inf)
    first = second = slope_sum = torch.zeros_like(mean)
    value, anchor = start, kinks[0]
    for position, slope in enumerate(slopes):
        low, high = ((torch.tensor(ends[position + side]) - mean) / std for side in (0, 1))
        p = phi(high) - phi(low)
        d_low, d_high = density(low), density(high)
        z1 = d_low - d_high
        edges = [torch.where(end.isinf(), 0, end * d) for end, d in ((low, d_low), (high, d_high))]
        z2 = p + edges[0] - edges[1]
        if position > 1:
            value, anchor = (
                value + slopes[position - 1] * (kinks[position - 1] - anchor),
                kinks[position - 1],
            )
        a, b = value + slope * (mean - anchor), slope * std  # f = a + b z
        first = first + a * p + b * z1
        second = second + a**2 * p + 2 * a * b * z1 + b**2 * z2
        slope_sum = slope_sum + slope * p
    return first, (second - first**2).clamp(min=0).sqrt(), slope_sum


@pytest.mark.parametrize(
    ("function", "slopes", "kinks", "start"),
    [
        (F.relu, (0.0, 1.0), (0.0,), 0.0),
        (F.relu6, (0.0, 1.0, 0.0), (0.0, 6.0), 0.0),
        (nn.LeakyReLU(0.2), (0.2, 1.0), (0.0,), 0.0),
        (F.hardsigmoid, (0.0, 1 / 6, 0.0), (-3.0, 3.0), 0.0),
        (nn.Hardtanh(-0.5, 2.0), (0.0, 1.0, 0.0), (-0.5, 2.0), -0.5),
        (lambda x: x.clamp(max=1.0), (1.0, 0.0), (1.0,), 1.0),
        (torch.abs, (-1.0, 1.0), (0.0,), 0.0),
    ],
    ids=["relu", "relu6", "leaky", "hardsigmoid", "hardtanh", "clamp", "abs"],
)
def test_functions_with_kinks_against_closed_forms(function, slopes, kinks, start):
    mean, std, slope = found(function)
    expected_mean, expected_std, expected_slope = piecewise_linear(slopes, kinks, start)
    assert ((mean - expected_mean).abs() / STDS).max() < TOLERANCE_SIGMAS
    assert ((std - expected_std).abs() / STDS).max() < 5 * TOLERANCE_SIGMAS
    assert (slope - expected_slope).abs().max() < 5 * TOLERANCE_SIGMAS


def test_the_closed_form_of_the_relu_is_the_closed_form_of_its_pieces():
    after = rectified_moments(MEANS.double(), STDS.double().square())
    expected = piecewise_linear((0.0, 1.0), (0.0,), 0.0)
    for one, other in zip((after.mean, after.variance.sqrt(), after.slope), expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-6)


def test_the_mean_of_a_gelu_has_a_closed_form():
    """E[x Phi(x)] = m Phi(r) + s^2 phi(r) / sqrt(1 + s^2), with r = m / sqrt(1 + s^2)."""
    root = (1 + STDS**2).sqrt()
    ratio = MEANS / root
    expected = MEANS * phi(ratio) + STDS**2 * density(ratio) / root
    mean, _, _ = found(F.gelu)
    torch.testing.assert_close(mean, expected, atol=1e-5, rtol=1e-5)


def test_polynomials_are_exact():
    mean, std, slope = found(torch.square)
    torch.testing.assert_close(mean, MEANS**2 + STDS**2, rtol=1e-5, atol=1e-6)
    expected = (2 * STDS**4 + 4 * MEANS**2 * STDS**2).sqrt()
    torch.testing.assert_close(std, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(slope, 2 * MEANS, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "function",
    [
        *(torch.sigmoid, torch.tanh, F.silu, F.hardswish, F.elu, F.selu, F.softplus, F.mish),
        *(F.gelu, nn.GELU("tanh"), F.softsign, F.logsigmoid, nn.CELU(0.5), nn.Softshrink(0.5)),
    ],
    ids=lambda function: getattr(function, "__name__", str(function)),
)
def test_other_functions_against_samples(function: Callable[[Tensor], Tensor]):
    """Of evenly spread quantiles, which stand for samples without their noise."""
    shares = (torch.arange(400_000, dtype=torch.float64) + 0.5) / 400_000
    z = torch.special.ndtri(shares)[:, None]
    values = function(MEANS + STDS * z)
    mean, std, slope = found(function)
    expected_mean = values.mean(0)
    rest = values - expected_mean
    assert ((mean - expected_mean).abs() / STDS).max() < TOLERANCE_SIGMAS
    assert ((std - rest.square().mean(0).sqrt()).abs() / STDS).max() < 5 * TOLERANCE_SIGMAS
    assert (slope - (rest * z).mean(0) / STDS).abs().max() < 5 * TOLERANCE_SIGMAS


def test_what_does_not_vary_has_the_slope_beside_it():
    mean, std, slope = found(torch.sigmoid, torch.tensor([0.0, 2.0]), torch.zeros(2))
    torch.testing.assert_close(mean, torch.sigmoid(torch.tensor([0.0, 2.0])))
    assert std.max() < 1e-6
    expected = torch.tensor([0.25, float(torch.sigmoid(torch.tensor(2.0)) * (1 - mean[1]))])
    torch.testing.assert_close(slope, expected, rtol=1e-4, atol=1e-4)


def test_what_is_not_finite_is_not_known():
    assert moments(torch.log, torch.zeros(1, 3), torch.ones(1, 3)) is None
