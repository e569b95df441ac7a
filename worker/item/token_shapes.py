"""Secrets that are known by their shape alone: tokens, private keys, users in URLs.

Pure. Every expression is bounded, or takes what it has seen, so none goes back over a text.
"""

import re
from collections.abc import Callable
from typing import Final

STARS: Final = "***"
MOST_FOUND: Final = 5_000
"""Of one shape in one text; what follows is left out, unseen."""
CUT: Final = " … (the rest is left out: too much of it looks like secrets)"
_SMALL: Final = 32_768
_KEY_BEGINS: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_ENDS: Final = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")

# The issuers' own prefixes; a first letter or digit before them makes them part of a word.
_TOKEN: Final = re.compile(
    r"(?<![A-Za-z0-9])(?=[ACEGLMNOPSa-lnprstvwxyo\d])(?:"
    r"A(?:(?:KIA|SIA|BIA|CCA|GPA|IDA|ROA|NPA)[0-9A-Z]{12,}+|Iza[\w-]{20,}+|TATT3[\w=-]{16,}+"
    r"|TCTT3[\w=-]{16,}+|GE-SECRET-KEY-1[0-9A-Z]{20,}+|C[0-9a-f]{32}(?![0-9a-f]))"
    r"|C(?:FPAT-[\w-]{16,}+)"
    r"|E(?:AAA[A-Za-z0-9]{16,}+|ZAK[0-9A-Za-z]{30,}+)"
    r"|GOCSPX-[\w-]{16,}+|GR1348941[\w-]{16,}+"
    r"|L(?:S0tLS1CRUdJTi[A-Za-z0-9+/=]++)"
    r"|[MNO][\w-]{22,27}\.[\w-]{6}\.[\w-]{27,}+"
    r"|N(?:RAK-[0-9A-Z]{20,}+)"
    r"|PMAK-[0-9a-f-]{24,}+"
    r"|S(?:G\.[\w-]{16,}+\.[\w-]{16,}+|K[0-9a-f]{32}(?![0-9a-f]))"
    r"|atlasv1\.[\w=-]{20,}+"
    r"|d(?:ckr_(?:pat|oat)_[\w-]{16,}+|o[por]_v1_[0-9a-f]{16,}+|api[0-9a-f]{32}(?:-\d)?)"
    r"|e(?:yJ[\w-]{12,}+(?:\.[\w-]*+){0,4})"
    r"|f(?:igd_[\w-]{16,}+|m[12]_[\w+/=-]{20,}+|o1_[\w-]{20,}+)"
    r"|g(?:h[oprsu]_[A-Za-z0-9]{16,}+|ithub_pat_\w{16,}+|l(?:pat|dt|rt|cbt|ptt|ft|soat|imt|agent)"
    r"-[\w.-]{16,}+|lsa_[\w]{20,}+|lc_[A-Za-z0-9+/=]{20,}+|sk_[A-Za-z0-9]{20,}+)"
    r"|h(?:f_[A-Za-z0-9]{16,}+|v[bsr]\.[\w-]{20,}+)"
    r"|key-[0-9a-f]{32}(?![0-9a-f])"
    r"|l(?:in_api_[A-Za-z0-9]{16,}+|sv2_(?:pt|sk)_[\w]{20,}+)"
    r"|n(?:pm_[A-Za-z0-9]{16,}+|tn_[A-Za-z0-9]{20,}+|vapi-[\w-]{20,}+)"
    r"|ops_eyJ[\w-]{20,}+"
    r"|p(?:ypi-[\w-]{16,}+|k_(?:live|test)_[\w-]{8,}+|scale_(?:tkn|pw|oauth)_[\w.-]{16,}+"
    r"|h[cx]_[A-Za-z0-9]{20,}+|plx-[A-Za-z0-9]{20,}+|at-[a-z]{2,3}\d-[0-9a-f-]{20,}+)"
    r"|r(?:k_(?:live|test)_[\w-]{8,}+|ubygems_[0-9a-f]{16,}+|8_[A-Za-z0-9]{20,}+"
    r"|e_[A-Za-z0-9]{8,}_[A-Za-z0-9]{16,}+)"
    r"|s(?:k[_-](?:(?:live|test|ant|proj|or|svcacct)[_-][\w-]{6,}+|[A-Za-z0-9]{20,}+)"
    r"|hp(?:at|ss|ca|pa|ua)_[0-9A-Za-z]{16,}+|q0(?:atp|csp|idp)-[\w-]{16,}+|ntr[yu]s_[\w=+/-]{20,}+"
    r"|hippo_(?:live|test)_[0-9a-f]{16,}+|ecret_[A-Za-z0-9]{32,}+|bp_[0-9a-f]{32,}+)"
    r"|tskey-[\w-]{16,}+"
    r"|v1\.0-[0-9a-f]{24}-[0-9a-f]{64,}+"
    r"|whsec_[\w+/=-]{8,}+"
    r"|x(?:ox[abceoprs]-[\w-]{8,}+|app-\d-[\w-]{8,}+|keysib-[0-9a-f]{16,}+)"
    r"|y(?:a29\.[\w-]{16,}+|[01]_AgAA[\w-]{16,}+)"
    r"|1//0[\w-]{20,}+"
    r"|(?:bot)?\d{8,10}:[A-Za-z0-9_-]{35}(?![\w-])"
    r")"
)
_TOKEN_IN_THE_MIDDLE: Final = re.compile(
    r"[A-Za-z0-9_~.]{3}\dQ~[\w.~-]{31,34}|[A-Za-z0-9]{14}\.atlasv1\.[\w=-]{40,}+"
)
_HASH: Final = re.compile(
    r"\$(?:2[abxy]|apr1|argon2[a-z]{0,2}|scrypt|pbkdf2[a-z0-9-]{0,12}|[1567y])\$[\w./$=,+-]{20,}+"
)
_WEBHOOK: Final = re.compile(
    r"(hooks\.slack\.com/(?:services|workflows|triggers)/|discord(?:app)?\.com/api/webhooks/\d{1,30}/"
    r"|webhook\.office\.com/webhookb2/|hooks\.zapier\.com/hooks/catch/)[^\s\"'<>]++"
)
_URL: Final = re.compile(r"://((?:(?!://)[^\s\"'<>`])++)")
_USER_AT: Final = re.compile(
    r"(?<![\w.%+/:-])(?!(?:mailto|sips?|xmpp|acct|tel|file|urn):)"
    r"[\w.%+-]{1,64}:[^\s:@/\"'<>,;=()]{1,128}@(?!sha\d|\W)(?=\(?[\w.-]|tcp\(|unix\()"
)
_ORACLE: Final = re.compile(r"(?<=thin:)[^\s/@:]{1,64}/[^\s@]{1,128}@")
_COMMAND_USER: Final = re.compile(
    r"(?<![\w-])((?:-u|--user|--proxy-user|-U)(?:[ =]|\\?[\"'],[ ]?\\?[\"'])?)"
    r"([^\s:\"'/\\,]{1,64}:[^\s\"'\\]{1,256})"
)
_SQL: Final = re.compile(
    r"((?i:identified (?:with \S{1,40} )?(?:by|as)(?: password)? ))('[^'\n]*+')"
)
_CLIENTS: Final = (
    "docker",
    "podman",
    "openssl",
    "mysql",
    "mariadb",
    "sshpass",
    "redis-cli",
    "smbclient",
    "ldap",
)
_CLIENT_PASSWORD: Final = re.compile(
    r"(?<![\w-])(-p[\"']|-[kp][ ](?=\S*[A-Za-z]\S*\d|\S*\d\S*[A-Za-z])"
    r"|-p(?=[^\s\"',]*[a-z])(?!assword|ort|rotocol)|-[aw][ ]|-[aw]\\?[\"'],[ ]?\\?[\"']"
    r"|-p\\?[\"'],[ ]?\\?[\"'])([^\s\"',\\]+)"
)


