"""What units answer to synthetic stimuli, where it is known beforehand."""

from __future__ import annotations

import dataclasses
import math
from itertools import chain

import pytest
import torch
from conftest import GABOR_ANGLE_DEG, GABOR_PERIOD_PX, IMAGE_PX, make_network
from torch import Tensor, nn

from atlas.asked import AtlasSpec
from atlas.errors import NetworkError, SpecError
from atlas.kinds.tuning import KIND, TuningRecord, TuningSpec
from atlas.kinds.tuning.make import middle_peaks, tuning_panels, tuning_record
from atlas.network.network import Network
from atlas.plan import make_plan
from atlas.records import fields_of, to_json

# Few stimuli, as hand-made answers are given one by one.
SMALL = TuningSpec(16, periods_px=(4, 8), radii_px=(2, 4), n_orientations=4, n_phases=2, n_hues=4)
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
    spec = KIND.spec(AtlasSpec(), network.facts.layers[0], network.facts)
    assert isinstance(spec, TuningSpec)
    return tuning_panels(network.watch(network.facts.layers), spec)


def stem_record(kernels: list[Tensor], size_px: int = IMAGE_PX, stride: int = 1) -> TuningRecord:
    return panels_of(make_network(Stem(torch.stack(kernels), stride), size_px))[0].record


def angle_between(one: float, other: float, whole_deg: int) -> float:
    return abs((one - other + whole_deg / 2) % whole_deg - whole_deg / 2)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("period_px", [5.0, 8.0])
def test_planted_gabors_prefer_their_own_orientation(period_px: float, stride: int):
    planted = [0.0, 7.0, 30.0, 45.0, 68.0, 90.0, 101.0, 135.0, 173.0]
    record = stem_record([gabor(angle, period_px) for angle in planted], 96, stride)
    for found, angle in zip(record.orientation_deg, planted, strict=True):
        assert angle_between(found, angle, 180) < 5, angle
    assert min(record.orientation_selectivity) > 0.4


def test_the_planted_gabor_of_either_sign_prefers_its_orientation_and_period(planted: Network):
    record = panels_of(planted)[0].record
    # Its wave goes down and to the right by this angle, so its stripes go up to the right.
    stripes_deg = 90 - GABOR_ANGLE_DEG
    assert record.orientation_deg[:2] == pytest.approx([stripes_deg] * 2, abs=5)
    assert record.period_px[:2] == [GABOR_PERIOD_PX] * 2
    assert record.hue_deg[:2] == [None, None] == record.hue_selectivity[:2]


def test_units_prefer_the_period_they_are_made_of():
    record = stem_record([gabor(20, period_px) for period_px in (4, 6, 8)])
    assert record.period_px == [4, 6, 8]


def test_units_of_one_colour_prefer_its_hue():
    weights = {0: (2, -1, -1), 120: (-1, 2, -1), 240: (-1, -1, 2), 330: (1, -1, 0), 60: (1, 1, -2)}
    record = stem_record([colour(*each) for each in weights.values()])
    for found, hue_deg in zip(record.hue_deg, weights, strict=True):
        assert angle_between(found, hue_deg, 360) < 1
    # Half of a cosine: the mean resultant is pi / 4.
    assert record.hue_selectivity == pytest.approx([math.pi / 4] * 5, abs=0.03)
    assert record.orientation_deg == [None] * 5  # they answer to no grey


def test_units_that_look_for_rings_prefer_their_radius():
    record = stem_record([ring(4), ring(6)])
    assert record.ring_px == [4, 6]
    assert max(record.orientation_selectivity) < 0.1  # and no orientation


def test_the_answer_is_the_one_that_the_stimulus_gives(planted: Network):
    """Red against green: 4 per unit of colour, in sigmas of 1 and images divided by 0.25."""
    record = panels_of(planted)[0].record
    assert record.hue[2][0] == pytest.approx(4 * (0.5 + 0.25) / 0.25, abs=0.01)
    assert record.hue_deg[2] == pytest.approx(330, abs=0.1)


