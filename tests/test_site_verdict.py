"""What is said under a unit's heading, case by case, and that the page below agrees."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pytest
import site_factory
from site_reader import Page

from atlas.site.evidence import evidence_view
from atlas.site.verdict import (
    STANDINGS,
    Border,
    Known,
    known_of,
    standing,
    verdict,
    verdict_view,
)
from atlas.site.writer import write_site
from atlas.units import Unit

GOOD = Known(
    name="hound",
    auc=0.972,
    tried=("kind of photograph", "drawn stimulus"),
    has_picture=True,
    reached=9.0,
    noise=1.5,
    photograph=5.5,
    similarity=0.95,
    similarity_other=0.1,
)


def said(**changes: object) -> str:
    return " ".join(verdict(dataclasses.replace(GOOD, **changes)).sentences)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {},
            "Photographs of this kind drive the unit further than others do, in 97 of 100",
        ),
        ({"auc": 0.9996}, "in 99 of 100 comparisons."),
        ({"auc": 1.0}, "in every comparison."),
        ({"is_class": True}, "Photographs of this kind raise the score further than others do"),
        ({"given": "dogs"}, "A name given by hand. Photographs of “hound” drive the unit further"),
        ({"preferred": ("red", "rings")}, "Of drawn stimuli, it prefers red and rings."),
        ({"name": ""}, "No kind of photograph and no drawn stimulus that was tried describes"),
        (
            {"name": "", "tried": ("drawn stimulus",)},
            "No drawn stimulus that was tried describes it.",
        ),
        ({"name": "", "tried": ()}, "Nothing was tried yet that would describe it in words."),
        ({"has_picture": False}, "Its picture is not rendered yet."),
        ({"is_dead": True}, "No step of the ascent changed its response"),
        (
            {"norm_share": 0.049},
            "After its BatchNorm it varies only 4.9\N{NO-BREAK SPACE}% as much",
        ),
        (
            {"border": Border("+13.6 σ", "top left corner", "+0.5 σ")},
            "drives it to +13.6 σ in the top left corner of its map, and to +0.5 σ in the middle",
        ),
        ({"reached": 1.5}, "no further than plain noise does, and so shows nothing."),
        ({"begun": 9.0}, "did not raise its score, and so shows nothing."),
        ({"reached": 5.4}, "The best photograph drives it further than its picture does"),
        ({"reached": 5.4, "one_position": 6.0}, "though not as far as the picture of one"),
        ({"reached": 5.4, "one_position": 5.0}, "further than its picture does"),
        ({"reached": 5.5}, "Its picture drives it further than any of the photographs does."),
        ({"photograph": None}, "further than plain noise does; nothing else was there"),
        ({"photograph": None, "noise": None}, "There is nothing to compare its picture with."),
        ({"reached": None}, "There is nothing to compare its picture with."),
        ({"rank": 0}, "The network takes the picture for this class."),
        ({"rank": 3}, "The network takes the picture for another class."),
        ({"similarity_other": 0.9}, "hardly more alike than pictures of two units are."),
        ({"similarity_other": None}, "A second seed gives much the same picture."),
        ({"similarity": 0.6}, "A second seed gives a picture that is alike in part."),
        ({"similarity": 0.4}, "A second seed gives another picture"),
    ],
)
def test_each_case_has_its_sentence(changes: dict[str, object], words: str):
    assert words in said(**changes)


def test_a_name_by_hand_comes_before_a_measured_one_and_none_is_an_answer():
    assert verdict(GOOD).name == "hound"
    assert verdict(dataclasses.replace(GOOD, given="dogs")).name == "dogs"
    assert verdict(Known()).name == ""


def test_nothing_is_said_of_a_picture_that_shows_nothing():
    """Neither that two of them are alike, nor what the network takes it for."""
    for changes in ({"has_picture": False}, {"is_dead": True}, {"reached": 1.0}, {"begun": 10.0}):
        words = said(rank=0, **changes)
        assert "seed" not in words and "this class" not in words


def test_the_units_that_photographs_drive_further_are_told_exactly():
    """Whatever else is known: the sentence is there if and only if it is true."""
    levels = (None, 1.0, 2.0, 3.0)
    for reached, noise, photograph, one in itertools.product(levels, repeat=4):
        known = Known(
            has_picture=True, reached=reached, noise=noise, photograph=photograph, one_position=one
        )
        words = " ".join(verdict(known).sentences)
        shows_nothing = reached is None or (noise is not None and reached <= noise)
        is_below = photograph is not None and reached is not None and photograph > reached
        assert ("best photograph drives it further" in words) == (is_below and not shows_nothing)
        assert ("further than any of the photographs" in words) == (
            photograph is not None and not is_below and not shows_nothing
        )
        assert ("not as far as the picture of one" in words) == (
            "best photograph drives it further" in words
            and one is not None
            and photograph is not None
            and one > photograph
        )


def test_a_unit_that_varies_enough_is_not_called_switched_off():
    assert "BatchNorm" not in said(norm_share=0.05)
    assert "BatchNorm" not in said(norm_share=None)


def test_what_a_border_does_is_told_of_the_units_that_respond_to_it():
    contents, _ = site_factory.contents()
    layer = contents.facts.layers[0]
    with site_factory.changed_numbers(contents, layer.name, "border") as made:
        made["z_border"][0], made["z_middle"][0], made["place"][0] = 6.04, -0.5, "right edge"
    told, other = (known_of(contents, layer, unit).border for unit in layer.units[:2])
    assert told == Border("+6.0\N{NO-BREAK SPACE}σ", "right edge", "−0.5\N{NO-BREAK SPACE}σ")
    assert other is None
    sentences = verdict_view(contents, layer, layer.units[0]).sentences
    assert any("at the right edge of its map" in sentence for sentence in sentences)


def test_every_standing_is_reached_and_has_words():
    reached = {
        standing(Known(has_picture=True, reached=2.0, **changes))
        for changes in (
            {"is_dead": True},
            {"begun": 3.0},
            {"noise": 3.0},
            {"photograph": 3.0},
            {"photograph": 3.0, "one_position": 4.0},
            {"photograph": 1.0},
            {"noise": 1.0},
            {},
        )
    }
    assert reached | {standing(Known())} == set(STANDINGS)


def test_it_is_decided_by_the_numbers_that_the_axis_shows():
    contents, _ = site_factory.contents(site_factory.network(n_blocks=(1,)))
    for layer in contents.facts.layers:
        for unit in layer.units:
            known = known_of(contents, layer, unit)
            evidence = evidence_view(contents, layer, unit)
            assert evidence
            shown = {each.fact.term: each.fact.value for each in evidence.answers}
            for term, value in (
                ("Excitatory picture", known.reached),
                ("Best photograph", known.photograph),
            ):
                assert shown[term].startswith(f"{value:+.2f}"), (unit.id, term)


def test_a_name_that_is_the_heading_is_not_said_again():
    plain, _ = site_factory.contents(site_factory.network(n_blocks=(1,)))
    classifier = plain.facts.layers[-1]
    names = {"fc:3": plain.label(classifier, 3) or "", "fc:1": "an owl"}
    named = dataclasses.replace(plain, given_names=names)
    assert verdict_view(named, classifier, classifier.unit(3)).name == ""
    assert verdict_view(named, classifier, classifier.unit(1)).name == "an owl"


def test_the_sentences_stand_right_under_the_heading(tmp_path: Path):
    contents, _ = site_factory.contents(site_factory.network(n_blocks=(1,)))
    unit = Unit("layer1.0.conv2", 2)
    with site_factory.changed_numbers(contents, unit.id, "excitatory") as numbers:
        numbers["z_max"] = 5.0
    write_site(contents, tmp_path)
    page = Page((tmp_path / unit.layer / "0002.html").read_text(encoding="utf-8"))
    words = "though not as far as the picture of one receptive field"
    assert page.text.index(words) < page.text.index("Response")
    assert [tag for tag, attributes in page.tags if attributes.get("class") == "verdict"] == ["p"]
