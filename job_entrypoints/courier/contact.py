"""Contact of an attempt with the platform, which ends a script that the platform may have given up."""

from __future__ import annotations

import mmap
import struct
import time

_TIME = struct.Struct("d")
_NEVER = float("-inf")


def now() -> float:
    """Seconds of a clock that is never set, and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Contact:
    """Time of the newest message that the platform has answered, shared by the wrapper's processes after a fork."""

    def __init__(self, limit_seconds: float, sent_at: float) -> None:
        self.limit_seconds = limit_seconds
        self._memory = mmap.mmap(-1, _TIME.size)
        self.answered(sent_at)

    def answered(self, sent_at: float) -> None:
        """Note the answer to a message. The time of sending counts: the platform has heard from us then, or later."""
        _TIME.pack_into(self._memory, 0, sent_at)

    def lose(self) -> None:
        """Note that the platform has given the attempt up."""
        _TIME.pack_into(self._memory, 0, _NEVER)

    @property
    def is_lost(self) -> bool:
        """True once the platform has given the attempt up."""
        return _TIME.unpack_from(self._memory)[0] == _NEVER

    @property
    def is_over(self) -> bool:
        """True once the script has to end: the platform may run it elsewhere soon."""
        return now() - _TIME.unpack_from(self._memory)[0] > self.limit_seconds

    def sentence(self) -> str:
        """Say why the script ends."""
        if self.is_lost:
            return "the platform has given this attempt up, and does not count it any more"
        return (
            f"the node was out of contact with the platform for {self.limit_seconds:g} s, after which the job may run elsewhere"
        )
