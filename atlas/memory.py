"""Tells errors that mean too little memory, or too few threads, from all others."""

from __future__ import annotations

from atlas.errors import DeviceError
from atlas.text import displayable

_MEMORY_SIGNS = (
    "out of memory",  # of a GPU
    "can't allocate memory",  # of PyTorch on the host
    "cannot allocate memory",
    "not enough memory",
    "unable to allocate",
    "could not create a primitive",  # of oneDNN, which needs memory for it
    "bad_alloc",
    "bad allocation",
    "alloc_failed",  # of cuBLAS and cuDNN
    "failed to map segment",  # of a library that is loaded
)
_THREAD_SIGNS = ("can't start new thread", "resource temporarily unavailable")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device or the host ran out of memory."""
    return isinstance(error, MemoryError) or _has_sign(error, _MEMORY_SIGNS)


def is_out_of_threads(error: BaseException) -> bool:
    """Whether an error says that the system lets no more threads or processes be started."""
    return _has_sign(error, _THREAD_SIGNS)


def too_little(error: BaseException) -> DeviceError | None:
    """The message for an error that means too little memory or too few threads; None for others."""
    reason = displayable(str(error), 120) or type(error).__name__
    if is_out_of_threads(error):
        return DeviceError(
            f"the system has no threads or memory left for this ({reason}); end other programs, or "
            "raise the limits (ulimit -u, ulimit -v); what is done is kept"
        )
    if is_out_of_memory(error):
        return DeviceError(
            f"not enough memory ({reason}); end other programs, raise the limit, or use --preset "
            "preview or another --device; what is done is kept"
        )
    return None


def _has_sign(error: BaseException, signs: tuple[str, ...]) -> bool:
    if not isinstance(error, RuntimeError | OSError | ImportError):
        return False
    text = str(error).lower()
    return any(sign in text for sign in signs)
