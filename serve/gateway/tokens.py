"""Bearer tokens that clients send to the gateway.

Two kinds are valid: a key that the operator sets and that never expires, and a token that the gateway replaces at half
of its lifetime and publishes in a file. A replaced token stays valid until its lifetime ends, so a client that reads
the file for each request, or at least once in half a lifetime, is never refused.
"""

import hmac
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from lightmeter.errors import UsageError

KEY_VARIABLE = "LIGHTMETER_SERVE__TOKEN"
"""Environment variable of the key that never expires."""

KEY_FILE_VARIABLE = "LIGHTMETER_SERVE__TOKEN_FILE"
"""Environment variable of the file with another such key, which is read again when it changes."""

_KEY = re.compile(r"[A-Za-z0-9._~+/-]{16,512}=*")  # RFC 6750, section 2.1


@dataclass
class Tokens:
    """The valid tokens of a server.

    Attributes:
        lifetime_s: Time that a published token is valid, in seconds.
        key: Key that never expires; empty for none.
        key_file: File with another key that never expires, of which the latest is valid; None for none.
        clock: Monotonic clock, in seconds.
    """

    lifetime_s: float
    key: str = ""
    key_file: Path | None = None
    clock: Callable[[], float] = time.monotonic
    _expiry: dict[str, float] = field(default_factory=dict, repr=False)

    def accepts(self, token: str) -> bool:
        """Return whether a token is valid now."""
        now = self.clock()
        valid = [accepted for accepted, expiry in self._expiry.items() if expiry > now]
        return any(_equal(token, accepted) for accepted in [*valid, self.key, self._filed_key()] if accepted)

    def _filed_key(self) -> str:
        """Return the key in the file; the file may be written or removed while the server runs."""
        try:
            return _key_of(str(self.key_file), self.key_file.stat().st_mtime_ns) if self.key_file else ""
        except OSError:
            return ""

    def add(self, token: str) -> None:
        """Make a token valid for a lifetime from now, and forget the expired ones."""
        now = self.clock()
        self._expiry = {accepted: expiry for accepted, expiry in self._expiry.items() if expiry > now}
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


@lru_cache(maxsize=2)
def _key_of(file: str, _modified: int) -> str:
    text = Path(file).read_text(encoding="utf-8", errors="replace").strip()
    return text if _KEY.fullmatch(text) else ""


def rotate_key(file: Path) -> str:
    """Write a new key into a file, atomically and readable by its owner only, and return it."""
    key = secrets.token_hex(32)
    file.parent.mkdir(parents=True, exist_ok=True)
    _write_private(file, f"{key}\n")
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
    _write_private(file, json.dumps(document, indent=2))


def _write_private(file: Path, text: str) -> None:
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(text)
    temporary.replace(file)


def _equal(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode("utf-8", "replace"), right.encode("utf-8", "replace"))
