"""The default recipe finds patterns that are known beforehand."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import (
    GABOR_ANGLE_DEG,
    GABOR_PERIOD_PX,
    IMAGE_PX,
    HiddenLinear,
    gabor,
    make_network,
    randomise,
)
from torch import nn

from atlas.asked import AtlasSpec
from atlas.kinds import dream, field
from atlas.kinds.dream import DreamRecord
from atlas.kinds.excitatory import ExcitatoryRecord
from atlas.kinds.field import FieldRecord
from atlas.network.network import Network
from atlas.pictures.ascent import Ascent
from atlas.pictures.finished import centre_response, finish, layer_response, responses
from atlas.pictures.fourier import (
    COLOUR_MATRIX,
    Canvas,
    Rivals,
    Stream,
    _jitters,
    _roughness,
    ascend,
    climb,
    jittered,
    middle_field,
    objective,
)
from atlas.pictures.picture import Picture
from atlas.recipes import Fourier, Stage, unit_recipe
from atlas.records import to_numbers

RECIPE = Fourier(stages=(Stage(48, 32), Stage(72, 32)), margin_px=5, objective="power", decay=0.6)

MEAN = dataclasses.replace(RECIPE, objective="mean", decay=1.0)


class Red(nn.Module):
    """Two units that weigh red alone, the second under a negative BatchNorm scale."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(2)
        self.fc = nn.Linear(2, 2)
        with torch.no_grad():
            self.conv1.weight.zero_()
            self.conv1.weight[:, 0] = 4.0
            self.bn1.weight.copy_(torch.tensor([1.0, -1.0]))

    def forward(self, images):
        return self.fc(self.bn1(self.conv1(images)).relu().mean((2, 3)))


def render(
    network: Network,
    layer_name: str,
    indices,
    recipe=RECIPE,
    measure=responses,
    record=ExcitatoryRecord,
):
    layer = network.facts.layer(layer_name)
    units = [layer.unit(index) for index in indices]
    ascent = ascend(network.tap(layer, "float32"), units, recipe)
    ascent = dataclasses.replace(ascent, enlargement=1)  # the image that the network was shown
    return finish(ascent, units, network.tap(layer), record, measure).pictures()


def dominant(pixels: np.ndarray) -> tuple[float, float]:
    """Angle across the stripes, in degrees of 180, and period in pixels, over all frequencies."""
    grey = pixels.mean(2) - pixels.mean()
    window = np.hanning(len(grey))
    power = np.abs(np.fft.fft2(grey * np.outer(window, window))) ** 2
    frequencies = np.fft.fftfreq(len(grey))
    fy, fx = np.meshgrid(frequencies, frequencies, indexing="ij")
    f, angle = np.hypot(fy, fx), np.arctan2(fy, fx)
    power = power * (f > 1 / 20)
    doubled = math.atan2((power * np.sin(2 * angle)).sum(), (power * np.cos(2 * angle)).sum())
    return math.degrees(doubled / 2) % 180, power.sum() / (power * f).sum()


def angle_between(first_deg: float, second_deg: float) -> float:
    return abs((first_deg - second_deg + 90) % 180 - 90)


@pytest.mark.parametrize("unit", [0, 1])
def test_a_planted_gabor_gives_its_own_stripes(planted: Network, unit):
    (picture,) = render(planted, "conv1", [unit])
    angle_deg, period_px = dominant(picture.pixels)
    assert angle_between(angle_deg, GABOR_ANGLE_DEG) < 10
    assert period_px == pytest.approx(GABOR_PERIOD_PX, rel=0.25)


@pytest.mark.parametrize(("unit", "sign"), [(0, 1), (1, -1)])
def test_where_a_gabor_peaks_the_picture_is_the_gabor(planted: Network, unit, sign):
    (picture,) = render(planted, "conv1", [unit])
    patches = np.lib.stride_tricks.sliding_window_view(
        picture.pixels.astype(float) - 127.5, (11, 11), axis=(0, 1)
    )  # (h, w, 3, 11, 11)
    kernel = sign * gabor().numpy()
    best = patches.reshape(-1, kernel.size) @ kernel.ravel()
    most = 127.5 * np.abs(kernel).sum()  # every pixel black or white, as the kernel wants it
    assert best.max() > 0.6 * most


def test_a_negative_scale_turns_the_pattern_over():
    """Red is what the kernel likes; under a negative scale, excitation means the lack of it."""
    red, not_red = render(make_network(Red()), "conv1", [0, 1], MEAN)
    assert red.pixels[..., 0].mean() > 200
    assert not_red.pixels[..., 0].mean() < 55
    assert red.record.score > 0 and not_red.record.score > 0


