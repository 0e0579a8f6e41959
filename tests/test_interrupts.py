"""Ctrl-C waits for a piece of work, and then arrives."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from atlas.interrupts import uninterrupted


def test_ctrl_c_arrives_after_the_work():
    done = []
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        os.kill(os.getpid(), signal.SIGINT)
        done.append("first half")
        os.kill(os.getpid(), signal.SIGINT)
        done.append("second half")
    assert done == ["first half", "second half"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_errors_of_the_work_are_not_hidden():
    with pytest.raises(ValueError, match="own"), uninterrupted():
        raise ValueError("its own")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_thread_has_nothing_to_hold_back():
    done = []

    def work() -> None:
        with uninterrupted():
            done.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [1]
