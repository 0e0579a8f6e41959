"""The photographs of an atlas: those that are given, those that were shown last, those not used."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from atlas.addressing import artifact_keys
from atlas.asked import AtlasSpec
from atlas.cache import Cache
from atlas.errors import ImagesError
from atlas.families.family import Family
from atlas.kinds.natural import KIND as NATURAL
from atlas.kinds.natural import NaturalRecord
from atlas.places import Places
from atlas.progress import Progress
from atlas.units import NetworkFacts

if TYPE_CHECKING:  # torch, which takes seconds to import, is not always needed
    from atlas.images import ImageSet


def given_images(
    places: Places, family: Family | None, cache: Cache, progress: Progress
) -> ImageSet | None:
    """The photographs that were given, or else those of the family; None if there are none.

    Raises:
        ImagesError: the folder cannot be read, or has no photographs.
    """
    if places.images_dir is None:
        return family.images() if family else None
    from atlas.images import ImageFolder

    own = (places.site_dir or places.out_dir, places.cache_dir)
    return ImageFolder.of(places.images_dir, cache.image_digests, own, progress)


def last_shown(cache: Cache, asked: AtlasSpec, facts: NetworkFacts) -> tuple[str, int]:
    """Digest and number of the photographs that a network was shown last; "", 0 if none."""
    layers = {layer.name: layer for layer in facts.layers}
    for entry in reversed(cache.of_kind(NATURAL.name)):
        layer = layers.get(entry.unit)
        if layer is None:
            continue
        record = entry.record(NaturalRecord, layer.score_name)
        sha256 = record.images_sha256
        spec = NATURAL.spec(dataclasses.replace(asked, images_sha256=sha256), layer, facts)
        if (entry.key,) == artifact_keys(facts.identity, (layer.whole,), NATURAL.name, spec):
            return sha256, record.n_images + record.n_skipped
    return "", 0


def notes_on(
    images: ImageSet | None, cache: Cache, asked: AtlasSpec, facts: NetworkFacts
) -> tuple[str, ...]:
    """What of the photographs that were given was left out or skipped.

    Raises:
        ImagesError: every photograph was skipped.
    """
    if images is None:
        return ()
    notes = (f"Left out beside the photographs: {images.left_out}.",) if images.left_out else ()
    record = _answers(cache, asked, facts)
    if record is None or not record.n_skipped:
        return notes
    if not record.n_images:
        raise ImagesError.none_of_them(record.skipped_words)
    return (*notes, f"{record.skipped_words}.")


def _answers(cache: Cache, asked: AtlasSpec, facts: NetworkFacts) -> NaturalRecord | None:
    """The answers of any layer of a network to the photographs."""
    for layer in facts.layers:
        spec = NATURAL.spec(asked, layer, facts)
        keys = artifact_keys(facts.identity, (layer.whole,), NATURAL.name, spec)
        for entry in cache.entries(keys).values():
            return entry.record(NaturalRecord, layer.score_name)
    return None
