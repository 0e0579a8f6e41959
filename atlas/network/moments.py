"""Moments and slopes of pointwise functions of a Gaussian."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]  # gives a new tensor of the same shape

RANGE_SIGMAS = 6.0  # beyond lie 2e-9 of a Gaussian
N_POINTS = 385


class Moments(NamedTuple):
    """Mean and variance of f(x) for a Gaussian x, and the slope of the best linear fit to f."""

    mean: Tensor
    variance: Tensor
    slope: Tensor


def rectified_moments(mean: Tensor, variance: Tensor) -> Moments:
    """The moments of a ReLU, in closed form.

    The slope of the best linear fit to the ReLU is P(x > 0), by Stein's lemma:
    cov(relu(x), x) = P(x > 0) var(x) for a Gaussian x.
    """
    std = variance.sqrt()
    ratio = mean / std.clamp(min=1e-12)
    p_positive = torch.special.ndtr(ratio)
    density = torch.exp(-(ratio**2) / 2) / math.sqrt(2 * math.pi)
    new_mean = mean * p_positive + std * density
    mean_square = (mean**2 + std**2) * p_positive + mean * std * density
    return Moments(new_mean, (mean_square - new_mean**2).clamp(min=0), p_positive)


def moments(function: Function, mean: Tensor, variance: Tensor) -> Moments | None:
    """The moments of any pointwise function, by quadrature; None where they are not finite.

    The trapezoidal rule takes evenly spaced points. For smooth functions under a Gaussian its error
    falls exponentially with their number, and a kink adds little: where the slope jumps by 1, the
    error of the mean is below 1e-4 of the Gaussian's standard deviation. Gauss-Hermite points are
    spaced more widely in the middle, and their error at a kink is 20 times as large. The function
    must be continuous.

    Args:
        function: is given points (N_POINTS, ...) in place of the batch.
        mean: of the Gaussians, (1, ...).
        variance: of the Gaussians, (1, ...).

    Source: Trefethen & Weideman 2014, https://doi.org/10.1137/130932132
    """
    deviates = torch.linspace(-RANGE_SIGMAS, RANGE_SIGMAS, N_POINTS, dtype=torch.float64)
    deviates = deviates.view(-1, *[1] * (mean.ndim - 1))  # (N_POINTS, 1, ...)
    weights = torch.exp(-(deviates**2) / 2)
    weights = weights / weights.sum()
    std = variance.double().cpu().sqrt().clamp(min=1e-6)  # the slope of a constant is that nearby
    values = function(mean.double().cpu() + std * deviates)
    new_mean = (weights * values).sum(0, keepdim=True)
    rest = values - new_mean
    found = (
        new_mean,
        (weights * rest**2).sum(0, keepdim=True),
        (weights * deviates * rest).sum(0, keepdim=True) / std,
    )
    if not all(each.isfinite().all() for each in found):
        return None
    return Moments(*(each.to(mean.device, mean.dtype) for each in found))
