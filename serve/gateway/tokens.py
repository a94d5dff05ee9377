"""Bearer tokens that clients send to the gateway.

Two kinds are valid: a key that the operator sets and that never expires, and a token that the gateway replaces at half
of its lifetime and publishes in a file. A replaced token stays valid until its lifetime ends, so a client that reads
the file for each request, or at least once in half a lifetime, is never refused.
"""

import hmac
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lightmeter.errors import UsageError

KEY_VARIABLE = "LIGHTMETER_SERVE__TOKEN"
"""Environment variable of the key that never expires."""

_KEY = re.compile(r"[A-Za-z0-9._~+/-]{16,512}=*")  # RFC 6750, section 2.1


@dataclass
class Tokens:
    """The valid tokens of a server.

    Attributes:
        lifetime_s: Time that a published token is valid, in seconds.
        key: Key that never expires; empty for none.
        clock: Monotonic clock, in seconds.
    """

    lifetime_s: float
    key: str = ""
    clock: Callable[[], float] = time.monotonic
    _expiry: dict[str, float] = field(default_factory=dict, repr=False)

    def accepts(self, token: str) -> bool:
        """Return whether a token is valid now."""
        now = self.clock()
        valid = [known for known, expiry in self._expiry.items() if expiry > now]
        return any(_equal(token, known) for known in [*valid, self.key] if known)

    def add(self, token: str) -> None:
        """Make a token valid for a lifetime from now, and forget the expired ones."""
        now = self.clock()
        self._expiry = {known: expiry for known, expiry in self._expiry.items() if expiry > now}
        self._expiry[token] = now + self.lifetime_s

    @property
    def renewal_s(self) -> float:
        """Time after which the published token is replaced, in seconds."""
        return self.lifetime_s / 2


def static_key(key: str) -> str:
    """Return a key that the operator sets, which may be empty.

    Raises:
        UsageError: The key is too short, or cannot be sent in a header.
    """
    if key and not _KEY.fullmatch(key):
        raise UsageError(
            f"{KEY_VARIABLE} must have at least 16 letters, digits or characters of '-._~+/=', for example the output "
            "of: openssl rand -hex 32"
        )
    return key


def publish(file: Path, tokens: Mapping[str, Any], lifetime_s: float) -> None:
    """Write the tokens for clients, atomically and readable by their owner only.

    Args:
        file: The file.
        tokens: TorchServe's tokens; the expiration of the inference token is replaced by ours.
        lifetime_s: Lifetime of the inference token from now, in seconds.
    """
    expiration = (datetime.now(UTC) + timedelta(seconds=lifetime_s)).isoformat(timespec="seconds")
    document = {**tokens, "inference": {**tokens["inference"], "expiration time": expiration}}
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        json.dump(document, out, indent=2)
    temporary.replace(file)


def _equal(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode("utf-8", "replace"), right.encode("utf-8", "replace"))
