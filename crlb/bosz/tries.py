"""How patient a download is, and how a try to fetch a file may end."""

import math
from dataclasses import dataclass

from crlb.errors import UsageError


@dataclass(frozen=True)
class Settings:
    """How long a server is waited for, and how often a file is tried again.

    No file takes longer than a few times its expected size at `min_rate_Bps`, however a server behaves.

    Args:
        retries: further tries after a failure that may pass.
        timeout_s: longest silence of the server, s.
        backoff_s: wait before the first retry, s; doubles with every further one, up to a minute.
        min_rate_Bps: least that a server sends, bytes/s, as a mean over `timeout_s`.
    """

    retries: int = 5
    timeout_s: float = 30.0
    backoff_s: float = 1.0
    min_rate_Bps: float = 1000.0

    def __post_init__(self) -> None:
        if not (self.retries >= 0 and 0 < self.timeout_s < math.inf and 0 <= self.backoff_s < math.inf):
            raise UsageError(
                f"retries and backoff_s must not be negative, timeout_s positive and finite, found {self}"
            )
        if not 0 < self.min_rate_Bps < math.inf:
            raise UsageError(f"min_rate_Bps must be positive and finite, found {self.min_rate_Bps:g}")


class MayPass(Exception):
    """A failure that may pass: worth another try."""


class NoAnswer(MayPass):
    """The server did not answer, or no more, or nothing that could be read."""


class NoConnection(NoAnswer):
    """The server is not there, as far as can be seen from here."""


class Hole(Exception):
    """The archive has no such file."""


class Failed(Exception):
    """A file could not be fetched."""


class Unreachable(Failed):
    """A file could not be fetched, since the server did not answer."""


class Refused(Exception):
    """The server does not give a file, and will not if it is asked again."""


class Stopped(Exception):
    """The download was stopped; the part is kept."""
