"""Where an atlas is made, kept and shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from atlas import paths
from atlas.cluster import Cluster
from atlas.sharding import Shard


@dataclass(frozen=True)
class Places:
    """Folders, device and address of an atlas. None of them changes a picture."""

    out_dir: Path = Path("site")
    cache_dir: Path = Path(".atlas-cache")
    device: str = "auto"
    base_url: str = ""  # of the published site
    site_dir: Path | None = None  # of several atlases, each in a folder there; None for only one
    left_out: tuple[str, ...] = ()  # kinds that are not to be in the site
    images_dir: Path | None = None  # photographs
    shard: Shard | None = None  # the part of everything that is made here; None: all of it
    cluster: Cluster | None = None  # workers that make the artifacts; None: this process does
    names_path: Path | None = None  # names that are given to units by hand

    @property
    def front_page(self) -> Path:
        """The page to begin with: that of the atlas, or of several."""
        return (self.site_dir or self.out_dir) / paths.INDEX
