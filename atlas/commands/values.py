"""From the texts of options to values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit, urlunsplit

from atlas import paths
from atlas.errors import SpecError
from atlas.kinds import find_kinds
from atlas.text import displayable

INDEX_PAGE = re.compile(rf"(?<=/){re.escape(paths.INDEX)}$")


def side_px_of(text: str | None) -> int | None:
    """`224` or `224x224` as the side of a square; None if the option was left out.

    Raises:
        SpecError: it is no side, or the sides differ.
    """
    if text is None:
        return None
    try:
        sides = {int(part) for part in re.split("[x,]", text)}
    except ValueError:
        raise SpecError(
            f"cannot read --input-size {text!r}; give the side of a square in pixels, such as 224"
        ) from None
    if len(sides) > 1:
        raise SpecError(
            f"--input-size {text} is not square; the atlas shows networks square images only: "
            f"give one side, such as {max(sides)}"
        )
    return sides.pop()


def numbers_of(option: str, text: str | None) -> tuple[float, ...]:
    """`0.5,0.5,0.5` as numbers; none if the option was left out.

    Raises:
        SpecError: a part is no number.
    """
    if text is None:
        return ()
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise SpecError(
            f"cannot read {option} {text!r}; give a number per channel, such as 0.5,0.5,0.5"
        ) from None


def items_of(option: str, texts: Sequence[str]) -> tuple[str, ...]:
    """The items of lists with commas, of an option that may be given several times.

    Raises:
        SpecError: the option is given, and has no items.
    """
    items = tuple(item.strip() for text in texts for item in text.split(",") if item.strip())
    if texts and not items:
        raise SpecError(f"{option} names nothing; leave it out to mean everything")
    return items


def kind_names_of(option: str, texts: Sequence[str]) -> tuple[str, ...]:
    """`excitatory,filter` as names of kinds.

    Raises:
        SpecError: there is no such kind.
    """
    names = items_of(option, texts)
    return tuple(kind.name for kind in find_kinds(names)) if names else ()


def published_at(text: str) -> str:
    """The address of a site, without what belongs to one page of it.

    Raises:
        SpecError: it is no address that can be published.
    """
    try:
        parts = urlsplit(text)
        is_plain = not re.search(r"[\s\x00-\x20\x7f\"<>\\\\^`{|}]", text)
        is_usable = parts.scheme in ("http", "https") and parts.hostname and is_plain
        is_usable = is_usable and "@" not in parts.netloc and parts.port != 0
    except ValueError:  # a port that is none, brackets that do not match
        is_usable = False
    if text and not is_usable:
        raise SpecError(
            f"cannot use {text!r} as --base-url; write it like https://name.github.io/atlas/"
        )
    return urlunsplit((parts.scheme, parts.netloc, INDEX_PAGE.sub("", parts.path), "", ""))


def atlas_name_of(name: str | None) -> str | None:
    """The name of an atlas in a site of several, which is that of its folder.

    Raises:
        SpecError: it is no name of a folder, or the site has one of that name.
    """
    if name is not None and name.lower() in paths.TAKEN_NAMES:
        raise SpecError(
            f"{displayable(name)!r} cannot be the name of an atlas: the site itself has "
            f"{', '.join(paths.TAKEN_NAMES)}; give another, such as --atlas resnet50-v2"
        )
    if name is not None and not paths.is_atlas_name(name):
        raise SpecError(
            f"{displayable(name)!r} cannot be the name of an atlas's folder; "
            "use letters, digits, '-', '_' and '.', such as --atlas resnet50-v2"
        )
    return name
