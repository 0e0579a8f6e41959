"""Parts of a comparison's pages: axes, neighbours, and how numbers are spelled."""

from __future__ import annotations

import pytest

from atlas.comparing.compared import neighbours, three
from atlas.comparing.front_page import axis_end
from atlas.comparing.ranking import Spread


@pytest.mark.parametrize(
    ("highs", "end"),
    [([], 0.1), ([0.0004], 0.1), ([0.2], 0.2), ([0.05, 0.21], 0.5), ([0.8], 1), ([1.3], 2)],
)
def test_an_axis_ends_at_a_round_number_that_shows_everything(highs: list[float], end: float):
    assert axis_end(Spread(0.0, high / 2, high) for high in highs) == pytest.approx(end)


def test_layers_without_a_spread_do_not_move_an_axis():
    assert axis_end([None, Spread(0.0, 0.1, 0.4)]) == pytest.approx(0.5)


def test_neighbours_end_at_the_ends():
    assert neighbours("abc", "a") == (None, "b")
    assert neighbours("abc", "b") == ("a", "c")
    assert neighbours("abc", "c") == ("b", None)
    assert neighbours("a", "a") == (None, None)


def test_correlations_have_a_true_minus_and_no_plus():
    assert (three(0.99949), three(-0.05), three(0.0), three(None)) == (
        "0.999",
        "−0.050",
        "0.000",
        "",
    )
