"""Signed words that prove a visitor may do something; for the routes beside Gradio, which its login does not cover."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import time
from pathlib import Path

from flashtalk.errors import InputError

_SECRET_BYTES = 32
_MAC_BYTES = 18


class Tokens:
    """Issues and checks tokens. Thread-safe; whoever has the same secret accepts the same tokens."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def issue(self, purpose: str, subject: str, age_s: float) -> str:
        """A token that says `subject` for `purpose` during `age_s` seconds; it fits an address."""
        body = _to_words(f"{int(time.time() + age_s)}|{purpose}|{subject}".encode())
        return f"{body}.{self._sign(body)}"

    def check(self, token: str, purpose: str, left_s: float = 0.0) -> str:
        """The subject. Raises InputError(token_refused) for what was not issued here for `purpose`, or is too old: good
        for less than another `left_s`.
        """
        body, _, mac = token.partition(".")
        try:
            is_ours = hmac.compare_digest(mac.encode(), self._sign(body).encode())
        except UnicodeEncodeError:  # JSON can say half of a character
            is_ours = False
        if not is_ours:
            raise _refused()
        expiry, issued_for, subject = _from_words(body).decode().split("|", 2)
        if issued_for != purpose or int(expiry) < time.time() + left_s:
            raise _refused()
        return subject

    def word(self, purpose: str, subject: str) -> str:
        """A word that stands for `subject`, the same each time; nobody else can tell for which. It is no token."""
        return self._sign(f"{purpose}|{subject}")

    def _sign(self, body: str) -> str:
        return _to_words(hmac.digest(self._secret, body.encode(), hashlib.sha256)[:_MAC_BYTES])


def load_tokens(folder: Path) -> Tokens:
    """Tokens that outlive the app: the secret lies in `folder`, which no other app uses, and is made the first time."""
    file = folder / "secret"
    if not file.is_file() or file.stat().st_size < _SECRET_BYTES:  # an app that was killed may leave an empty one
        new = folder / "secret.new"
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(secrets.token_bytes(_SECRET_BYTES))
        new.replace(file)
    return Tokens(file.read_bytes())


def _to_words(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _from_words(words: str) -> bytes:
    return base64.urlsafe_b64decode(words + "=" * (-len(words) % 4))


def _refused() -> InputError:
    return InputError("This page is too old or not yours; load it again.", code="token_refused")
