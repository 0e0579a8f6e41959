"""What a cache of a shard was made for, so that it is not mixed with others."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from atlas.asked import AtlasSpec
from atlas.cache import Artifact, Cache
from atlas.records import to_json, value
from atlas.text import displayable
from atlas.units import NetworkFacts

KIND = "shard"  # of the artifact that says it


@dataclass(frozen=True)
class Origin:
    """Network, recipe and photographs of artifacts, and which shard made them."""

    network: str = value("name of the network")
    weights: str = value("name of the weights")
    identity: str = value("digest of the weights")
    recipe: str = value("recipe of the pictures")
    preset: str = value("preset of the pictures")
    seed: int = value("seed of the pictures")
    images_sha256: str = value("digest of the photographs; empty if there are none")
    shard: str = value("which shard, such as 2/3; empty if all was made")

    def __str__(self) -> str:
        shown = [displayable(str(each), 60) for each in (self.network, self.weights, self.recipe)]
        network, weights, recipe = shown
        images = self.images_sha256
        return (
            f"{network}, weights {weights} ({self.identity[:8]}), recipe {recipe}, preset "
            f"{displayable(str(self.preset), 60)}, seed {self.seed}, "
            f"{f'photographs {images[:8]}' if images else 'no photographs'}"
        )

    def is_of(self, other: Origin) -> bool:
        """Whether all but the shard is the same."""
        return dataclasses.replace(self, shard=other.shard) == other


def origin_of(asked: AtlasSpec, facts: NetworkFacts, shard: str = "") -> Origin:
    """Where the artifacts come from that are made for what was asked."""
    return Origin(
        facts.name,
        facts.weights,
        facts.identity,
        asked.recipe,
        asked.preset,
        asked.seed,
        asked.images_sha256,
        shard,
    )


def say_origin(cache: Cache, origin: Origin) -> None:
    """Keep in a cache what its artifacts are made for."""
    text = to_json(origin, "z")
    key = hashlib.sha256(f"{KIND} {text}".encode()).hexdigest()
    if not cache.entries([key]):
        cache.put([Artifact(key, origin.shard, KIND, 0, 0, text, 0.0, b"")])


def origins_in(cache: Cache) -> Iterator[Origin]:
    """What the shards in a cache were made for."""
    for entry in cache.of_kind(KIND):
        yield entry.record(Origin, "z")
