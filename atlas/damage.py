"""Artifacts of a cache that turn out to be damaged: they are named, and made again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from atlas.asked import AtlasSpec
from atlas.cache import Cache, Damaged
from atlas.console import say_above
from atlas.errors import CacheError, DamagedError
from atlas.plan import Job, Kinds, jobs_for, jobs_of
from atlas.units import NetworkFacts

N_MENDINGS = 3  # times that damage in the cache is mended before it is given up
N_NAMED = 3  # damaged artifacts that are named
Result = TypeVar("Result")


class Damage:
    """What of a cache was damaged since it was opened, and how it is made again.

    Args:
        cache: in which it is looked for.
        asked: what was asked for; gives the recipes of what is made again.
        facts: of the network.
        kinds: that may be made.
        has_images: whether there are photographs to make them from.
    """

    def __init__(
        self,
        cache: Cache,
        asked: AtlasSpec,
        facts: NetworkFacts,
        kinds: Kinds,
        *,
        has_images: bool,
    ) -> None:
        self._cache, self._asked, self._facts = cache, asked, facts
        self._kinds, self._has_images = kinds, has_images
        self._lost: dict[str, Damaged] = {}  # artifacts that were damaged, by their keys
        self._named: set[Damaged] = set()  # on stderr

    @property
    def is_known(self) -> bool:
        """Whether anything was damaged."""
        return bool(self._lost)

    def note(self, damaged: Iterable[Damaged]) -> None:
        """Remember damaged artifacts, and name those that were not named before on stderr."""
        new = [each for each in damaged if each not in self._named]
        if not new:
            return
        self._named.update(new)
        self._lost |= {each.key: each for each in new}
        say_above(self._words(new))

    def set_aside(self) -> None:
        """Delete what is damaged in the cache, bytes included, and remember what it was."""
        self.note(self._cache.set_aside())

    def jobs(self) -> tuple[Job, ...]:
        """The jobs for artifacts that were damaged, as far as they can be made again."""
        if not self._lost:
            return ()
        facts = self._facts
        whole = {layer.name: layer.units for layer in facts.layers}
        there, again = self._cache.keys(), set(self._lost)
        for _ in range(2):  # what is made from the network depends on what else is there again
            jobs = jobs_of(self._asked, facts, self._kinds, whole, there | again, are_made=False)
            possible = (job for job in jobs if self._has_images or not job.kind.needs_images)
            lost = jobs_for(possible, self._lost)
            before, again = again, {key for job in lost for key in job.keys}
            if again == before:
                break
        return lost

    def _words(self, new: Sequence[Damaged]) -> str:
        """Which artifacts are damaged, and how many of them cannot be made again."""
        again = {key for job in self.jobs() for key in job.keys}
        n_gone = sum(each.key not in again for each in new)
        gone = f"; {n_gone:,} cannot be made again with these options" if n_gone else ""
        return (
            f"Damaged in {self._cache.path}: {len(new):,} artifacts ({names_of(new)}), which count "
            f"as missing{gone}."
        )


def names_of(damaged: Sequence[Damaged]) -> str:
    """The first few of some damaged artifacts, and how many more there are."""
    named = ", ".join(map(str, damaged[:N_NAMED]))
    return f"{named} and {len(damaged) - N_NAMED:,} more" if len(damaged) > N_NAMED else named


def without_damage(cache: Cache, work: Callable[[], Result], mend: Callable[[], None]) -> Result:
    """What some work comes to that reads artifacts, mended and begun again where one is damaged.

    Raises:
        CacheError: the cache does not keep what is stored in it.
    """
    for _ in range(N_MENDINGS):
        try:
            return work()
        except DamagedError:
            mend()
    try:
        return work()
    except DamagedError as error:
        raise not_kept(cache) from error


def not_kept(cache: Cache) -> CacheError:
    """The error for a cache that does not keep what is stored in it."""
    return CacheError(
        f"{cache.path} does not keep what is stored in it; give another folder with --cache"
    )
