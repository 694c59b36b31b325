"""SIGTERM and SIGINT as requests: the run saves before it leaves."""

import signal


class StopRequest:
    """Notes SIGTERM and SIGINT, so that the run can save before it leaves. A second SIGINT interrupts."""

    def __init__(self):
        self.signal: int | None = None

    def __enter__(self) -> "StopRequest":
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *error):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