def without_tokens(text: str, found: list[str]) -> str:
    """Replace private keys and tokens by stars; what was replaced is added to ``found``."""

    def star(match: "re.Match[str]") -> str:
        found.append(match[0])
        return STARS

    if "-----BEGIN " in text:
        text = _without_keys(text, found)
    if "$" in text:
        text = _replaced(_HASH, star, text)
    if "Q~" in text or ".atlasv1." in text:
        text = _replaced(_TOKEN_IN_THE_MIDDLE, star, text)
    return _replaced(_TOKEN, star, text)


def _replaced(
    shape: "re.Pattern[str]", replace: "Callable[[re.Match[str]], str]", text: str
) -> str:
    """Replace what has a shape; a text with very many is cut, so that its cost is bounded."""
    if len(text) > _SMALL:
        for number, match in enumerate(shape.finditer(text)):
            if number >= MOST_FOUND:
                return shape.sub(replace, text[: match.start()]) + CUT
    return shape.sub(replace, text)


def _without_keys(text: str, found: list[str]) -> str:
    """Leave out each private key; one that does not end, to the text's end."""
    parts: list[str] = []
    start = 0
    while (begin := _KEY_BEGINS.search(text, start)) is not None:
        end = _KEY_ENDS.search(text, begin.end())
        stop = end.end() if end else len(text)
        parts += (text[start : begin.start()], STARS)
        found.append(text[begin.start() : stop])
        start = stop
    return "".join(parts) + text[start:]


def without_url_users(text: str, found: list[str]) -> str:
    """Replace user and password in URLs, addresses and commands by stars."""

    def star(match: "re.Match[str]") -> str:
        found.append(match[0].rstrip("@").partition(":")[2])
        return "***:***@"

    def after(match: "re.Match[str]") -> str:
        found.append(match[2])
        return f"{match[1]}{STARS}"

    if "://" in text:
        text = _replaced(_URL, lambda match: "://" + _without_user(match[1], found), text)
        text = _replaced(_WEBHOOK, lambda match: match[1] + STARS, text)
    if "@" in text:
        text = _replaced(_USER_AT, star, _replaced(_ORACLE, star, text))
    if "-" in text and ":" in text:
        text = _replaced(_COMMAND_USER, after, text)
    if "dentified" in text or "DENTIFIED" in text:
        text = _replaced(_SQL, after, text)
    if any(client in text for client in _CLIENTS):
        text = _replaced(_CLIENT_PASSWORD, after, text)
    return text


def _without_user(rest: str, found: list[str]) -> str:
    """Return what follows ``://`` without the user; a password may hold any character."""
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    user, at, _ = authority.rpartition("@")
    if not at:
        name, colon, more = authority.partition(":")
        port = more.split(",")[0]
        if not colon or not port or port.isdecimal() or "@" not in rest or "]" in authority:
            return rest
        # No port: a password with a slash or the like in it.
        user = rest.rpartition("@")[0]
    name, colon, password = user.partition(":")
    if not colon and (len(name) < 8 or name.isalpha()):
        return rest  # git@, or a name alone
    found.append(password or name)
    return f"***:***@{rest[len(user) + 1 :]}"
