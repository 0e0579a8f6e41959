"""The units of the tour and of the front page's strip are chosen by the rule that is told."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
import site_factory
from PIL import Image
from site_reader import Page

from atlas.site.contents import Contents
from atlas.site.tour import N_NOMINEES, N_STEPS, chosen, contrast, nominees, steps_of, tour_title
from atlas.site.writer import write_site
from atlas.units import Unit

LAYER = "layer1.0.downsample.0"  # of 20 units


def contents(**options: object) -> Contents:
    return site_factory.contents(site_factory.network(n_blocks=(1, 1, 1)), **options)[0]


def encoded(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).convert("RGB").save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


def halves(low: int, high: int) -> bytes:
    return encoded(np.repeat([[low], [high]], 64, axis=0).repeat(128, axis=1))


def test_contrast_is_that_of_shapes_and_not_of_grain():
    grain = np.indices((128, 128)).sum(axis=0) % 2 * 255
    assert contrast(halves(0, 255)) == pytest.approx(127.5, abs=0.5)
    assert contrast(halves(100, 140)) == pytest.approx(20, abs=0.5)
    assert contrast(encoded(grain)) == pytest.approx(0, abs=0.5)


def test_of_each_step_the_picture_with_most_contrast_is_chosen_and_the_first_of_equals():
    one, other = ([Unit(layer, nth) for nth in range(3)] for layer in ("a", "b"))
    faint, clear = halves(100, 140), halves(0, 255)
    pictures = [faint, faint, clear, faint, clear, clear]
    words = {unit: unit.id for unit in (*one, *other)}
    assert chosen([one, other], pictures, words) == (one[2], other[1])
    words[other[1]] = words[one[2]]  # what is said once already is not said again
    assert chosen([one, other], pictures, words) == (one[2], other[2])
    assert chosen([one, other], pictures, dict.fromkeys(words, "")) == (one[2], other[1])
    assert chosen([one], pictures[:3], {**words, one[2]: ""}) == (one[0],)


def test_steps_go_from_the_first_layer_to_the_classes():
    known = contents()
    layers = [units[0].layer for units in nominees(known)]
    names = [layer.name for layer in known.facts.layers]
    assert len(layers) == N_STEPS
    assert layers[0] == "conv1" and layers[-1] == "fc"
    places = [names.index(layer) for layer in layers]
    assert places == sorted(places)
    assert {after - before for before, after in itertools.pairwise(places)} <= {1, 2, 3}
    assert all(len(units) <= N_NOMINEES for units in nominees(known))


def test_dead_units_are_not_nominated_and_described_ones_are_before_others():
    known = contents()
    unit = known.facts.layer(LAYER).units
    with site_factory.changed_numbers(known, f"{LAYER}:7", "excitatory") as numbers:
        numbers["dead"] = True
    with site_factory.changed_numbers(known, LAYER, "names") as numbers:
        numbers["is_name"] = [index in (3, 7, 9) for index in range(20)]
    with site_factory.changed_numbers(known, LAYER, "tuning") as numbers:
        numbers["orientation_selectivity"] = [None] * 20
    (units,) = (units for units in nominees(known) if units[0].layer == LAYER)
    assert set(units[:2]) == {unit[3], unit[9]}
    assert unit[7] not in units


def test_units_whose_seeds_agree_are_before_others_and_then_those_with_most_evidence():
    known = contents()
    layer = known.facts.layer(LAYER)
    for index, similarity in ((0, 0.9), (5, 0.1), (10, 0.1), (15, 0.9)):  # there are twins of these
        with site_factory.changed_numbers(known, f"{LAYER}:{index}", "twin") as numbers:
            numbers.update(similarity=similarity, similarity_other=0.0)
    (units,) = (units for units in nominees(known) if units[0].layer == LAYER)
    # The factory's peaks rise with the number, so that the last has most evidence.
    expected = (15, 0, 19, 18, 17, 16, 14, 13)
    assert units == tuple(layer.unit(index) for index in expected)


def test_fewer_layers_make_fewer_steps_and_none_makes_no_tour(tmp_path: Path):
    few = contents(wanted=lambda unit, kind: unit.layer in ("conv1", LAYER))
    assert [units[0].layer for units in nominees(few)] == ["conv1", LAYER]
    units = [each[0] for each in nominees(few)]
    assert tour_title(few, units) == "From early to late in two steps"
    write_site(contents(wanted=lambda unit, kind: kind == "filter"), tmp_path)
    assert not (tmp_path / "tour.html").exists()
    assert "tour.html" not in (tmp_path / "index.html").read_text()


def test_the_steps_say_what_their_units_are():
    known = contents()
    units = [known.facts.layer(name).unit(2) for name in ("conv1", "layer2.0.conv2", "fc")]
    conv, block, klass = steps_of(known, units)
    assert conv.words == "hound" and conv.unit.href == "conv1/0002.html"
    assert conv.story.replace("\xa0", " ") == (
        "It sees 7 × 7 of the image’s 64 × 64 pixels at a time. Photographs of “hound” drive it "
        "harder than others do. Of drawn patterns, it prefers stripes near 30°, period 6 px."
    )
    assert block.picture == "layer2.0.conv2/0002.webp" and block.number == 2
    assert klass.words == "crane"
    assert klass.story.endswith("Shown this picture, the network answers “crane”, with 93.0\xa0%.")


def test_the_front_page_and_the_tour_show_the_chosen_units(tmp_path: Path):
    known = contents()
    write_site(known, tmp_path)
    index, tour = (
        Page((tmp_path / name).read_text(encoding="utf-8")) for name in ("index.html", "tour.html")
    )
    shown = [str(image["src"]) for image in tour.all("img")]
    pages = [source.replace(".webp", ".html") for source in shown]
    strip = [link["href"] for link in index.all("a") if link["href"] in pages]
    assert len(shown) == N_STEPS
    assert strip[-N_STEPS:] == pages  # the frontispiece leads to the last of them as well
    assert index.all("img")[0]["src"] == shown[-1]
    sheet = Image.open(tmp_path / "steps-00.webp").convert("RGB")
    for nth, source in enumerate(shown):
        layer, _, name = source.partition("/")
        expected = site_factory.colour(Unit(layer, int(name[:4])), "excitatory")
        middle = sheet.getpixel((192 * (nth % 3) + 96, 192 * (nth // 3) + 96))
        assert all(abs(a - b) <= 14 for a, b in zip(middle, expected, strict=True))


def test_the_front_page_says_what_it_is_and_draws_the_image(tmp_path: Path):
    write_site(contents(), tmp_path)
    page = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert "TinyNet sorts images into 8 classes. This atlas shows, for each of its" in page.text
    labels = [str(each.get("aria-label")) for each in page.all("svg")]
    assert "The image that the network is given: 64\xa0×\xa064 px, 3 colours" in labels
