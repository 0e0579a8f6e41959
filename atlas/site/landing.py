"""The landing page of a site of several atlases: a card for each, and search across all of them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from atlas import paths
from atlas.canonical import canonical_json
from atlas.site import guard, record, wording
from atlas.site.atlases import AtlasCard, FoundAtlas, atlas_folders, find_atlases
from atlas.site.network_pages import LostPage
from atlas.site.outputs import Output, Pages, static_files
from atlas.site.parts import (
    Card,
    CardPicture,
    Fact,
    Head,
    LandingSite,
    Link,
    data_attributes,
)
from atlas.site.resources import STATIC_DIR, TEMPLATES_DIR
from atlas.site.templates import Templates
from atlas.site.writer import alone, program_digest, remove_alone, remove_site, update

TITLE = "Atlases of convolutional networks"


@dataclass(frozen=True)
class CardView:
    """An atlas on the landing page."""

    heading: str
    href: str
    picture: str | None
    alt: str
    facts: tuple[Fact, ...]
    same: tuple[Link, ...]  # other atlases with the same layers


@dataclass(frozen=True)
class LandingPage:
    """View of the landing page."""

    head: Head
    words: str
    cards: tuple[CardView, ...]


def prepare_landing(site_dir: Path, name: str) -> None:
    """Find out before any work whether a folder can hold several atlases, and one of this name.

    Raises:
        SiteError: it is an atlas itself, has a front page of someone else, or an atlas whose name
            differs in case only.
    """
    with alone(site_dir):
        guard.refuse_single(site_dir)
        guard.refuse_alike(name, [folder.name for folder in atlas_folders(site_dir)])
        recorded, sizes = record.load(site_dir), record.sizes(site_dir, [paths.INDEX])
        ours = [path for path in sizes if paths.is_ours(path)]
        guard.refuse_foreign(site_dir, ours, recorded, sizes)


def write_landing(site_dir: Path, base_url: str = "") -> None:
    """Bring the landing page up to date with the atlases there are; without any, remove it.

    Args:
        site_dir: the folder in which each atlas has a folder.
        base_url: where the site will be, for previews on other sites.

    Raises:
        SiteError: it cannot be written, is an atlas itself, or has files of someone else.
    """
    with alone(site_dir):
        guard.refuse_single(site_dir)
        atlases = find_atlases(site_dir)
        if not atlases:
            remove_alone(site_dir)
            return
        names = " ".join(atlas.card.name for atlas in atlases)
        settings = data_attributes(atlases=names)
        site = LandingSite(TITLE, f"{base_url.rstrip('/')}/" if base_url else "", settings)
        templates = Templates(TEMPLATES_DIR, STATIC_DIR, site)
        digest = _digest(program_digest(templates, STATIC_DIR), repr(atlases))
        plan = partial(_outputs, atlases, Pages(templates, digest))
        update(site_dir, digest, plan, _no_artifacts)


def remove_whole(site_dir: Path) -> int:
    """Remove a site of one atlas or of several, and nothing else; returns how many files.

    Raises:
        SiteError: a file cannot be removed, or a build is writing one of the atlases.
    """
    n_removed = sum(remove_one(folder) for folder in atlas_folders(site_dir))
    return n_removed + remove_site(site_dir)


def remove_one(folder: Path) -> int:
    """Remove one of several atlases, and its folder if nothing else is in it.

    Raises:
        SiteError: a file cannot be removed, or a build is writing the atlas.
    """
    n_removed = remove_site(folder)
    with contextlib.suppress(OSError):
        folder.rmdir()
    return n_removed


def _outputs(atlases: Sequence[FoundAtlas], pages: Pages) -> list[Output]:
    return [
        *static_files(STATIC_DIR),
        pages.page(paths.INDEX, "landing.html", partial(_landing_view, atlases)),
        pages.page(paths.LOST, paths.LOST, _lost_view),
        pages.data(paths.ATLASES, partial(_script, atlases)),
    ]


def _landing_view(atlases: Sequence[FoundAtlas]) -> LandingPage:
    n_pages = wording.count(sum(atlas.card.n_pages for atlas in atlases))
    words = f"{wording.count(len(atlases), 'atlas', 'atlases')}, pages of {n_pages} units"
    return LandingPage(
        Head(
            TITLE,
            f"What each unit wants to see, and the weights it sees with: {words}.",
            "",
            "network",
            Card(paths.INDEX, _card_picture(atlases)),
        ),
        words,
        tuple(_card_view(atlas, atlases) for atlas in atlases),
    )


def _card_picture(atlases: Sequence[FoundAtlas]) -> CardPicture | None:
    """The picture of the first atlas that has one; how large it is, is not known here."""
    cards = [atlas.card for atlas in atlases if atlas.card.picture]
    return CardPicture(f"{cards[0].name}/{cards[0].picture}", None, cards[0].alt) if cards else None


def _card_view(atlas: FoundAtlas, atlases: Sequence[FoundAtlas]) -> CardView:
    card = atlas.card
    same = (each for each in atlases if each.architecture == atlas.architecture)
    return CardView(
        heading=card.network,
        href=f"{card.name}/{paths.INDEX}",
        picture=f"{card.name}/{card.picture}" if card.picture else None,
        alt=card.alt,
        facts=tuple(_facts(card)),
        same=tuple(
            Link(each.card.name, f"{each.card.name}/{paths.INDEX}")
            for each in same
            if each is not atlas
        ),
    )


def _facts(card: AtlasCard) -> Iterator[Fact]:
    yield Fact("Name", card.name)
    yield Fact("Weights", card.weights)
    yield Fact("Units", wording.count(card.n_units))
    if card.n_pages < card.n_units:
        yield Fact("Rendered so far", wording.count(card.n_pages))
    yield Fact("Recipe", card.recipe)


def _lost_view() -> LostPage:
    return LostPage(
        Head(f"Not found · {TITLE}", "There is no such page in this site.", ""),
        words="No atlas of this site has a page at this address; perhaps the unit is not rendered "
        "yet.",
        marker=paths.ATLASES,
    )


def _script(atlases: Sequence[FoundAtlas]) -> bytes:
    """What pages of units look up to link to the same unit elsewhere; a script, as the index is."""
    data = {
        atlas.card.name: {
            "architecture": atlas.architecture,
            "classes": atlas.classes,
            "classifier": atlas.classifier,
            "pages": atlas.pages,
        }
        for atlas in atlases
    }
    return f"self.atlases = {canonical_json(data)};\n".encode()


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=20).hexdigest()


def _no_artifacts(key: str) -> bytes:
    raise KeyError(key)  # these pages show none