def test_opponent_colours(planted: Network):
    (picture,) = render(planted, "conv1", [2], MEAN)
    red, green, _ = picture.pixels.reshape(-1, 3).mean(0)
    assert red - green > 60


def test_the_ascent_raises_the_unit(planted: Network):
    for picture in render(planted, "conv1", [0, 1, 2]):
        assert picture.record.highest > 2


def test_a_dead_unit_is_said_to_be_dead(planted: Network):
    dead, alive = render(planted, "conv1", [3, 0])
    assert dead.record.dead
    assert not alive.record.dead


def test_inhibition_turns_the_pattern_over(planted: Network):
    """Less of the opponent pair red-green is more green, and what excites the mirrored unit."""
    (excited,) = render(planted, "conv1", [2], MEAN)
    (inhibited,) = render(planted, "conv1", [2], dataclasses.replace(MEAN, aim="inhibit"))
    red, green, _ = inhibited.pixels.reshape(-1, 3).mean(0)
    assert green - red > 60
    assert inhibited.record.score == pytest.approx(-excited.record.score, rel=0.1)
    stripes = render(planted, "conv1", [0], dataclasses.replace(RECIPE, aim="inhibit"))[0]
    assert stripes.record.lowest < -2
    assert angle_between(dominant(stripes.pixels)[0], GABOR_ANGLE_DEG) < 10


def test_a_single_field_comes_near_the_best_that_there_is(planted: Network):
    """For a filter over the image that is every pixel black or white, as its weight wants it."""
    layer = planted.facts.layers[0]
    recipe = field.KIND.spec(AtlasSpec(), layer, planted.facts)
    pictures = render(planted, "conv1", [0, 1, 2], recipe, centre_response, FieldRecord)
    half_range = 0.5 / 0.25  # from mid grey to black or white, as the network gets it
    for picture in pictures:
        best = half_range * planted.weight(layer)[picture.unit.index].abs().sum().item()
        assert 0.9 * best <= picture.record.score <= 1.001 * best
        assert picture.pixels.shape == (11, 11, 3)


def test_a_single_field_is_cut_where_the_unit_looks(planted: Network):
    """The Gabor's own kernel, in place: not shifted by a pixel, not turned over."""
    layer = planted.facts.layers[0]
    recipe = field.KIND.spec(AtlasSpec(), layer, planted.facts)
    (picture,) = render(planted, "conv1", [0], recipe, centre_response, FieldRecord)
    wanted = gabor().numpy()[0]
    shown = picture.pixels.mean(2) - 127.5
    inner = np.abs(wanted) > 0.1 * np.abs(wanted).max()
    assert (np.sign(shown[inner]) == np.sign(wanted[inner])).mean() > 0.95


@pytest.mark.parametrize("map_size", [6, 7])
def test_the_field_of_the_middle_is_where_gradients_reach(map_size):
    """The walk's arithmetic against the network itself, strides and paddings included."""

    class Strided(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, 2, 7, stride=2, padding=3, bias=False)
            self.pool = nn.MaxPool2d(3, stride=2, padding=1)
            self.conv2 = nn.Conv2d(2, 2, 4, stride=2, padding=1, bias=False)
            self.fc = nn.Linear(2, 2)

        def forward(self, images):
            return self.fc(self.conv2(self.pool(self.conv1(images))).mean((2, 3)))

    network = make_network(Strided(), 96)
    layer = network.facts.layer("conv2")
    reached = torch.zeros(16 * map_size, dtype=torch.bool)
    for seed in range(20):  # a maximum passes one gradient on, so look at many images
        generator = torch.Generator().manual_seed(seed)
        side = 8 * map_size
        images = torch.rand(1, 3, side, side, generator=generator).requires_grad_(True)
        maps = network.tap(layer)(images)[:, 0]
        assert maps.shape[-1] == map_size
        network.tap(layer).middle(maps).sum().backward()
        reached[:side] |= images.grad.abs().amax((0, 1, 2)) > 0
    columns = reached.nonzero().flatten()
    field = middle_field(layer, map_size)
    assert (int(columns.min()), int(columns.max()) + 1) == (field.start, field.stop)


