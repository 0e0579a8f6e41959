"""What units answer to synthetic stimuli, where it is known beforehand."""

from __future__ import annotations

import math
from itertools import chain

import pytest
import torch
from conftest import GABOR_ANGLE_DEG, GABOR_PERIOD_PX, IMAGE_PX, make_network
from torch import Tensor, nn

from atlas.errors import NetworkError
from atlas.network import Network
from atlas.panels.tuning import middle_peaks, n_stimuli, tuning_numbers, tuning_panels
from atlas.spec import AtlasSpec, Tuning
from atlas.units import canonical_json

# Few stimuli, as hand-made answers are given one by one.
SMALL = Tuning(16, periods_px=(4, 8), radii_px=(2, 4), n_orientations=4, n_phases=2, n_hues=4)
KERNEL_PX = 15
PREFERRED = (
    "orientation_deg",
    "orientation_selectivity",
    "period_px",
    "hue_deg",
    "hue_selectivity",
    "ring_px",
)


class Stem(nn.Module):
    """Any kernels (N, 3, k, k) on the image, then a classifier."""

    def __init__(self, kernels: Tensor, stride: int = 1) -> None:
        super().__init__()
        n_units, _, side, _ = kernels.shape
        self.conv1 = nn.Conv2d(3, n_units, side, stride, padding=side // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(n_units)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(n_units, 2)
        self.conv1.weight.data.copy_(kernels)

    def forward(self, images: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(images)))
        return self.fc(self.pool(x).flatten(1))


def gabor(orientation_deg: float, period_px: float) -> Tensor:
    """Grey stripes that run anticlockwise of horizontal, in a window that they fill, (3, k, k)."""
    place = torch.arange(KERNEL_PX) - (KERNEL_PX - 1) / 2
    angle = math.radians(orientation_deg)
    along = place[None, :] * math.cos(angle) - place[:, None] * math.sin(angle)  # rows go down
    across = place[None, :] * math.sin(angle) + place[:, None] * math.cos(angle)
    window = torch.exp(-(along**2 + across**2) / (2 * 3.5**2))
    wave = torch.cos(2 * math.pi * across / period_px) * window
    return (wave - wave.mean()).expand(3, -1, -1)


def ring(radius_px: float) -> Tensor:
    """A grey circle without a mean, (3, k, k)."""
    place = torch.arange(KERNEL_PX) - (KERNEL_PX - 1) / 2
    line = torch.exp(-((torch.hypot(place[None, :], place[:, None]) - radius_px) ** 2) / 2)
    return (line - line.mean()).expand(3, -1, -1)


