"""The table of WordNet's synsets, what it is made from, and synsets by words."""

from __future__ import annotations

import sys
import types

import pytest
from click.testing import CliRunner

from atlas.families.imagenet import IDS_PATH
from atlas.wordnet import LICENSE_PATH, above, imagenet_synsets, lemmas, table

IDS = IDS_PATH.read_text(encoding="ascii").split()
BEAGLE, TENCH = "n02088364", "n01440764"
# Three synsets as `data.noun` of WordNet 3.0 has them, with fewer pointers, after its licence.
NOUNS = """  1 This software and database is being provided to you.
  2
02083346 05 n 02 canine 0 canid 0 002 @ 02075296 n 0000 ~ 02084071 n 0000 | a mammal
02084071 05 n 03 dog 0 domestic_dog 0 Canis_familiaris 0 003 @ 02083346 n 0000 @ 01317541 n 0000 \
#m 02083863 n 0000 | barks
09917593 18 n 01 Lassie 0 001 @i 02084071 n 0000 | a dog of films
"""


def test_every_class_of_imagenet_is_in_the_table_with_all_above_it():
    synsets = imagenet_synsets()
    assert set(IDS) < set(synsets)
    for synset in synsets.values():
        assert synset.lemmas and all(parent in synsets for parent in synset.parents)
    assert above(IDS, synsets) == set(synsets)
    roots = [synset.lemmas[0] for synset in synsets.values() if not synset.parents]
    assert roots == ["entity"]


def test_a_beagle_is_a_hound_a_dog_and_an_animal_and_no_fish():
    synsets = imagenet_synsets()
    words = {lemma for each in above([BEAGLE], synsets) for lemma in synsets[each].lemmas}
    assert {"beagle", "hound", "dog", "domestic dog", "animal"} <= words
    assert "fish" not in words
    assert synsets[TENCH].lemmas == ("tench", "Tinca tinca")


def test_hounds_are_nineteen_of_118_dogs():
    synsets = imagenet_synsets()
    names = [{synsets[each].lemmas[0] for each in above([synset_id], synsets)} for synset_id in IDS]
    assert sum("dog" in words for words in names) == 118
    assert sum("hound" in words for words in names) == 19


def test_the_table_is_read_from_wordnets_own_file(tmp_path, monkeypatch):
    (tmp_path / "data.noun").write_text(NOUNS.replace("01317541", "02083346"), encoding="ascii")
    ids = tmp_path / "ids.txt"
    ids.write_text("n02084071", encoding="ascii")
    monkeypatch.setattr(table, "IDS_PATH", ids)
    monkeypatch.setattr(table, "TABLE_PATH", tmp_path / "table.tsv")
    monkeypatch.setattr(table, "LICENSE_PATH", tmp_path / "LICENSE")
    nouns = table.read_nouns(NOUNS)
    assert nouns["n02084071"].lemmas == ("dog", "domestic dog", "Canis familiaris")
    assert nouns["n02084071"].parents == ("n02083346", "n01317541")
    assert nouns["n09917593"].parents == ("n02084071",)  # an instance
    (tmp_path / "data.noun").write_text(
        NOUNS.replace("@ 02075296 n 0000 ", "! 02075296 n 0000 ").replace("01317541", "02083346"),
        encoding="ascii",
    )
    done = CliRunner().invoke(table.main, [str(tmp_path)])
    assert done.exit_code == 0 and "2 synsets" in done.output
    lines = (tmp_path / "table.tsv").read_text().splitlines()
    assert lines[0] == "n02083346\tcanine|canid\t"
    assert (tmp_path / "LICENSE").read_text().startswith("This software and database")


def test_wordnets_licence_ships_with_the_table():
    licence = LICENSE_PATH.read_text()
    assert "WordNet 3.0 Copyright 2006 by Princeton University" in licence
    assert "Permission to use, copy, modify and distribute" in licence


class Meaning:
    """A synset as the optional package has it."""

    def __init__(
        self, offset: int, name: str, parents: list[Meaning], is_instance: bool = False
    ) -> None:
        self.offset, self.lemma_names = lambda: offset, lambda: [name]
        self.hypernyms = lambda: [] if is_instance else parents
        self.instance_hypernyms = lambda: parents if is_instance else []


def test_words_are_looked_up_where_the_package_is_installed(monkeypatch):
    animal = Meaning(1, "animal", [])
    singer = Meaning(4, "House_Cat", [animal], is_instance=True)
    known = {"house_cat": [singer, Meaning(2, "house_cat", [animal]), Meaning(3, "other", [])]}
    wordnet = types.SimpleNamespace(synsets=lambda word, pos: known.get(word, []))
    monkeypatch.setitem(sys.modules, "wn", types.SimpleNamespace(WordNet=lambda: wordnet))
    monkeypatch.setattr(lemmas, "package_version", lambda: lemmas.VERSION)
    lemmas._wordnet.cache_clear()
    ids, synsets = lemmas.synsets_of_words(["House cat", "zigzags"])
    lemmas._wordnet.cache_clear()
    assert ids == ("n00000002", "")
    assert synsets["n00000002"].lemmas == ("house cat",)
    assert synsets["n00000002"].parents == ("n00000001",)


@pytest.mark.parametrize("version", ["0.9.5", None])
def test_without_that_package_words_have_no_synsets(monkeypatch, version):
    def installed(name: str) -> str:
        if version is None:
            raise lemmas.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(lemmas.metadata, "version", installed)
    assert lemmas.synsets_of_words(["cat", "dog"]) == (("", ""), {})
