"""Numbers and names as people read them."""

from __future__ import annotations

import pytest

from atlas.site import wording
from atlas.units import Layer


def layer(in_channels: int, groups: int) -> Layer:
    return Layer(
        name="conv",
        index=0,
        kind="conv",
        n_units=8,
        in_channels=in_channels,
        kernel=(3, 3),
        stride=(1, 1),
        padding=(1, 1),
        dilation=(1, 1),
        groups=groups,
        stage="stem",
        block=None,
        batch_norm=None,
        writers=(),
        output_px=(7, 7),
        receptive_field_px=3,
        field_centre_px=0.0,
        total_stride_px=1,
        macs=1,
    )


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (9.414, 2, "+9.41"),
        (-0.3, 2, "−0.30"),
        (0.0, 2, "0.00"),
        (-0.0, 1, "0.0"),
        (-0.001, 2, "−0.001"),  # not as if it were zero
        (0.02, 1, "+0.02"),
        (0.0004, 2, "0.000"),  # records of responses have no more digits
    ],
)
def test_a_small_response_is_not_shown_as_zero(value: float, digits: int, text: str):
    assert wording.signed(value, digits) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.2, "+0.20"),
        (-1.34, "−1.3"),
        (12.0, "+12"),
        (0.00022, "+0.00022"),
        (-9.3e-06, "−9.3 × 10⁻⁶"),
        (1.2e-12, "+1.2 × 10⁻¹²"),
    ],
)
def test_strengths_have_two_digits_that_count(value: float, text: str):
    assert wording.strength(value) == text


def test_counted_things_are_singular_if_there_is_one():
    assert wording.count(1, "class", "classes") == "1 class"
    assert wording.count(1000, "unit") == "1,000 units"
    assert wording.positions((1, 1)).endswith("1 position")
    assert wording.positions((7, 5)).replace("\N{NO-BREAK SPACE}", " ") == "7 × 5 positions"


@pytest.mark.parametrize(
    ("in_channels", "groups", "words"),
    [(8, 8, "3 × 3 depthwise"), (8, 2, "3 × 3"), (8, 1, "3 × 3"), (1, 1, "3 × 3")],
)
def test_a_convolution_is_depthwise_if_each_unit_reads_one_of_several_channels(
    in_channels: int, groups: int, words: str
):
    assert wording.kernel(layer(in_channels, groups)) == words.replace(" × ", "\xa0×\xa0")