def colour(*weights: float) -> Tensor:
    """One pixel that is weighed so, (3, k, k)."""
    kernel = torch.zeros(3, KERNEL_PX, KERNEL_PX)
    kernel[:, KERNEL_PX // 2, KERNEL_PX // 2] = torch.tensor(weights)
    return kernel


def panels_of(network: Network):
    spec = AtlasSpec().artifact_spec("tuning", network.facts.layers[0], network.facts)
    assert isinstance(spec, Tuning)
    return tuning_panels(network.watch(network.facts.layers), spec)


def stem_numbers(kernels: list[Tensor], size_px: int = IMAGE_PX, stride: int = 1):
    return panels_of(make_network(Stem(torch.stack(kernels), stride), size_px))[0].numbers


def angle_between(one: float, other: float, whole_deg: int) -> float:
    return abs((one - other + whole_deg / 2) % whole_deg - whole_deg / 2)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("period_px", [5.0, 8.0])
def test_planted_gabors_prefer_their_own_orientation(period_px: float, stride: int):
    planted = [0.0, 7.0, 30.0, 45.0, 68.0, 90.0, 101.0, 135.0, 173.0]
    numbers = stem_numbers([gabor(angle, period_px) for angle in planted], 96, stride)
    for found, angle in zip(numbers["orientation_deg"], planted, strict=True):
        assert angle_between(found, angle, 180) < 5, angle
    assert min(numbers["orientation_selectivity"]) > 0.4


def test_the_planted_gabor_of_either_sign_prefers_its_orientation_and_period(planted: Network):
    numbers = panels_of(planted)[0].numbers
    # Its wave goes down and to the right by this angle, so its stripes go up to the right.
    stripes_deg = 90 - GABOR_ANGLE_DEG
    assert numbers["orientation_deg"][:2] == pytest.approx([stripes_deg] * 2, abs=5)
    assert numbers["period_px"][:2] == [GABOR_PERIOD_PX] * 2
    assert numbers["hue_deg"][:2] == [None, None] == numbers["hue_selectivity"][:2]


def test_units_prefer_the_period_they_are_made_of():
    numbers = stem_numbers([gabor(20, period_px) for period_px in (4, 6, 8)])
    assert numbers["period_px"] == [4, 6, 8]


def test_units_of_one_colour_prefer_its_hue():
    weights = {0: (2, -1, -1), 120: (-1, 2, -1), 240: (-1, -1, 2), 330: (1, -1, 0), 60: (1, 1, -2)}
    numbers = stem_numbers([colour(*each) for each in weights.values()])
    for found, hue_deg in zip(numbers["hue_deg"], weights, strict=True):
        assert angle_between(found, hue_deg, 360) < 1
    # Half of a cosine: the mean resultant is pi / 4.
    assert numbers["hue_selectivity"] == pytest.approx([math.pi / 4] * 5, abs=0.03)
    assert numbers["orientation_deg"] == [None] * 5  # they answer to no grey


def test_units_that_look_for_rings_prefer_their_radius():
    numbers = stem_numbers([ring(4), ring(6)])
    assert numbers["ring_px"] == [4, 6]
    assert max(numbers["orientation_selectivity"]) < 0.1  # and no orientation


def test_the_answer_is_the_one_that_the_stimulus_gives(planted: Network):
    """Red against green: 4 per unit of colour, in sigmas of 1 and images divided by 0.25."""
    numbers = panels_of(planted)[0].numbers
    assert numbers["hue"][2][0] == pytest.approx(4 * (0.5 + 0.25) / 0.25, abs=0.01)
    assert numbers["hue_deg"][2] == pytest.approx(330, abs=0.1)


def test_a_dead_unit_prefers_nothing(planted: Network):
    numbers = panels_of(planted)[0].numbers
    assert [numbers[name][3] for name in PREFERRED] == [None] * 6
    assert numbers["orientation"][3] == [0] * 12


def test_what_only_answers_to_the_padding_answers_to_nothing():
    """A bright border in the blank's own map hides no answer and is none."""
    maps = torch.zeros(1, 2, 12, 12)
    maps[:, :, 0] = maps[:, :, :, -1] = 9.0
    maps[0, 1, 5, 7] = 3.0
    assert middle_peaks(maps).tolist() == [[0, 3]]
    assert middle_peaks(torch.ones(1, 2, 1, 1)).tolist() == [[1, 1]]  # of a class


def hand_made(**answers: list[float]) -> Tensor:
    """One unit's answers: by period, orientation, phase; hue; radius, polarity; blank."""
    parts = {"gratings": [0.0] * 16, "hues": [0.0] * 4, "rings": [0.0] * 4, "blank": [0.0]}
    return torch.tensor(list(chain.from_iterable((parts | answers).values())))[:, None]


def test_numbers_of_hand_made_answers():
    gratings = [*[0.0] * 8, 1, 2, 0, 0, 4, 5, 1, 0]  # period 4, then 8
    answers = hand_made(gratings=gratings, rings=[0.0, 1, 3, 0], blank=[1.0])
    numbers = tuning_numbers(answers, SMALL)
    assert numbers["orientation"] == [[2, 0, 5, 1]] and numbers["period"] == [[0, 5]]
    assert numbers["ring"] == [[1, 3]] and numbers["blank"] == [1]
    # Above the blank 1 at 0 degrees and 4 at 90, which are opposite at doubled angles.
    assert (numbers["orientation_deg"], numbers["orientation_selectivity"]) == ([90], [0.6])
    assert (numbers["period_px"], numbers["ring_px"]) == ([8], [4])
    assert (numbers["hue_deg"], numbers["hue_selectivity"]) == ([None], [None])


def test_hues_are_averaged_around_the_circle():
    numbers = tuning_numbers(hand_made(hues=[3.0, 0, -7, 3]), SMALL)
    assert numbers["hue_deg"] == [315] and numbers["hue_selectivity"] == [0.71]


def test_one_answering_angle_is_fully_selective_and_equal_answers_are_not():
    one = tuning_numbers(hand_made(hues=[0.0, 2, 0, 0]), SMALL)
    all_alike = tuning_numbers(hand_made(hues=[2.0] * 4), SMALL)
    assert one["hue_selectivity"] == [1] and all_alike["hue_selectivity"] == [0]


def test_too_little_above_the_blank_is_no_answer():
    numbers = tuning_numbers(hand_made(hues=[1.2, 1, 1, 1], blank=[1.0]), SMALL)
    assert numbers["hue_deg"] == [None]


def test_every_layer_has_numbers_of_every_unit_ready_for_json(seeded: Network):
    panels = panels_of(seeded)
    assert [panel.unit for panel in panels] == [layer.whole for layer in seeded.facts.layers]
    for panel, layer in zip(panels, seeded.facts.layers, strict=True):
        assert "NaN" not in canonical_json(panel.numbers)
        facts = {"orientations_deg", "periods_px", "hues_deg", "radii_px"}
        for name in panel.numbers.keys() - facts:
            assert len(panel.numbers[name]) == layer.n_units, name
        for name in facts:
            curve = {"orientations_deg": "orientation", "periods_px": "period"}.get(name)
            curve = curve or {"hues_deg": "hue", "radii_px": "ring"}[name]
            assert len(panel.numbers[curve][0]) == len(panel.numbers[name])


def test_progress_counts_every_stimulus(planted: Network):
    shown: list[int] = []
    watch = planted.watch(planted.facts.layers[:1])
    tuning_panels(watch, SMALL, progress=shown.append)
    assert sum(shown) == n_stimuli(SMALL) == 2 * 4 * 2 + 4 + 2 * 2 + 1


def test_answers_that_are_not_finite_name_their_layer(planted: Network):
    planted.model.get_submodule("layer1.0.conv2").weight[1, 0, 1, 1] = torch.inf
    with pytest.raises(NetworkError, match=r"layer1\.0\.conv2"):
        tuning_panels(planted.watch(planted.facts.layers), SMALL)
