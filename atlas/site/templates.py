"""Loads, digests and renders the templates of pages."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from atlas import paths
from atlas.kinds.kind import Kind
from atlas.site.parts import LandingSite, Site

LONG_WORD = 16  # characters; longer words may be broken


class Templates:
    """The templates of all pages, and of the kinds' sections, ready to render one site.

    `digest` changes with any template, and with anything that every page shows.
    """

    def __init__(
        self,
        folder: Path,
        static_dir: Path,
        site: Site | LandingSite,
        kinds: Iterable[Kind[Any]] = (),
        family_glossary: str = "",
    ) -> None:
        sections: Mapping[str, jinja2.BaseLoader] = {
            kind.name: jinja2.FileSystemLoader(kind.folder) for kind in kinds
        }
        family = {paths.FAMILY_GLOSSARY: family_glossary}
        loader = jinja2.ChoiceLoader(
            [
                jinja2.FileSystemLoader(folder),
                jinja2.PrefixLoader(sections),
                jinja2.DictLoader(family),
            ]
        )
        self._environment = jinja2.Environment(
            loader=loader,
            autoescape=True,
            auto_reload=False,  # else every page checks whether a template changed
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            keep_trailing_newline=True,  # so that each section begins on a new line
            lstrip_blocks=True,
        )
        inlined = {name: _Inlined(static_dir / name) for name in ("js/lost.js", "css/lost.css")}
        self._environment.filters["breakable"] = breakable
        self._environment.globals.update(
            site=site, paths=paths, inlined=inlined, sections=_SectionMacros(self._environment)
        )
        names = (name for name in loader.list_templates() if name.endswith(".html"))
        sources = [loader.get_source(self._environment, name)[0] for name in names]
        parts = [*sources, repr(site), *(part.source for part in inlined.values())]
        self.digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()

    def render(self, name: str, view: object) -> bytes:
        """A page; `view` is all that the template sees besides `site`."""
        context: dict[str, Any] = {"page": view}
        html = self._environment.get_template(name).render(context)
        return _tidy(html).encode()


class _SectionMacros(dict[str, Any]):
    """By template, its macro `section(view)`.

    Calling a macro of a loaded template is quicker than an `include`.
    """

    def __init__(self, environment: jinja2.Environment) -> None:
        super().__init__()
        self._environment = environment

    def __missing__(self, template: str) -> Any:
        self[template] = self._environment.get_template(template).module.section  # type: ignore[attr-defined]
        return self[template]


class _Inlined:
    """A script or style inside 404.html, which is served at any depth and so cannot link to files.

    The page's Content-Security-Policy allows it by its digest.
    """

    def __init__(self, path: Path) -> None:
        self.source = Markup(_tidy(path.read_text(encoding="utf-8")).strip())
        digest = hashlib.sha256(self.source.encode()).digest()
        self.csp = f"'sha256-{base64.b64encode(digest).decode()}'"


@functools.lru_cache(maxsize=4096)  # the names of layers are on every page
def breakable(text: str, longest: int = LONG_WORD) -> Markup:
    """Text whose long words may be broken after dots and underscores, and before capitals.

    Browsers break words after a hyphen anyway.
    """
    if len(text) <= longest:
        return escape(text)
    marked = [
        re.sub(r"(?<=[._])(?=[^._])|(?<=[a-z])(?=[A-Z])", "\n", word)
        if len(word) > longest
        else word
        for word in re.split(r"([ -])", text)
    ]
    return escape("".join(marked)).replace("\n", Markup("<wbr>"))


def _tidy(html: str) -> str:
    """HTML without blank lines and indentation, which would enlarge every page.

    Several times as quick as a regular expression, which took a tenth of the time for a page.
    """
    return "\n".join(filter(None, map(str.lstrip, html.split("\n"))))
