"""Which weights were asked for, found out without importing torch or loading them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from atlas.asked import AtlasSpec
from atlas.digest import file_sha256
from atlas.errors import NetworkError
from atlas.families.family import Family
from atlas.files import is_regular, is_there
from atlas.network.foreign import about_name
from atlas.text import displayable


def weights_source(asked: AtlasSpec, family: Family) -> str:
    """A text that identifies the weights: their family, name, and the digest of a local file.

    Raises:
        NetworkError: there are no such weights.
    """
    path = weights_path(asked, family)
    source = f"{family.name} {weights_name(asked, family)}"
    return f"{source} {weights_sha256(asked, path)}" if path else source


def weights_sha256(asked: AtlasSpec, path: Path) -> str:
    """A digest that identifies weights: of their file, and of which in it were asked for.

    Raises:
        NetworkError: the file cannot be read.
    """
    digest = file_sha256(path)
    if not asked.state_key:
        return digest
    return hashlib.sha256(f"{digest} {asked.state_key}".encode()).hexdigest()


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
    """The file that holds the weights; None for published weights that must be downloaded.

    Raises:
        NetworkError: the name is neither that of published weights nor looks like a file name.
    """
    if published := published_name(asked, family):
        if asked.state_key:
            raise NetworkError(
                "--state-key chooses in a file of yours; give it with --weights FILE"
            )
        return family.weights[published].file
    path = Path(asked.weights)
    about = about_name(asked.weights, family.name)
    if is_there(path) or (not about and (path.suffix or len(path.parts) > 1)):
        return path
    if about:
        raise NetworkError(f"{displayable(asked.weights)} {about}")
    known = " or ".join(family.weights)
    raise NetworkError(f"no weights called {asked.weights!r}; give {known}, or an existing file")


def published_name(asked: AtlasSpec, family: Family) -> str | None:
    """The name of the published weights that were asked for; None if a file was asked for.

    The name may follow the family's enum, as torchvision writes it: "VGG16_Weights.IMAGENET1K_V1".
    """
    if not asked.weights:
        return family.default_weights
    if is_regular(Path(asked.weights)):
        return None
    enum, dot, name = asked.weights.rpartition(".")
    is_of_family = not dot or enum.lower() == f"{family.name}_weights"
    return name if is_of_family and name in family.weights else None
