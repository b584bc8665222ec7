"""Know one API user: his password, his tokens, whether he is locked out (vendors/oracle_isr.md section 1)."""

from __future__ import annotations

import secrets
import uuid

import trio

from streamd.simulators.oracle_isr.options import OracleIsrOptions
from streamd.simulators.switches import Switches

_DAY = 86_400.0
_LOCK_AFTER = 5


class Accounts:
    """Tokens with until when they are good, by trio's clock: tokens know no simulated one."""

    def __init__(self, options: OracleIsrOptions) -> None:
        self.email = options.user_email.casefold()
        self.password = options.password
        self.wrong = 0
        self._tokens: dict[str, float] = {}

    def is_right(self, email: str, password: str) -> bool:
        """Tell whether these are the user's; the address in any case, the password to the letter."""
        same = secrets.compare_digest(password.encode(), self.password.encode())
        return email.casefold() == self.email and same

    def is_locked(self, faults: Switches) -> bool:
        return self.wrong >= faults.number("lock-after", _LOCK_AFTER)

    def grant(self, asked: float | None, faults: Switches) -> tuple[str, float]:
        """Return a new token and how many seconds it lives; `asked`: as many as that, up to the most."""
        most = faults.number("expiration-cap", _DAY)
        unasked = _DAY if faults.has("expiration-day") else 3600.0
        seconds = min(unasked if asked is None else asked, most)
        if faults.has("second-login-kills"):
            self._tokens.clear()
        token = _token(faults)
        self._tokens[token] = trio.current_time() + seconds
        return token, seconds

    def knows(self, token: str) -> bool:
        """Tell whether a token is good now."""
        return trio.current_time() < self._tokens.get(token, 0.0)

    def expire(self) -> None:
        """End every token."""
        self._tokens.clear()

    @property
    def valid(self) -> int:
        """Count the tokens that are good now."""
        return sum(self.knows(each) for each in self._tokens)


def _token(faults: Switches) -> str:
    token = str(uuid.uuid4())
    if faults.has("token-malformed"):
        return f"{token[:-1]}g-7"
    return f"{token}+/&=% é" if faults.has("token-awkward") else token
