"""The search index of a site, which `static/js/search.js` reads.

Words that many units or classes share are in lists of their own: `words` are names with their
synonyms, `tastes` are stimuli that units prefer. Per layer, `names` and `tastes_of` have for each
unit its position in these lists plus one, or 0 for none. `questions` are what the page that finds
units in all layers has ready. It is loaded when somebody searches.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from typing import Any

from atlas.canonical import canonical_json
from atlas.kinds.names.view import Name, names_of, preferences_of
from atlas.kinds.tuning import KIND as TUNING
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.site.parts import Link
from atlas.units import Layer
from atlas.wordnet import Synset, above, imagenet_synsets, licence

INDEX_VARIABLE = b"self.atlasIndex = "  # of the search index, which is a script


def search_index(contents: Contents, questions: Sequence[Link] = ()) -> bytes:
    """The search index as a script, because pages opened from disk may not fetch JSON."""
    facts = contents.facts
    classifier = facts.classifier
    things = _things(facts.label_ids if classifier else ())
    words, tastes = Numbered(["|".join(each.lemmas) for each in things]), Numbered(())
    names = [names_of(contents, layer) for layer in facts.layers]
    index = {
        "layers": [_layer(contents, layer) for layer in facts.layers],
        "kinds": [layer.kind for layer in facts.layers],
        "classifier": classifier.name if classifier else None,
        "labels": facts.labels if classifier else (),
        "names": [_trimmed(words.of(_words(name)) for name in each) for each in names],
        "fits": [_trimmed(_percent(name) for name in each) for each in names],
        "tastes_of": [_trimmed(map(tastes.of, _tastes(contents, layer))) for layer in facts.layers],
        "classes": [_place(things, synset_id) for synset_id in facts.label_ids],
        "above": [[_place(things, parent) for parent in each.parents] for each in things],
        "words": words.texts,
        "words_licence": licence() if words.texts else "",
        "tastes": tastes.texts,
        "questions": [[question.text, question.href] for question in questions],
    }
    return INDEX_VARIABLE + canonical_json(index).encode() + b";\n"


class Numbered:
    """Texts that are numbered from 1, in the order in which they come."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = list(texts)
        self._numbers: dict[str, int] = {}
        for number, text in enumerate(self.texts, 1):
            self._numbers.setdefault(text, number)

    def of(self, text: str) -> int:
        """The number of a text, which is added if it is new; 0 for an empty one."""
        if text and text not in self._numbers:
            self.texts.append(text)
            self._numbers[text] = len(self.texts)
        return self._numbers.get(text, 0)


def _layer(contents: Contents, layer: Layer) -> list[Any]:
    """A layer's name, number of units, and runs of units with a page and with a picture."""
    pictured = (unit.index for unit in contents.pictured(layer))
    return [
        layer.name,
        layer.n_units,
        wording.ranges(contents.paged[layer.name]),
        wording.ranges(pictured),
    ]


def _words(name: Name | None) -> str:
    return "|".join((name.text, *name.synonyms)) if name else ""


def _percent(name: Name | None) -> int:
    """The AUC of a name; 0 if there is none."""
    return round(100 * name.auc) if name and name.auc else 0


def _tastes(contents: Contents, layer: Layer) -> list[str]:
    """For each unit of a layer, its taste; empty where no stimuli were shown."""
    if TUNING.name not in contents.made_in[layer.name]:
        return []
    return [_taste(contents, layer, index) for index in range(layer.n_units)]


def _taste(contents: Contents, layer: Layer, index: int) -> str:
    """The stimuli that a unit prefers, and other words for them."""
    preferred = preferences_of(contents, layer, index)
    shown = ", ".join(each.words[0] for each in preferred)
    return "|".join(dict.fromkeys((shown, *(word for each in preferred for word in each.words))))


def _trimmed(numbers: Iterable[int]) -> list[int]:
    """Numbers without the zeros at their end."""
    listed = list(numbers)
    while listed and not listed[-1]:
        listed.pop()
    return listed


def _things(ids: Sequence[str]) -> list[Synset]:
    """The synsets of the classes and all above them, as far as the table has them."""
    synsets = imagenet_synsets()
    known = above((synset_id for synset_id in ids if synset_id in synsets), synsets)
    return [synsets[synset_id] for synset_id in sorted(known)]


def _place(things: Sequence[Synset], synset_id: str) -> int:
    """The position of a synset among those in order of their ids; -1 if it is none of them."""
    place = bisect.bisect_left(things, synset_id, key=lambda each: each.id)
    return place if place < len(things) and things[place].id == synset_id else -1
