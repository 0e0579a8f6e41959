"""Recipes of pictures: what every preset makes of every layer."""

from __future__ import annotations

import dataclasses

import pytest
import site_factory

from atlas.recipes import Fourier, full_size_steps, unit_recipe
from atlas.units import Layer

FACTS = site_factory.network()


def fourier(preset: str, layer: Layer, facts=FACTS, seed: int = 0) -> Fourier:
    recipe = unit_recipe("fourier", preset, layer, facts, seed)
    assert isinstance(recipe, Fourier)
    return recipe


def test_fine_pictures_are_512_px_at_every_depth():
    for layer in FACTS.layers:
        assert fourier("fine", layer).picture_px == 512


def test_progressive_is_the_tutorial_s():
    recipes = {
        layer.name: unit_recipe("progressive", "standard", layer, FACTS, seed=0)
        for layer in FACTS.layers
    }
    scales = {name: (recipe.n_scales, recipe.blur_px) for name, recipe in recipes.items()}
    assert scales.pop("conv1") == (20, 5)
    assert scales.pop("fc") == (25, 7)
    assert set(scales.values()) == {(15, 5)}
    sizes_px = recipes["fc"].sizes_px
    assert sizes_px[:4] == (56, 62, 68, 75)
    assert sizes_px[-1] == 711


@pytest.mark.parametrize("preset", ["preview", "standard", "fine"])
@pytest.mark.parametrize("input_size_px", [96, 224])
def test_every_preset_makes_a_sound_canvas_at_every_depth(preset, input_size_px):
    seen_as = dataclasses.replace(FACTS.preprocessing, size_px=input_size_px)
    facts = dataclasses.replace(FACTS, preprocessing=seen_as)
    for field_px in (1, 3, 7, 11, 19, 43, 91, 131, 211, 299, 427, 483, 1000):
        layer = dataclasses.replace(FACTS.layers[1], receptive_field_px=field_px)
        recipe = fourier(preset, layer, facts, seed=3)
        sizes_px = [stage.size_px for stage in recipe.stages]
        assert sizes_px == sorted(sizes_px)
        assert all(stage.steps > 0 for stage in recipe.stages)
        assert recipe.seen_px >= 16 and recipe.picture_px >= 128, (field_px, recipe)
        assert recipe.seed == 3


def test_a_finer_preset_costs_more_and_shows_more():
    layer = FACTS.layer("fc")
    preview, standard, fine = (fourier(preset, layer) for preset in ("preview", "standard", "fine"))
    assert preview.seen_px < standard.seen_px < fine.seen_px
    for costs in (
        [recipe.n_steps for recipe in (preview, standard, fine)],
        [full_size_steps(recipe, FACTS) for recipe in (preview, standard, fine)],
    ):
        assert costs == sorted(costs)


@pytest.mark.parametrize("name", ["fourier", "progressive"])
def test_steps_are_counted_by_the_pixels_that_the_network_is_shown(name):
    """An ascent on canvases of half the side costs a quarter."""
    recipe = unit_recipe(name, "standard", FACTS.layer("fc"), FACTS, seed=0)
    seen_as = dataclasses.replace(FACTS.preprocessing, size_px=2 * FACTS.input_size_px)
    larger_input = dataclasses.replace(FACTS, preprocessing=seen_as)
    whole = full_size_steps(recipe, FACTS)
    assert full_size_steps(recipe, larger_input) == pytest.approx(whole / 4)
    size_px, steps = recipe.passes[0]
    alone = steps * (size_px / FACTS.input_size_px) ** 2
    rest = sum(n * (px / FACTS.input_size_px) ** 2 for px, n in recipe.passes[1:])
    assert whole == pytest.approx(alone + rest)


def test_a_hidden_layer_is_drawn_as_a_layer_that_sees_the_whole_image():
    """Its units are no classes: the recipe follows from the receptive field."""
    classes = FACTS.layer("fc")
    hidden = dataclasses.replace(classes, kind="hidden")
    recipe = fourier("standard", hidden)
    assert recipe.roughness == 0 and recipe.margin_px == 0
    assert recipe.seen_px == FACTS.input_size_px
    assert recipe != fourier("standard", classes)


def channel(field_px: int) -> Fourier:
    """The standard recipe of a channel with this receptive field, for images of 224 px."""
    seen_as = dataclasses.replace(FACTS.preprocessing, size_px=224)
    layer = dataclasses.replace(FACTS.layers[1], receptive_field_px=field_px)
    return fourier("standard", layer, dataclasses.replace(FACTS, preprocessing=seen_as))


# Up to 112 they are small, and 299 is wider than the canvas by a third.
FIELDS_PX = (7, 11, 19, 43, 91, 112, 113, 171, 298, 299, 427)


def test_a_channel_takes_at_most_24_full_size_steps():
    """They reach what 48 did before: docs/decisions/0006-channel-pictures.md."""
    facts = dataclasses.replace(
        FACTS, preprocessing=dataclasses.replace(FACTS.preprocessing, size_px=224)
    )
    costs = [full_size_steps(channel(field_px), facts) for field_px in FIELDS_PX]
    assert max(costs) <= 24 and costs[0] < 4


def test_the_wider_fields_are_the_more_steps_are_coarse():
    def fine_share(field_px: int) -> float:
        recipe = channel(field_px)
        return recipe.stages[-1].steps / recipe.n_steps

    shares = [fine_share(field_px) for field_px in FIELDS_PX]
    assert shares == [1] * 6 + [0.4] * 3 + [0.125] * 2


def test_small_fields_climb_faster_for_the_strongest_contrast():
    rates = [channel(field_px).lr for field_px in FIELDS_PX]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == pytest.approx(0.34, abs=0.01) and set(rates[6:]) == {0.2}


def test_a_single_class_has_no_rivals():
    classes = FACTS.layer("fc")
    assert fourier("standard", classes).rivals > 0
    assert fourier("standard", dataclasses.replace(classes, n_units=1)).rivals == 0
    assert fourier("preview", classes).rivals == 0
