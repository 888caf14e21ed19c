"""SIGINT (Ctrl-C) and SIGTERM let the current step finish before training stops.

Ctrl-C ends the call, which returns its result, as notebooks need it. SIGTERM ends the process, once all is saved, and
so does a Ctrl-C that came too late to stop anything: a script that was told to end must not go on to its next call.
Python allows signal handlers only on the main thread; on others nothing changes. Previous handlers are restored.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class StopRequest:
    """True once a signal has requested the run to stop.

    Attributes:
        signal: the last one. obeyed: whether nothing more is to follow from it; set by the run if a Ctrl-C stopped it.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.obeyed = False

    def __bool__(self) -> bool:
        return self.signal is not None


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """A request that SIGINT or SIGTERM sets; a second SIGINT raises KeyboardInterrupt at once.

    A request that is not ``obeyed`` takes the signal's usual effect when the block ends.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if request and number == signal.SIGINT:
            request.obeyed = request.signal == number
            raise KeyboardInterrupt
        request.signal = signal.Signals(number)

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        if request.signal is not None and not request.obeyed:
            signal.raise_signal(request.signal)