def test_a_layers_own_picture_moves_its_units_together(planted: Network):
    layer = planted.facts.layers[0]
    recipe = dream.KIND.spec(AtlasSpec(), layer, planted.facts)
    tap = planted.tap(layer, "float32")
    ascent = ascend(tap, [layer.whole], recipe)
    (picture,) = finish(ascent, [layer.whole], tap, DreamRecord, layer_response).pictures()
    assert picture.unit.id == layer.name
    assert picture.record.rms > 2 * picture.record.rms_start


def test_a_flat_colour_is_within_reach():
    """A unit that weighs red alone comes near what pure red would give."""
    network = make_network(Red())
    layer = network.facts.layers[0]
    recipe = unit_recipe("fourier", "standard", layer, network.facts, seed=0)
    linear = dataclasses.replace(recipe, objective="mean")
    (picture,) = render(network, "conv1", [0], linear)
    assert picture.record.score > 0.85 * 4.0 * 0.5 / 0.25


def test_small_gradients_leave_a_colour_flat():
    """A unit that weighs red alone sees fewer dark specks where small gradients move less."""
    network = make_network(Red())
    layer = network.facts.layers[0]
    recipe = unit_recipe("fourier", "standard", layer, network.facts, seed=0)
    assert isinstance(recipe, Fourier) and recipe.least_gradient
    alike = dataclasses.replace(recipe, least_gradient=0.0)
    (flat,) = render(network, "conv1", [0], recipe)
    (specked,) = render(network, "conv1", [0], alike)
    red, specked_red = flat.pixels[..., 0] / 255, specked.pixels[..., 0] / 255
    assert (red < 0.9).mean() < 0.7 * (specked_red < 0.9).mean()
    assert flat.record.score > 1.25 * specked.record.score


class Swelling:
    """The share of red in an image; at every other step its gradients are larger by a factor."""

    def __init__(self, factor: float) -> None:
        self.factors = itertools.cycle([1.0, factor])

    def score(self, images, jitter, stage):
        return next(self.factors) * images[:, 0].mean((1, 2))


def test_steps_count_alike_however_large_their_gradients_are(planted: Network):
    recipe = dataclasses.replace(RECIPE, least_gradient=0.01, stages=(Stage(16, 8),), margin_px=0)
    streams = [Stream(0, planted.layers[0].unit(0))]
    images = [
        climb(Swelling(factor), streams, recipe, torch.device("cpu")).final
        for factor in (1.0, 1000.0)
    ]
    assert (images[0] - images[1]).abs().max() < 1e-3
    plain = dataclasses.replace(recipe, least_gradient=0.0)
    other = climb(Swelling(1000.0), streams, plain, torch.device("cpu")).final
    assert (images[0] - other).abs().max() > 0.05


def test_an_image_without_a_gradient_begins_again_from_stronger_noise():
    """A unit behind a threshold that only high contrast passes is not called dead."""

    class Shy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, 1, 1)
            self.conv2 = nn.Conv2d(1, 2, 3, padding=1, bias=False)
            self.fc = nn.Linear(2, 2)
            with torch.no_grad():
                self.conv1.weight.fill_(1.0)
                self.conv1.bias.fill_(-4.0)  # first noise reaches about 2, white is 6
                self.conv2.weight[0] = 1.0
                self.conv2.weight[1] = 0.0

        def forward(self, images):
            return self.fc(self.conv2(self.conv1(images).relu()).mean((2, 3)))

    shy, dead = render(make_network(Shy()), "conv2", [0, 1])
    assert not shy.record.dead and shy.record.score > 1
    assert dead.record.dead


class TwoClasses(nn.Module):
    """The mean of red minus that of green, their sum, and a class of nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.classes = nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            rows = [[1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
            self.classes.weight[:, :, 0, 0] = torch.tensor(rows)

    def forward(self, images):
        return self.classes(images).mean((2, 3))


def penalties(network: Network, images: torch.Tensor, n_steps: int) -> list[list[float]]:
    """What each step's scores of the three classes are lowered by, for three images."""
    tap, channels = network.tap(network.layers[-1], "float32"), torch.arange(3)
    recipe = Fourier((Stage(8, n_steps),), 0, "power", rivals=0.3)
    rivals = Rivals(tap, channels, recipe)
    rows = []
    for step in range(n_steps):
        inputs, maps = tap.inputs_and_own_maps(images * (step + 1), channels)
        rows.append(rivals.penalty(inputs, tap.sigmas(maps, channels)).tolist())
    return rows


