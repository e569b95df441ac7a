"""Which names are those of secrets: ``DB_PASS``, ``apiKey``, ``X-Auth-Token``, ``AccountKey``.

Pure. A name is taken apart into its words, whatever its spelling; a last word that makes it
something about a secret (``token_url``, ``password_length``) makes it harmless.
"""

import re
from functools import lru_cache
from typing import Final

LONGEST: Final = 120

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET: Final = re.compile(
    r"passw|passphrase|passcode|passkey|pwd|secret(?!ar)|token(?!i[sz])|credential|jwt|cookie"
    r"|adgangskode|contrasena|haslo|heslo|kennwort|losenord|motdepasse|parola|senha|wachtwoord"
    r"|authorization|bearer|sessionid|sessid|privkey"
    r"|(?:access|account|api|auth|client|crypt|deploy|encryption|hmac|licen[cs]e|master|private"
    r"|secret|service|shared|signing|ssh|storage|subscription)key"
)
_SECRET_WORDS: Final = frozenset(
    {
        "pass", "passe", "mdp", "pw", "auth", "oauth", "cred", "creds", "pin", "otp", "totp", "mfa",
        "salt", "dsn", "sid", "sig", "signature", "session", "psk",
    }
)  # fmt: skip
_HARMLESS_LAST: Final = frozenset(
    {
        "address", "age", "alg", "algorithm", "at", "budget", "bus", "count", "counts", "dir",
        "disabled", "enabled", "endpoint", "error", "expiration", "expired", "expires", "expiry",
        "field", "file", "folder", "format", "in", "index", "len", "length", "lifetime", "limit",
        "limits", "manager", "max", "min", "name", "names", "path", "policy", "position", "prefix",
        "required", "seconds", "size", "sock", "socket", "timeout", "ttl", "type", "types", "uri",
        "url", "usage", "used", "version",
    }
)  # fmt: skip
_AMOUNTS: Final = frozenset(
    {
        "avg", "completion", "max", "min", "n", "num", "prompt", "total",
    }
)  # fmt: skip
_HARMLESS_KEYS: Final = frozenset(
    {
        "a", "any", "by", "cache", "column", "dedup", "dict", "each", "event", "field", "foreign",
        "group", "hot", "idempotency", "index", "item", "job", "json", "lock", "lookup", "map",
        "message", "no", "object", "of", "order", "partition", "per", "primary", "public", "queue",
        "rate", "record", "routing", "row", "same", "shard", "sort", "state", "task", "that", "the",
        "this", "translation", "unique",
    }
)  # fmt: skip
_WORKING_DIRECTORIES: Final = frozenset({"PWD", "OLDPWD"})


@lru_cache(4096)
def is_secret_name(name: str) -> bool:
    """Say whether what bears this name is a secret, as far as a name tells.

    Args:
        name: of a variable, header, setting, option, field or element; its end counts.
    """
    if name in _WORKING_DIRECTORIES:
        return False
    words = [word.lower() for word in _WORD.findall(name[-LONGEST:])]
    if not words or words[-1] in _HARMLESS_LAST:
        return False
    if words[-1] == "tokens" and len(words) > 1 and words[-2] in _AMOUNTS:
        return False
    if _SECRET.search("".join(words)) or not _SECRET_WORDS.isdisjoint(words):
        return True
    return words[-1] in ("key", "keys") and len(words) > 1 and words[-2] not in _HARMLESS_KEYS
