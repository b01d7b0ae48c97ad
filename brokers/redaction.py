"""Removes secrets from broker URLs and from library messages, by position, so that no other word changes."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import unquote_plus

_START = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*://)?")
_END_OF_ADDRESS = re.compile(r"[/?#]")
_USERINFO = re.compile(r"(?<=://)[^/?#\s]*@")
_OPTION = re.compile(r"([?&])([^?&=#\s\"']+)=([^&#\s\"']*)")
_WHOLE_OPTION = re.compile(r"([?&])([^?&=#]+)=([^&#]*)")
_SECRET = re.compile(r"(?:password|passwd|token|secret|nkey|seed|jwt)\Z", re.IGNORECASE)
_LONG = 6
"""A secret of at least this length is hidden everywhere; a shorter one is part of too many words."""


class AddressParts(NamedTuple):
    """A URL, split at the last @ before its path, whatever its password contains."""

    start: str
    """The scheme with ://."""
    userinfo: str
    at: str
    rest: str

    @property
    def odd(self) -> bool:
        """Whether a / # or ? comes before the @: nobody can then tell where the password begins and ends."""
        return _END_OF_ADDRESS.search(self.userinfo) is not None


def take_apart(url: str) -> AddressParts:
    """Scheme, what is before the last @, the @, and the rest: `urlsplit` ends the password at its first / # or ?."""
    start = _START.match(url)
    assert start is not None
    return AddressParts(start[0], *url[start.end() :].rpartition("@"))


def redact(url: str) -> str:
    """Return the URL with *** for its secrets, or with everything before the last @ hidden if it may contain one.

    Secrets are the password, a lone user name of NATS, which is a token, and options such as `?password=` and `?token=`.
    """
    start, userinfo, at, rest = parts = take_apart(url)
    user, colon, _ = userinfo.partition(":")
    rest = _WHOLE_OPTION.sub(_hidden, rest)
    if not at:
        return start + rest
    if (parts.odd and start) or (colon and not start) or (not colon and userinfo and start.lower().startswith("nats")):
        return f"{start}***@{rest}"
    return f"{start}{user}:***@{rest}" if colon else f"{start}{userinfo}@{rest}"


def hide_options(text: str) -> str:
    """`text` with the value of each secret option of a URL in it, such as `?password=`, replaced by ***."""
    return _OPTION.sub(_hidden, text)


def _hidden(option: re.Match[str]) -> str:
    """Replace a secret with stars, however its name is written: `p%61ssword` means the same to every reader."""
    return f"{option[1]}{option[2]}=***" if _SECRET.search(unquote_plus(option[2])) else option[0]


def hide(text: str, secrets: Collection[str]) -> str:
    """Return `text`, such as a library's words, without the secrets and without the part before the @ of a URL in it."""
    text = hide_options(_USERINFO.sub("***@", text))
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        if len(secret) >= _LONG:
            text = text.replace(secret, "***")
        else:  # only in quotes: 'x' is the secret, the x of "xylophone" is not
            text = re.sub(rf"(?<=['\"`]){re.escape(secret)}(?=['\"`])", "***", text)
    return text
