"""Memory that threads share is never exceeded, and nobody waits for ever."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from atlas.memory_budget import MemoryBudget, TooMuchError


def test_threads_together_stay_within_the_budget_and_all_finish():
    budget, lock = MemoryBudget(100), threading.Lock()
    used, most = 0, 0

    def work(n_bytes: int) -> None:
        nonlocal used, most
        while True:
            with budget.reserve(n_bytes) as reserved:
                if n_bytes % 3 == 0 and not reserved.grow(n_bytes + 1):
                    n_bytes += 1
                    continue
                with lock:
                    used += reserved.n_bytes
                    most = max(most, used)
                time.sleep(0.0005)
                with lock:
                    used -= reserved.n_bytes
                return

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, [10, 70, 3, 99, 30, 1, 60, 45] * 25))
    assert 50 < most <= 100 and used == 0


def test_what_is_larger_than_the_budget_is_refused_at_once():
    budget = MemoryBudget(100)
    with pytest.raises(TooMuchError), budget.reserve(101):
        pass
    with budget.reserve(60) as reserved:
        with pytest.raises(TooMuchError):
            reserved.grow(101)
        assert reserved.grow(100)


def test_a_large_one_is_not_passed_for_ever_by_small_ones():
    budget, order = MemoryBudget(100), []
    holding = budget.reserve(60)
    holding.__enter__()

    def work(n_bytes: int) -> None:
        with budget.reserve(n_bytes):
            order.append(n_bytes)

    threads = []
    for n_bytes in (90, 30):
        threads.append(threading.Thread(target=work, args=(n_bytes,)))
        threads[-1].start()
        time.sleep(0.05)
    assert order == []
    holding.__exit__(None, None, None)
    for thread in threads:
        thread.join(5)
    assert order == [90, 30]
