"""A job that a scheduler or a person ends leaves in order. Free of torch and of AiiDA."""

from __future__ import annotations

import signal
from collections.abc import Callable


def stop_at_signals(stop: Callable[[str], None]) -> None:
    """Call ``stop`` with the reason when the process gets SIGTERM or SIGINT, instead of ending it."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda caught, _: stop(f"signal {signal.Signals(caught).name}"))
