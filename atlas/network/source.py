"""Which weights were asked for, found out without importing torch or loading them."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

from atlas.asked import AtlasSpec, Preparation
from atlas.canonical import canonical_json
from atlas.digest import file_sha256
from atlas.errors import NetworkError, SpecError
from atlas.families import DEFAULT_NAME
from atlas.families.family import RECOMMENDED, Family, Finder
from atlas.files import is_regular, is_there
from atlas.network.foreign import about_name
from atlas.network.several_files import find_index
from atlas.text import displayable, enumerated
from atlas.units import Preprocessing

MIDDLE = 0.5  # mean and standard deviation that take 0..1 to -1..1


def weights_source(asked: AtlasSpec, origin: Family | Finder) -> str | None:
    """A text that identifies network and weights: their names, and the digest of a local file.

    None where the names may mean another network or other weights some other time.

    Args:
        asked: the network and its weights.
        origin: the network's family, or what would find it.

    Raises:
        NetworkError: there are no such weights.
    """
    if isinstance(origin, Family):
        source: str | None = _family_source(asked, origin)
    else:
        source = _found_source(asked, origin)
    if source and asked.preparation.given:
        source += f" {canonical_json(dataclasses.asdict(asked.preparation))}"
    return source


def weights_sha256(asked: AtlasSpec, path: Path) -> str:
    """A digest that identifies weights: of their files, and of which in them were asked for.

    Raises:
        NetworkError: a file cannot be read.
    """
    index = find_index(path)
    files = (index.path, *index.parts) if index else (path,)
    digests = [file_sha256(file) for file in files]
    if len(digests) == 1 and not asked.state_key:
        return digests[0]
    return hashlib.sha256(" ".join([*digests, asked.state_key]).encode()).hexdigest()


def weights_name(asked: AtlasSpec, family: Family) -> str:
    """The name that the weights are published under, or the name of their file, to be shown.

    Raises:
        NetworkError: there are no such weights.
    """
    path = weights_path(asked, family)
    if (name := published_name(asked, family)) or not path:
        return name or ""
    key = f" ({displayable(asked.state_key)})" if asked.state_key else ""
    return displayable(path.name) + key


def weights_path(asked: AtlasSpec, family: Family) -> Path | None:
    """The file of the weights, or the index of several; None for what is to be downloaded.

    Raises:
        NetworkError: the name is neither that of published weights nor looks like a file name.
    """
    if (published := published_name(asked, family)) is not None:
        if asked.state_key:
            raise NetworkError(
                "--state-key chooses in a file of yours; give it with --weights FILE"
            )
        return family.weights[published].file
    path = _given(asked.weights)
    about = about_name(asked.weights, family.name)
    if is_there(path) or (not about and (path.suffix or len(path.parts) > 1)):
        return path
    if about:
        raise NetworkError(f"{displayable(asked.weights)} {about}")
    known = " or ".join(name for name in family.weights if name)
    raise NetworkError(f"no weights called {asked.weights!r}; give {known}, or an existing file")


def published_name(asked: AtlasSpec, family: Family) -> str | None:
    """The name of the published weights that were asked for; None if a file was asked for.

    The name may follow the family's enum, as torchvision writes it: "VGG16_Weights.IMAGENET1K_V1".
    Upper and lower case are the same.
    """
    if not asked.weights:
        return family.default_weights
    if is_regular(_given(asked.weights)):
        return None
    name = _without_enum(asked.weights, family.name)
    if name.upper() == RECOMMENDED and name not in family.weights:
        return family.recommended_weights or family.default_weights
    known = {each.lower(): each for each in family.weights}
    return name if name in family.weights else known.get(name.lower())


def with_channels(published: Preprocessing, n_channels: int) -> Preprocessing:
    """The same for images of other channels, which are taken to -1..1."""
    middle = (MIDDLE,) * n_channels
    return dataclasses.replace(published, mean=middle, std=middle)


def prepared(published: Preprocessing, preparation: Preparation) -> Preprocessing:
    """The preprocessing that comes with weights, with what was given instead of it.

    With another input size, the same share of a photograph is seen.

    Raises:
        SpecError: mean and standard deviation are of different numbers of channels.
    """
    if preparation == Preparation():
        return published
    size_px = preparation.input_size_px or published.size_px
    mean, std = preparation.mean or published.mean, preparation.std or published.std
    if len(mean) != len(std):
        raise SpecError(
            f"{_numbered(len(mean), 'mean')} and {_numbered(len(std), 'standard deviation')}; "
            "give --mean and --std, with one number each for every channel of the image"
        )
    return dataclasses.replace(
        published,
        size_px=size_px,
        resize_px=published.resize_px * size_px / published.size_px,
        mean=mean,
        std=std,
    )


def preprocessing_source(
    asked: AtlasSpec, family: Family, published: str | None, has_other_channels: bool = False
) -> str:
    """Where the preprocessing comes from; empty if it comes from published weights as it is."""
    assumed = family.assumed_preprocessing
    if published is None and not assumed:
        assumed = f"that of {family.title} {family.default_weights}".strip()
    if has_other_channels and not (asked.preparation.mean and asked.preparation.std):
        assumed += f", but for a mean and standard deviation of {MIDDLE}"
    given = asked.preparation.given
    words = [f"{enumerated(given)} as given"] if given else []
    if assumed and len(given) < len(dataclasses.fields(Preparation)):
        words.append(f"{'the rest ' if given else ''}assumed to be {assumed}")
    return "; ".join(words)


def _family_source(asked: AtlasSpec, family: Family) -> str:
    path = weights_path(asked, family)
    source = f"{family.name} {weights_name(asked, family)}"
    return f"{source} {weights_sha256(asked, path)}" if path else source


def _found_source(asked: AtlasSpec, finder: Finder) -> str | None:
    """The text for a network that is found only when it is loaded, if names are enough for it."""
    if not finder.is_stable:
        return None
    name, path = asked.family or DEFAULT_NAME, _given(asked.weights)
    if asked.weights and is_regular(path):
        return f"{name} {displayable(path.name)} {weights_sha256(asked, path)}"
    weights = _without_enum(asked.weights or finder.default_weights, name)
    return None if weights.upper() == RECOMMENDED else f"{name} {weights}"


def _given(weights: str) -> Path:
    """The path that was given, or that of the index of the several files that it stands for."""
    index = find_index(Path(weights)) if weights else None
    return index.path if index else Path(weights)


def _without_enum(weights: str, family_name: str) -> str:
    """The name of weights, without the family's enum before it."""
    enum, _, name = weights.rpartition(".")
    return name if enum.lower() == f"{family_name}_weights" else weights


def _numbered(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count != 1 else ''}"
