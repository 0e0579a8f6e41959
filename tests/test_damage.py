"""Artifacts that turn out to be damaged: how they are named, and when they are given up."""

from __future__ import annotations

import pytest

from atlas.cache import Cache, Damaged
from atlas.damage import N_MENDINGS, names_of, without_damage
from atlas.errors import CacheError, DamagedError


def test_work_is_done_again_after_each_mending(cache: Cache):
    done: list[str] = []

    def work() -> int:
        done.append("work")
        if len(done) < 5:
            raise DamagedError("damaged")
        return 7

    assert without_damage(cache, work, lambda: done.append("mend")) == 7
    assert done == ["work", "mend", "work", "mend", "work"]


def test_a_cache_that_keeps_nothing_is_given_up_and_not_mended_for_nothing(cache: Cache):
    done: list[str] = []

    def work() -> None:
        done.append("work")
        raise DamagedError("damaged")

    with pytest.raises(CacheError, match="does not keep what is stored in it; give another folder"):
        without_damage(cache, work, lambda: done.append("mend"))
    assert done == ["work", "mend"] * N_MENDINGS + ["work"]


def test_a_few_damaged_artifacts_are_named_and_the_others_counted():
    damaged = [Damaged("", f"conv1:{nth}", "filter") for nth in range(1200)]
    assert names_of(damaged[:1]) == "filter of conv1:0"
    assert names_of(damaged[:3]) == "filter of conv1:0, filter of conv1:1, filter of conv1:2"
    assert names_of(damaged).endswith("filter of conv1:2 and 1,197 more")