def test_rivals_are_held_down_in_the_second_half_but_not_for_a_class_that_nothing_moves():
    network = make_network(TwoClasses())
    colour = torch.tensor([0.5, 0.25, 0.0]).view(1, 3, 1, 1).expand(3, 3, 8, 8)
    *early, last = penalties(network, colour, n_steps=4)
    assert early[0] == early[1] == [0, 0, 0]
    difference, total = 4 * 0.25, 4 * 0.75  # the logits at the last step; that of nothing is 0
    first = 0.3 * np.log(np.exp(total) + 1)
    second = 0.3 * np.log(np.exp(difference) + 1)
    assert last == pytest.approx([first, second, 0])


def test_the_mean_colour_moves_as_far_as_its_gain_says():
    still, spectrum = torch.device("cpu"), torch.zeros(1, 3, 8, 5, 2)
    spectrum[0, 0, 0, 0, 0] = 1.0  # the mean of the first colour
    for gain in (0.5, 0.1):
        image = Canvas.of(8, 1.0, still, gain).image(spectrum)
        assert image[0, :, 0, 0].tolist() == pytest.approx(
            (gain * COLOUR_MATRIX[:, 0]).sigmoid().tolist()
        )
        assert image.std((2, 3)).max() < 1e-6


def test_momentum_and_jitter_are_the_recipes(planted: Network):
    layer = planted.layers[0]
    streams = [Stream(0, layer.unit(0))]
    steady = Fourier((Stage(16, 11),), 0, "power")
    falling = dataclasses.replace(steady, last_jitter=0.3)
    ratio = (_jitters(streams, falling) / _jitters(streams, steady)).mean((1, 2))
    assert ratio.tolist() == pytest.approx([1 - 0.07 * step for step in range(11)])
    pictures = [
        render(planted, layer.name, [0], dataclasses.replace(steady, momentum=momentum))[0].pixels
        for momentum in (0.9, 0.5, 0.5)
    ]
    assert np.array_equal(pictures[1], pictures[2]) and not np.array_equal(*pictures[:2])


class FarBelow(nn.Module):
    """Classes of a Gabor, of which noise is far below the threshold, and one of nothing."""

    def __init__(self, *, rectified: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 11, padding=5, bias=False)
        self.classes = nn.Conv2d(1, 3, 1)
        self.rectified = rectified
        with torch.no_grad():
            self.conv.weight[0] = gabor()
            self.classes.weight[:, 0, 0, 0] = torch.tensor([1.0, 1.0, 0.0])
            self.classes.bias.copy_(torch.tensor([0.0, -25.0, -1.0]))

    def forward(self, images):
        maps = self.classes(self.conv(images).relu())
        return (maps.relu() if self.rectified else maps).mean((2, 3))


@pytest.mark.parametrize("rectified", [True, False])
def test_a_class_is_raised_from_far_below_its_threshold(rectified: bool):
    """Noise gives a rectified logit of exactly 0, or else one in the flat part of a softplus."""
    network = make_network(FarBelow(rectified=rectified))
    recipe = unit_recipe("fourier", "standard", network.layers[-1], network.facts, seed=0)
    assert isinstance(recipe, Fourier) and recipe.roughness
    near, far, dead = render(network, "classes", [0, 1, 2], recipe)
    for picture in (near, far):
        assert not picture.record.dead
        assert picture.record.score > picture.record.start + 1
        angle_deg, _ = dominant(picture.pixels)
        assert angle_between(angle_deg, GABOR_ANGLE_DEG) < 10
    assert far.record.start == 0 if rectified else far.record.start < -20
    assert dead.record.dead and dead.record.score == dead.record.start


def test_what_exceeds_the_threshold_counts_or_the_average_where_that_is_higher(seeded: Network):
    layer = seeded.facts.layer("layer1.1.conv2")
    tap, channels = seeded.tap(layer), torch.tensor([0, 1])
    z = torch.tensor([[[1.0, -3.0]], [[1.0, -3.0]]])  # (2, 1, 2)
    for offset, level in ((2.0, 0.0), (-2.0, 2.0)):  # a threshold below the average, one above
        tap.offset[:] = offset
        expected = F.softplus(z - level).square().mean((1, 2)).sqrt()
        torch.testing.assert_close(objective(tap, z, channels, RECIPE), expected)
        downwards = dataclasses.replace(RECIPE, aim="inhibit")
        expected = F.softplus(-z).square().mean((1, 2)).sqrt()
        torch.testing.assert_close(objective(tap, z, channels, downwards), expected)


