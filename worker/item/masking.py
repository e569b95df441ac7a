"""The masker: everything that is written for people, or to where others read it, passes through.

Errors on items, log lines, evidence and health pages use it. In a text it replaces by stars

1. the values that this process knows to be secret (``known_secrets``), in every encoding;
2. private keys, and tokens that are known by their beginnings (``token_shapes``);
3. user and password in URLs and connection strings;
4. the values of names that are those of secrets (``secret_names``), in headers, JSON, Python's
   ``repr``, env lines, YAML, INI, XML, query strings, options of commands, and in prose where the
   next word does not look like one.

What is uncertain is left out: a value ends where it certainly ends. The cost grows with the text's
length and not with its square: whatever was looked at for a value is masked and not looked at
again, the rest of each expression is bounded, and a text with very many secrets is cut there.
"""

import re
from functools import cache
from typing import Final

from worker.item.known_secrets import STARS, KnownSecrets, process_environment
from worker.item.secret_names import is_secret_name
from worker.item.secret_values import end_of_value
from worker.item.token_shapes import CUT, MOST_FOUND, without_tokens, without_url_users

MARGIN: Final = 8_000
"""Characters beyond a cut that are looked at, so that no half of a secret stands at it."""

_NAME_CHARACTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789_.$-"
_LONGEST_NAME: Final = 80
_CAPITALS: Final = {capital: capital + 32 for capital in range(ord("A"), ord("Z") + 1)}
_STEMS: Final = (
    "pass|pw|secret|token|key|cred|auth|cookie|sess|jwt|dsn|salt|otp|sig|bearer|basic|sid|pin|psk"
    "|mfa|mdp|adgangskode|contrasena|haslo|heslo|kennwort|losenord|parola|senha|wachtwoord"
)
_FOREIGN_STEMS: Final = "contraseña|hasło|lösenord|пароль|密码|密碼|パスワード|비밀번호"
_BOUND_BY: Final = (
    r"(?:"
    r"(?P<field>(?:\\{0,8}[\"'])?\s{0,64},?\s{0,64}\\{0,8}[\"']?value\\{0,8}[\"']?"
    r"\s{0,8}[:=]\s{0,8})"
    r"|(?P<pair>\\{0,8}[\"'`]\s{0,8},\s{0,8}(?=b?\\{0,8}[\"']))"
    r"|(?P<form>[\"'](?:\r?\n|\\r\\n|\\n){2})"
    r"|(?P<given>\n[ ]{2}[^\n\[]{0,200}+\[type=[^\n,]{1,60}+,[ ]input_value=)"
    r"|(?P<sign>(?:(?:\\{0,8}[\"'`]|&quot;|&#3[49];|\\u002[27]|%(?:25){0,2}2[27])[\])]{0,2})?"
    r"(?:\x1b\[[0-9;]{0,8}m)?[ \t\xa0]{0,16}"
    r"(?:=>|:=|==|->|→|=|:|\uff1d|\uff1a|%(?:25){0,2}3[da])(?:[ \t\xa0]|%(?:25){0,2}20){0,16}"
    r"(?:\\{0,8}[\"'](?=[bfru]{1,2}[\"']))?"
    r"(?:(?:str|string|bytes|secretstr|any)(?:[ ]?\|[ ]?none)?[ ]=[ ])?)"
    r"|(?P<element>(?:[ \"'][^<>\n]{0,100}+)?>|&gt;)"
    r"|(?P<detail>\)=(?=\())"
    r"|(?P<path>/(?=[^\s/?#\"'<>]{10}))"
    r"|(?P<call>\((?=[bfru]{0,2}[\"']|[a-z0-9+/=_.-]{8,120}\)))"
    r"|(?P<prose>[\"'`]?[ \t]{1,4}(?:(?:for|of)[ ](?:user[ ])?[a-z_.@-]{1,60}+[ ](?:is|was|=)[ ]"
    r"|(?:(?:is|was|of|to|for|value)[ ]{1,4}){0,2}))"
    r")"
)
_CANDIDATE: Final = re.compile(f"(?:{_STEMS})[a-z0-9_.$-]{{0,48}}+{_BOUND_BY}")
_KEY_OF: Final = re.compile(
    r"(?:access|account|api|auth|encryption|licen[cs]e|master|private|secret|shared|signing)[ -]$"
)
_LONGEST_URL: Final = 300
_IN_A_URL: Final = re.compile(r"(?:://|\b(?:get|head|post|put|patch|delete) /)[^\s\"'<>]*\Z")
_CALLED: Final = re.compile(r"(?i)passw|secret|token|credential|api_?key")
_PROSE: Final = re.compile(
    r"\w{0,20}pass(?:word|wd|phrase|code)?s?|pwd|auth|t?otp|secret|token|jwt|bearer|basic|pin"
    r"|credentials?|apikey"
)


