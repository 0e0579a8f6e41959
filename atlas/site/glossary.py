"""The glossary as a script, so that a page can show the words for a term where the term stands.

The entries are those of the page about the atlas, to which terms link.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import NamedTuple

from atlas.canonical import canonical_json
from atlas.site.contents import Contents
from atlas.site.network_pages import about_view
from atlas.site.templates import Templates

GLOSSARY_VARIABLE = b"self.atlasGlossary = "  # of the glossary, which is a script
MOST_CHARACTERS = 320  # of the sentences that are shown beside a term


class Entry(NamedTuple):
    """A term and the sentences that say what it means."""

    term: str
    words: str


def glossary_script(templates: Templates, contents: Contents) -> bytes:
    """The script, loaded when a term is pointed at; pages opened from disk may not fetch JSON."""
    html = templates.render("glossary.html", about_view(contents)).decode()
    return GLOSSARY_VARIABLE + canonical_json(entries(html)).encode() + b";\n"


def entries(html: str) -> Mapping[str, Entry]:
    """By id, the entries of a list of terms, each with its first sentences."""
    reader = _Entries()
    reader.feed(html)
    return {
        name: Entry(_plain(term), first_sentences(_plain(words)))
        for name, (term, words) in reader.found.items()
    }


def first_sentences(text: str, most: int = MOST_CHARACTERS) -> str:
    """The first sentence, and the ones after it as long as all are short enough together."""
    shown, *others = re.split(r"(?<=[.!?]) (?=[A-ZΑ-Ωσ(])", text)
    for sentence in others:
        if len(shown) + 1 + len(sentence) > most:
            break
        shown = f"{shown} {sentence}"
    return shown


def _plain(text: str) -> str:
    return re.sub(r"[ \n]+", " ", text).strip()


class _Entries(HTMLParser):
    """Collects the text of terms that have an id, and of what follows each of them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: dict[str, list[str]] = {}
        self._name: str | None = None
        self._part = 0  # 0 in a term, 1 in its explanation

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "dt":
            self._name, self._part = dict(attrs).get("id"), 0
        elif tag == "dd":
            self._part = 1
        if self._name:
            self.found.setdefault(self._name, ["", ""])

    def handle_data(self, data: str) -> None:
        if self._name:
            self.found[self._name][self._part] += data
