"""Names of units on pages, in the data files and in the search index."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import site_factory
from site_factory import EVIL
from site_reader import Page

from atlas.kinds.names import ConceptFit, NamesRecord
from atlas.kinds.names.description import preferences
from atlas.kinds.names.view import _but, description_of
from atlas.kinds.tuning import TuningRecord
from atlas.site.contents import Contents
from atlas.site.search_index import INDEX_VARIABLE, search_index
from atlas.site.writer import write_site

LAYER = "layer1.0.conv2"
CATS = {
    "tiger cat": "n02123159",
    "tabby": "n02123045",
    "Egyptian cat": "n02124075",
    "crane": "n02012849",
}


def contents(**changes: Any) -> Contents:
    made, _ = site_factory.contents(site_factory.network(n_blocks=(1,)))
    return dataclasses.replace(made, **changes)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out_dir = tmp_path_factory.mktemp("names")
    write_site(contents(given_names={f"{LAYER}:2": f"curves {EVIL}"}), out_dir)
    return out_dir


def text(site: Path, path: str) -> str:
    return Page((site / path).read_text(encoding="utf-8")).text


def index_of(known: Contents) -> dict[str, Any]:
    return json.loads(search_index(known).removeprefix(INDEX_VARIABLE).removesuffix(b";\n"))


def test_a_name_stands_with_its_evidence_and_says_who_gave_it(site: Path):
    words = text(site, f"{LAYER}/0000.html")
    assert (
        "hound. Photographs of this kind drive the unit further than others do, in 97 of 100"
        in words
    )
    assert "Named by machine: AUC 0.97 over 19 of 1,200 photographs, p < 0.001." in words
    assert "Of drawn stimuli, it prefers stripes near 30°, period 6 px." in words


def test_no_name_is_an_answer_with_its_reason(site: Path):
    words = text(site, f"{LAYER}/0001.html")
    assert "Described by machine: No name: of 40 concepts, " in words
    assert f"“{EVIL}” comes closest (AUC 0.61 over 600 of 1,200 photographs, p = 0.3)" in words
    assert "no closer than chance comes." in words


@pytest.mark.parametrize(
    ("auc", "p", "why"),
    [
        (0.9, 0.1, "no closer than chance comes"),
        (0.6, 0.001, "but not close enough"),
        (0.9, 0.001, "but other photographs drive the unit most"),
    ],
)
def test_each_reason_for_no_name_is_said(auc: float, p: float, why: str):
    fit = ConceptFit("hound", (), 10, False, auc, p)
    assert _but(NamesRecord(100, 9, largest_p=0.004, least_auc=0.7), fit) == why


def test_a_name_by_hand_comes_first_and_the_measured_one_stays(site: Path):
    words = text(site, f"{LAYER}/0002.html")
    assert f"curves {EVIL}. A name given by hand. Photographs of “hound” drive" in words
    assert "Named by machine: AUC 0.97" in words


def test_what_a_unit_speaks_for_is_said_of_those_that_the_classifier_reads():
    known = contents()
    last, classifier = known.facts.layers[-2:]
    with site_factory.changed_numbers(known, last.name, "circuit") as numbers:
        strongest = [[classifier.index, 3, 0.31], [classifier.index, 1, 0.2]]
        numbers["speaks_for"] = [strongest] * last.n_units
    words = f"By its weights, it speaks for “great grey owl” and “{EVIL}”."
    assert words in description_of(known, last, 0)
    assert "speaks for" not in description_of(known, known.facts.layers[0], 0)


def test_data_files_have_names_and_descriptions(site: Path):
    units = json.loads((site / LAYER / "units.json").read_bytes())["units"]
    assert units[0]["name"] == {"text": "hound", "by": "machine"}
    assert units[0]["description"].startswith("Tells “hound” from other photographs: AUC 0.97 ")
    assert units[1]["name"] is None and "No name" in units[1]["description"]
    assert units[2]["name"] == {"text": f"curves {EVIL}", "by": "hand"}
    assert units[0]["numbers"]["names"] == {
        "concept": 0,
        "is_name": True,
        "auc": 0.972,
        "p": 0.0002,
    }


def test_a_site_without_measurements_describes_nothing(tmp_path: Path):
    made, _ = site_factory.contents(
        site_factory.network(n_blocks=(1,)), lambda unit, kind: kind in ("excitatory", "filter")
    )
    write_site(made, tmp_path)
    assert "by machine" not in text(tmp_path, f"{LAYER}/0000.html")
    unit = json.loads((tmp_path / LAYER / "units.json").read_bytes())["units"][0]
    assert unit["name"] is None and unit["description"] is None


def test_other_names_by_hand_write_pages_anew(tmp_path: Path):
    write_site(contents(), tmp_path)
    report = write_site(contents(given_names={f"{LAYER}:2": "curves"}), tmp_path)
    assert 0 < report.n_written < report.n_files
    assert "curves. A name given by hand." in text(tmp_path, f"{LAYER}/0002.html")


def test_the_search_index_has_names_synonyms_and_what_units_prefer():
    known = contents(given_names={f"{LAYER}:2": "curves"})
    index = index_of(known)
    place = [name for name, *_ in index["layers"]].index(LAYER)
    names = [index["words"][number - 1] if number else None for number in index["names"][place]]
    assert names == ["hound|hound dog", None, "curves", EVIL, "hound|hound dog"]
    assert index["fits"][place] == [97, 0, 0, 97, 97]
    taste = index["tastes"][index["tastes_of"][place][0] - 1]
    assert taste.split("|")[0] == "rising diagonals" and "diagonal stripes" in taste
    assert index["kinds"][place] == "conv" and index["kinds"][-1] == "classifier"


def test_the_search_index_knows_what_classes_are():
    facts = site_factory.network(n_blocks=(1,))
    facts = dataclasses.replace(facts, labels=tuple(CATS), label_ids=tuple(CATS.values()))
    index = index_of(contents(facts=facts))
    words = index["words"]
    assert [words[place].split("|")[0] for place in index["classes"]] == [*CATS]
    assert "tabby cat" in words[index["classes"][1]]
    above = {words[parent].split("|")[0] for parent in index["above"][index["classes"][1]]}
    assert above == {"domestic cat"}
    assert "Princeton University" in index["words_licence"]
    unnamed = site_factory.contents(facts, lambda unit, kind: kind == "filter")[0]
    without_ids = dataclasses.replace(facts, label_ids=())
    assert index_of(dataclasses.replace(unnamed, facts=without_ids))["words_licence"] == ""


def tuned(**changes: Any) -> TuningRecord:
    numbers = site_factory.tuning_numbers(site_factory.layer("conv", 1, 3)) | changes
    return TuningRecord(**numbers)


@pytest.mark.parametrize(
    ("changes", "phrases"),
    [
        ({}, ["stripes near 30°, period 6\N{NO-BREAK SPACE}px"]),
        ({"orientation_selectivity": [0.2]}, []),
        ({"ring": [[1.0, 9.0]]}, ["rings of radius 9\N{NO-BREAK SPACE}px"]),
        ({"period": [[1.0, 1.9, 1.0]], "ring": [[1.0, 1.9]]}, []),
        (
            {"hue": [[5.0] + [1.0] * 11], "hue_deg": [354.0], "hue_selectivity": [0.8]},
            ["stripes near 30°, period 6\N{NO-BREAK SPACE}px", "red"],
        ),
        (
            {"hue": [[1.5] + [1.0] * 11], "hue_deg": [354.0], "hue_selectivity": [0.8]},
            ["stripes near 30°, period 6\N{NO-BREAK SPACE}px"],
        ),
    ],
)
def test_only_what_a_unit_clearly_prefers_is_put_into_words(changes, phrases):
    assert [each.phrase for each in preferences(tuned(**changes), 0)] == phrases


@pytest.mark.parametrize(
    ("angle_deg", "words"),
    [
        (3, "horizontal stripes"),
        (178, "horizontal stripes"),
        (50, "rising diagonals"),
        (95, "vertical stripes"),
        (130, "falling diagonals"),
    ],
)
def test_stripes_are_called_by_their_direction(angle_deg, words):
    (preferred,) = preferences(tuned(orientation_deg=[angle_deg]), 0)
    assert preferred.words[0] == words