def test_a_class_that_fell_is_tried_again_more_slowly_and_the_others_are_kept(
    seeded: Network, monkeypatch: pytest.MonkeyPatch
):
    asked = []

    def climb(responses, streams, recipe, device, on_step):
        """Class 1 falls, and a picture's grey is the learning rate."""
        classes = [stream.unit.index for stream in streams]
        responses._first = torch.zeros(len(classes), 1, 1)
        responses._last = torch.tensor([[[-1.0 if index == 1 else 1.0]] for index in classes])
        asked.append((classes, recipe.lr))
        grey = torch.full((len(classes), 3, 8, 8), recipe.lr)
        return Ascent(grey, grey.clone(), torch.ones(len(classes), dtype=torch.bool))

    monkeypatch.setattr("atlas.pictures.fourier.climb", climb)
    layer = seeded.layers[-1]
    assert layer.is_classifier
    ascent = ascend(seeded.tap(layer), [layer.unit(index) for index in range(3)], RECIPE)
    rate, slower = RECIPE.lr, 0.6 * RECIPE.lr
    assert asked == [([0, 1, 2], rate), ([1], slower)]
    assert ascent.final[:, 0, 0, 0].tolist() == pytest.approx([rate, slower, rate])


def test_a_picture_does_not_depend_on_its_batch(seeded: Network):
    """In few steps, because what sums differ by in their last digits can grow in a long ascent."""
    short = dataclasses.replace(RECIPE, stages=(Stage(48, 4), Stage(72, 4)))
    together = render(seeded, "layer1.1.conv2", range(4), short)
    for index, one in enumerate(together):
        (alone,) = render(seeded, "layer1.1.conv2", [index], short)
        assert np.abs(one.pixels.astype(int) - alone.pixels.astype(int)).max() <= 3
        other = together[(index + 1) % 4]
        assert np.abs(one.pixels.astype(int) - other.pixels.astype(int)).mean() > 5


def test_same_seed_same_bytes_other_seed_other_picture(seeded: Network):
    first, again = (render(seeded, "layer1.0.conv1", [1])[0] for _ in range(2))
    other = render(seeded, "layer1.0.conv1", [1], dataclasses.replace(RECIPE, seed=1))[0]
    assert first.pixels.tobytes() == again.pixels.tobytes()
    assert first.pixels.tobytes() != other.pixels.tobytes()


def test_classes_carry_the_networks_own_prediction(seeded: Network):
    for picture in render(seeded, "fc", range(3), dataclasses.replace(RECIPE, margin_px=0)):
        record = picture.record
        probabilities = [p for _, p in record.top5]
        assert len(probabilities) == 3  # of three classes
        assert sum(probabilities) == pytest.approx(1, abs=1e-3)
        assert probabilities == sorted(probabilities, reverse=True)
        assert record.top5[record.rank][0] == picture.unit.index
        assert record.score > record.start


@pytest.mark.parametrize("aim", ["excite", "inhibit"])
def test_units_of_a_hidden_linear_layer_are_driven_in_measured_sigmas(aim):
    network = make_network(randomise(HiddenLinear()))
    layer = network.facts.layer("hidden")
    recipe = Fourier((Stage(IMAGE_PX, 48),), margin_px=0, objective="power", aim=aim)
    pictures = render(network, "hidden", range(layer.n_units), recipe)
    for picture in pictures:
        record = picture.record
        assert (
            record.score - record.start > 2 if aim == "excite" else record.start - record.score > 2
        )
        assert record.score == record.highest == record.lowest  # of one position
        assert record.rank is None and record.top5 is None  # no class
        numbers = to_numbers(record, layer.score_name)
        assert set(numbers) == {"z", "z_max", "z_min", "z_start"}
    tap = network.tap(layer)
    images = torch.stack([torch.from_numpy(picture.pixels) for picture in pictures])
    answers = tap(tap.normalise(images.permute(0, 3, 1, 2) / 255))
    answers = tap.all_sigmas(answers)[:, :, 0, 0].diagonal()
    scores = [picture.record.score for picture in pictures]
    assert scores == pytest.approx(answers.tolist(), abs=2e-3)


def test_a_window_is_the_middle_of_the_canvas_and_moves_with_the_jitter():
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    still = torch.zeros(2, 4)
    torch.testing.assert_close(jittered(images, still, 32), images)
    torch.testing.assert_close(jittered(images, still, 20), images[:, :, 6:26, 6:26])
    moved = torch.tensor([[0.0, 0.0, 2 * 4 / 32, 0.0], [0.0, 0.0, 0.0, -2 * 6 / 32]])
    right, up = jittered(images, moved, 20)
    torch.testing.assert_close(right, images[0, :, 6:26, 10:30])
    torch.testing.assert_close(up, images[1, :, 0:20, 6:26])


