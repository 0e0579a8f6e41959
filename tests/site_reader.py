"""Reads a built site as a browser would, for the tests of its pages."""

from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links, pictures, headings and text of one page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data.replace("\N{NO-BREAK SPACE}", " ")

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def targets(self) -> list[str]:
        return [
            value
            for _, attributes in self.tags
            for name in ("href", "src")
            if (value := attributes.get(name)) is not None
        ]

    @property
    def ids(self) -> set[str | None]:
        return {attributes["id"] for _, attributes in self.tags if "id" in attributes}


def read_pages(site: Path) -> dict[str, Page]:
    return {
        path.relative_to(site).as_posix(): Page(path.read_text(encoding="utf-8"))
        for path in sorted(site.rglob("*.html"))
    }


def resolve(page: str, target: str) -> str:
    """The path within the site that a relative link leads to."""
    parts: list[str] = []
    for part in (PurePosixPath(page).parent / unquote(urlsplit(target).path)).parts:
        if part != "..":
            parts.append(part)
        else:
            parts.pop()  # fails where a link leaves the site
    return "/".join(parts)


def broken_links(site: Path, pages: dict[str, Page] | None = None) -> list[tuple[str, str]]:
    """Each page with a link or picture of the site that leads to no file."""
    return [
        (path, target)
        for path, page in (pages or read_pages(site)).items()
        for target in page.targets
        if not target.startswith(("https:", "#")) and not (site / resolve(path, target)).is_file()
    ]