def masked(text: str) -> str:
    """Return text with every secret that is known or looks like one replaced by stars."""
    return _without_shapes(KNOWN.masked(text), [])


def shortened(text: str, limit: int) -> str:
    """Return the text masked, of about ``limit`` characters, its middle left out.

    It costs no more than its shown part, and at the cut stands no half of a secret.
    """
    head = limit * 2 // 3
    if len(text) <= limit + 2 * MARGIN:
        whole = masked(text)
        if len(whole) <= limit:
            return whole
        first, last = whole, whole
    else:
        first, last = masked(text[: limit + MARGIN]), masked(text[-limit - MARGIN :])
    left_out = max(len(text) - limit, 1)
    return f"{first[:head]}\n… {left_out} characters left out …\n{last[-(limit - head) :]}"


def hide(value: str) -> None:
    """Never show this value: a secret among the settings."""
    KNOWN.hide(value)


def secrets_in(text: str) -> list[str]:
    """Return what the known shapes find in a text."""
    found: list[str] = []
    _without_shapes(text, found)
    return found


def _without_shapes(text: str, found: list[str]) -> str:
    text = without_url_users(without_tokens(text, found), found)
    return _without_named(text, found)


def _without_named(text: str, found: list[str]) -> str:
    lowered = _lowered(text)
    candidate = _CANDIDATE if text.isascii() else _foreign_candidate()
    hit = candidate.search(lowered)
    if hit is None:
        return text
    parts: list[str] = []
    done = candidates = 0
    while hit is not None:
        candidates += 1
        if candidates > MOST_FOUND:
            return "".join(parts) + text[done : hit.start()] + CUT
        span = _value_of(text, lowered, hit, done)
        if span is None:
            at = hit.end()
        else:
            start, at = span
            parts += (text[done:start], STARS)
            found.append(text[start:at])
            done = at
        hit = candidate.search(lowered, at)
    return "".join(parts) + text[done:]


@cache
def _foreign_candidate() -> "re.Pattern[str]":
    """Return the expression for texts beyond ASCII.

    One of its own, since the search through plain text is quicker by far when all stems begin in
    ASCII; made when it is needed, as making it costs a millisecond.
    """
    return re.compile(f"(?:{_STEMS}|{_FOREIGN_STEMS})[a-z0-9_.$-]{{0,48}}+{_BOUND_BY}")


def _value_of(text: str, lowered: str, hit: "re.Match[str]", done: int) -> tuple[int, int] | None:
    """Return from where to where the value of a candidate's name stands, if it is a secret's."""
    kind = str(hit.lastgroup)
    end_of_name = hit.start(kind)
    floor = max(done, hit.start() - _LONGEST_NAME)
    before = lowered[floor : hit.start()]
    start_of_name = floor + len(before.rstrip(_NAME_CHARACTERS))
    name = text[start_of_name:end_of_name]
    start = hit.end()
    if not _names_secret(name, lowered, start_of_name, kind) and not (
        name == "PWD" and text[start : start + 1] not in "/~" and text[start + 1 : start + 2] != ":"
    ):
        return None
    end = end_of_value(text, start, name=name, kind=kind, start_of_name=start_of_name)
    if end <= start:
        return None
    return start, end


def _names_secret(name: str, lowered: str, start: int, kind: str) -> bool:
    before = lowered[max(0, start - 16) : start]
    if not name.isascii():
        return True
    if kind == "element" and not before.endswith(("<", ":", "&lt;")):
        within = lowered[max(0, start - 120) : start].rpartition("<")
        if not within[1] or ">" in within[2]:
            return False
    if kind == "prose" and not name.startswith("--"):
        bare = name.strip("-_.$").lower()
        if bare == "key":
            return _KEY_OF.search(before) is not None
        return _PROSE.fullmatch(bare) is not None
    # The path of a URL: a file in a folder of that name is no secret.
    if kind == "path" and not _IN_A_URL.search(lowered[max(0, start - _LONGEST_URL) : start]):
        return False
    if kind == "call" and _CALLED.search(name) is None:
        return False
    if name.lower() in ("key", "keys"):
        return _KEY_OF.search(before) is not None
    return is_secret_name(name)


def _lowered(text: str) -> str:
    """Return the text with small letters, each where it stood."""
    lowered = text.lower()
    # A few letters become two.
    return lowered if len(lowered) == len(text) else text.translate(_CAPITALS)


KNOWN: Final = KnownSecrets(process_environment, secrets_in)