def test_windows_reach_all_of_the_canvas(planted: Network):
    stages = (Stage(48, 32), Stage(72, 48, window_px=48))
    recipe = dataclasses.replace(RECIPE, stages=stages, shift=0.2)
    (picture,) = render(planted, "conv1", [0], recipe)
    ends = (np.s_[:30], np.s_[-30:])
    for rows, columns in itertools.product(ends, ends):
        assert dominant(picture.pixels[rows, columns])[1] == pytest.approx(GABOR_PERIOD_PX, rel=0.2)


def test_roughness_is_what_steps_between_pixels_come_to():
    stripes = torch.zeros(1, 3, 4, 4)
    stripes[..., ::2] = 0.5  # every step to the right is one of a half
    assert _roughness(stripes).item() == pytest.approx(0.25)
    assert _roughness(stripes.transpose(2, 3)).item() == pytest.approx(0.25)
    assert _roughness(torch.full((1, 3, 4, 4), 0.3)).item() == 0


def test_what_roughness_costs_makes_pictures_smoother_and_still_the_units_own(seeded: Network):
    plain, smooth = (
        render(seeded, "fc", range(3), dataclasses.replace(RECIPE, margin_px=0, roughness=weight))
        for weight in (0.0, 300.0)
    )
    for rough, even in zip(plain, smooth, strict=True):
        assert roughness_of(even) < 0.7 * roughness_of(rough)
        assert even.record.score > even.record.start


def roughness_of(picture: Picture) -> float:
    pixels = torch.from_numpy(picture.pixels / 255).permute(2, 0, 1)[None]
    return _roughness(pixels).item()


def test_a_larger_canvas_shows_the_same_image():
    small, large = (Canvas.of(size_px, 1.0, torch.device("cpu")) for size_px in (32, 64))
    spectrum = torch.randn(1, 3, 32, 17, 2) * 0.3
    spectrum[:, :, 16] = 0  # the highest frequency of an even canvas has no twin on a larger one
    spectrum[:, :, :, 16] = 0
    image = small.image(spectrum)
    larger = large.image(small.enlarge(spectrum, large))
    torch.testing.assert_close(larger[:, :, ::2, ::2], image, atol=1e-5, rtol=1e-4)


def test_a_small_picture_is_enlarged_smoothly_and_measured_as_it_is(planted: Network):
    """54 px are measured, and 162 px are shown, of which each 3 x 3 pixels stand for one."""
    recipe = dataclasses.replace(RECIPE, stages=(Stage(64, 4),), margin_px=5)
    layer, units = planted.layers[0], planted.layers[0].units[:2]
    ascent = ascend(planted.tap(layer, "float32"), units, recipe)
    assert ascent.final.shape[-1] == recipe.seen_px == 54
    large, small = (
        finish(each, units, planted.tap(layer), ExcitatoryRecord).pictures()
        for each in (ascent, dataclasses.replace(ascent, enlargement=1))
    )
    for one, other in zip(large, small, strict=True):
        assert one.pixels.shape == (recipe.picture_px, recipe.picture_px, 3) == (162, 162, 3)
        assert one.record == dataclasses.replace(other.record, enlargement=3)
        means = one.pixels.reshape(54, 3, 54, 3, 3).mean((1, 3))
        assert np.corrcoef(means.ravel(), other.pixels.ravel())[0, 1] > 0.98


def test_a_picture_of_128_px_and_one_of_a_field_are_left_as_they_are():
    assert dataclasses.replace(RECIPE, stages=(Stage(138, 1),)).enlargement == 1
    assert dataclasses.replace(RECIPE, stages=(Stage(137, 1),)).enlargement == 2
    assert dataclasses.replace(RECIPE, objective="centre").enlargement == 1


def test_an_image_begins_grey_with_the_same_contrast_on_every_canvas():
    for size_px in (32, 96):
        spectrum = torch.randn(4, 3, size_px, size_px // 2 + 1, 2) * 0.3
        image = Canvas.of(size_px, 1.0, torch.device("cpu")).image(spectrum)
        assert image.mean().item() == pytest.approx(0.5, abs=0.05)
        assert image.std().item() == pytest.approx(0.07, abs=0.03)