def test_a_dead_unit_prefers_nothing(planted: Network):
    record = panels_of(planted)[0].record
    assert [getattr(record, name)[3] for name in PREFERRED] == [None] * 6
    assert record.orientation[3] == [0] * 12


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


def test_curves_and_preferences_of_hand_made_answers():
    gratings = [*[0.0] * 8, 1, 2, 0, 0, 4, 5, 1, 0]  # period 4, then 8
    answers = hand_made(gratings=gratings, rings=[0.0, 1, 3, 0], blank=[1.0])
    record = tuning_record(answers, SMALL)
    assert record.orientation == [[2, 0, 5, 1]] and record.period == [[0, 5]]
    assert record.ring == [[1, 3]] and record.blank == [1]
    # Above the blank 1 at 0 degrees and 4 at 90, which are opposite at doubled angles.
    assert (record.orientation_deg, record.orientation_selectivity) == ([90], [0.6])
    assert (record.period_px, record.ring_px) == ([8], [4])
    assert (record.hue_deg, record.hue_selectivity) == ([None], [None])


def test_hues_are_averaged_around_the_circle():
    record = tuning_record(hand_made(hues=[3.0, 0, -7, 3]), SMALL)
    assert record.hue_deg == [315] and record.hue_selectivity == [0.71]


def test_one_answering_angle_is_fully_selective_and_equal_answers_are_not():
    one = tuning_record(hand_made(hues=[0.0, 2, 0, 0]), SMALL)
    all_alike = tuning_record(hand_made(hues=[2.0] * 4), SMALL)
    assert one.hue_selectivity == [1] and all_alike.hue_selectivity == [0]


def test_too_little_above_the_blank_is_no_answer():
    record = tuning_record(hand_made(hues=[1.2, 1, 1, 1], blank=[1.0]), SMALL)
    assert record.hue_deg == [None]


def test_every_layer_has_numbers_of_every_unit_ready_for_json(seeded: Network):
    panels = panels_of(seeded)
    assert [panel.unit for panel in panels] == [layer.whole for layer in seeded.facts.layers]
    for panel, layer in zip(panels, seeded.facts.layers, strict=True):
        record = panel.record
        assert "NaN" not in to_json(record, layer.score_name)
        for info in fields_of(TuningRecord):
            if info.publication == "per_unit":
                assert len(getattr(record, info.attribute)) == layer.n_units, info.attribute
        assert len(record.orientation[0]) == len(record.orientations_deg)
        assert len(record.period[0]) == len(record.periods_px)
        assert len(record.hue[0]) == len(record.hues_deg)
        assert len(record.ring[0]) == len(record.radii_px)


def test_progress_counts_every_stimulus(planted: Network):
    shown: list[int] = []
    watch = planted.watch(planted.facts.layers[:1])
    tuning_panels(watch, SMALL, progress=shown.append)
    assert sum(shown) == SMALL.n_stimuli == 2 * 4 * 2 + 4 + 2 * 2 + 1


def test_answers_that_are_not_finite_name_their_layer(planted: Network):
    planted.model.get_submodule("layer1.0.conv2").weight[1, 0, 1, 1] = torch.inf
    with pytest.raises(NetworkError, match=r"layer1\.0\.conv2"):
        tuning_panels(planted.watch(planted.facts.layers), SMALL)


@pytest.mark.parametrize(("size_px", "is_there"), [(1, False), (8, False), (11, False), (12, True)])
def test_tuning_is_for_images_into_which_stimuli_fit(size_px: int, is_there: bool):
    network = make_network(Stem(torch.rand(2, 3, 1, 1)), size_px)
    asked = AtlasSpec(preset="preview")
    jobs = [job for job in make_plan(asked, network.facts, ()).asked if job.kind is KIND]
    assert bool(jobs) == is_there
    for job in jobs:
        spec = job.spec
        (panel,) = tuning_panels(network.watch([job.layer]), spec)[:1]
        assert len(panel.record.period) == job.layer.n_units
    if not is_there:
        with pytest.raises(SpecError, match="'tuning' can be made: it needs images of 12 px"):
            make_plan(dataclasses.replace(asked, kinds=("tuning",)), network.facts, ())
