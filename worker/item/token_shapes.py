"""Secrets that are known by their shape alone: tokens, private keys, users in URLs.

Pure. Every expression is bounded, or takes what it has seen, so none goes back over a text.
"""

import re
from collections.abc import Callable
from typing import Final

from worker.item.secret_values import looks_random

STARS: Final = "***"
MOST_FOUND: Final = 5_000
"""Of one shape in one text; what follows is left out, unseen."""
CUT: Final = " … (the rest is left out: too much of it looks like secrets)"
_SMALL: Final = 32_768
_KEY_BEGINS: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_ENDS: Final = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")

# The issuers' own prefixes; a first letter or digit before them makes them part of a word.
_TOKEN: Final = re.compile(
    r"(?<![A-Za-z0-9])(?=[ACEGHLMNOPSa-prstvwxyo\d])(?:"
    r"A(?:(?:KIA|SIA|BIA|CCA|GPA|IDA|ROA|NPA)[0-9A-Z]{12,}+|Iza[\w-]{20,}+|TATT3[\w=-]{16,}+"
    r"|TCTT3[\w=-]{16,}+|TBB[A-Za-z0-9]{20,}+|AAA[\w-]{7}:APA91b[\w-]{20,}+|KCp[\w-]{20,}+|GE-SECRET-KEY-1[0-9A-Z]{20,}+|C[0-9a-f]{32}(?![0-9a-f]))"
    r"|C(?:FPAT-[\w-]{16,}+|CIPAT_[\w]{20,}+|LOJARS_[0-9a-z]{20,}+)"
    r"|E(?:AA[A-Z][A-Za-z0-9]{16,}+|ZAK[0-9A-Za-z]{30,}+)"
    r"|GOCSPX-[\w-]{16,}+|GR1348941[\w-]{16,}+"
    r"|HRKU-[\w-]{20,}+"
    r"|L(?:TAI[A-Za-z0-9]{12,}+|S0tLS1CRUdJTi[A-Za-z0-9+/=]++)"
    r"|[MNO][\w-]{22,27}\.[\w-]{6}\.[\w-]{27,}+"
    r"|N(?:RAK-[0-9A-Z]{20,}+)"
    r"|PMA[KT]-[0-9A-Za-z-]{20,}+"
    r"|S(?:G\.[\w-]{16,}+\.[\w-]{16,}+|K[0-9a-f]{32}(?![0-9a-f]))"
    r"|atlasv1\.[\w=-]{20,}+"
    r"|access_token\$(?:production|sandbox)\$\w{1,40}\$[0-9a-f]{20,}+"
    r"|bk[uap]{1,2}_[0-9a-f]{20,}+"
    r"|c(?:f[uak]t?_[\w-]{30,}+|sk-[A-Za-z0-9]{20,}+|tx7sk-[\w-]{16,}+)"
    r"|d(?:ckr_(?:pat|oat)_[\w-]{16,}+|o[por]_v1_[0-9a-f]{16,}+|api[0-9a-f]{32}(?:-\d)?"
    r"|p\.(?:pt|st|ct|sa|scim|audit)\.[\w.-]{20,}+|t0[a-z]\d\d\.[A-Z0-9]{20,}+\.[A-Z0-9]{20,}+"
    r"|uffel_(?:live|test)_[\w-]{20,}+)"
    r"|e(?:2b_[0-9a-f]{20,}+|yJ[\w-]{12,}+(?:\.[\w-]*+){0,4})"
    r"|f(?:c-[0-9a-f]{30,}+|w_[A-Za-z0-9]{20,}+|igd_[\w-]{16,}+|m[12]_[\w+/=-]{20,}+|o1_[\w-]{20,}+)"
    r"|g(?:h[oprsu]_[A-Za-z0-9]{16,}+|ithub_pat_\w{16,}+|l(?:pat|dt|rt|cbt|ptt|ft|soat|imt|agent)"
    r"-[\w.-]{16,}+|lsa_[\w]{20,}+|lc_[A-Za-z0-9+/=]{20,}+|sk_[A-Za-z0-9]{20,}+)"
    r"|h(?:f_[A-Za-z0-9]{16,}+|v[bsr]\.[\w-]{20,}+)"
    r"|jina_[A-Za-z0-9]{20,}+"
    r"|key-[0-9a-f]{32}(?![0-9a-f])"
    r"|l(?:in_api_[A-Za-z0-9]{16,}+|sv2_(?:pt|sk)_[\w]{20,}+)"
    r"|mdb_sa_sk_[\w-]{20,}+"
    r"|n(?:fp_[A-Za-z0-9]{20,}+|pm_[A-Za-z0-9]{16,}+|tn_[A-Za-z0-9]{20,}+|vapi-[\w-]{20,}+)"
    r"|ops_eyJ[\w-]{20,}+"
    r"|p(?:csk_[\w]{20,}+|nu_[A-Za-z0-9]{20,}+|ul-[0-9a-f]{40}|at[A-Za-z0-9]{14}\.[0-9a-f]{40,}+"
    r"|ypi-[\w-]{16,}+|k_(?:live|test)_[\w-]{8,}+|scale_(?:tkn|pw|oauth)_[\w.-]{16,}+"
    r"|h[cx]_[A-Za-z0-9]{20,}+|plx-[A-Za-z0-9]{20,}+|at-[a-z]{2,3}\d-[0-9a-f-]{20,}+)"
    r"|r(?:nd_[A-Za-z0-9]{20,}+|dme_[a-z0-9]{20,}+|k_(?:live|test)_[\w-]{8,}+|ubygems_[0-9a-f]{16,}+|8_[A-Za-z0-9]{20,}+"
    r"|e_[A-Za-z0-9]{8,}_[A-Za-z0-9]{16,}+)"
    r"|s(?:k[_-](?:(?:live|test|ant|proj|or|svcacct)[_-][\w-]{6,}+|[A-Za-z0-9]{20,}+)"
    r"|hp(?:at|ss|ca|pa|ua)_[0-9A-Za-z]{16,}+|q0(?:atp|csp|idp)-[\w-]{16,}+|ntr[yu]s_[\w=+/-]{20,}+"
    r"|hippo_(?:live|test)_[0-9a-f]{16,}+|ecret_[A-Za-z0-9]{32,}+|[bg]p_[\w]{32,}+)"
    r"|t(?:skey-[\w-]{16,}+|gp_v1_[\w-]{20,}+|vly-[\w-]{20,}+|fp_[\w-]{20,}+)"
    r"|v(?:c[pikar]_[A-Za-z0-9]{20,}+|ercel_blob_rw_\w{20,}+|[01]=[0-9a-f]{32,}+)"
    r"|v1\.0-[0-9a-f]{24}-[0-9a-f]{64,}+"
    r"|whsec_[\w+/=-]{8,}+"
    r"|x(?:ox[abceoprs]-[\w-]{8,}+|app-\d-[\w-]{8,}+|ai-[A-Za-z0-9]{20,}+|keysib-[0-9a-f]{16,}+)"
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
# Commands and protocols in which a secret has no name; group 2 is the secret.
_UNNAMED: Final = re.compile(
    r"(?<![\w-])(?:"
    r"((?i:AUTH(?:ENTICATE)?[ ](?:PLAIN|LOGIN|XOAUTH2|CRAM-MD5|OAUTHBEARER)[ ]))(\S+)"
    r"|((?i:ConvertTo-SecureString[ ]{1,4}(?:-String[ ]{1,4})?))"
    r"('[^'\n]*+'|\"[^\"\n]*+\"|[^\s'\"]\S*)"
    r"|((?i:net[ ]use[ ])[^\n]{0,200}?[ ])(\S+)(?=[ ]/user:)"
    r"|(-U[ ]?[\"']?[^\s%:\"']{1,64}%)([^\s\"']+)"
    r"|(<Cookie )([^\n>]{1,300}?)(?= for [^\s>]{0,256}>)"
    r")"
)
_UNNAMED_SIGNS: Final = ("AUTH", "Auth", "SecureString", "securestring", "/user:", "-U", "<Cookie ")
_AUTH: Final = re.compile(
    r"(?<![\w-])(AUTH[ ][\w.@-]{1,64}[ ]|LOGIN[ ]\"?[^\s\"]{1,64}\"?[ ])(\"[^\"\n]*+\"|\S+)"
)
# A line of ``.pgpass``: host:port:database:user:password.
_PGPASS: Final = re.compile(
    r"(?<=[\w*.\]])(:(?:\d{3,5}|\*):(?:[A-Za-z_*][^\s:]{0,62}+:){2})([^\s\"'<>]++)"
)
_JWK: Final = re.compile(r"(\"(?:d|p|q|dp|dq|qi|k)\\{0,8}\"\s?:\s?\\{0,8}\")([\w-]{16,}+)")
_PUTTY: Final = re.compile(
    r"(Private-Lines: \d{1,4}(?:\r?\n|\\n))((?:[A-Za-z0-9+/=]++(?:\r?\n|\\n)?)++)"
)
_END_OF_KEY: Final = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/= \t\r\n\\"
)
_URL_IN_A_URL: Final = re.compile(r"((?i:%3A%2F%2F))([^\s\"'<>&/?#]{1,300}?)(?=%40)")
_WEBHOOK: Final = re.compile(
    r"(hooks\.slack\.com/(?:services|workflows|triggers)/|discord(?:app)?\.com/api/webhooks/\d{1,30}/"
    r"|webhook\.office\.com/webhookb2/|hooks\.zapier\.com/hooks/catch/)[^\s\"'<>]++"
)
_URL: Final = re.compile(r"://((?:(?!://)[^\s\"'<>`])++)")
_USER_AT: Final = re.compile(
    r"(?<![\w.%+/:-])(?!(?:mailto|sips?|xmpp|acct|tel|file|urn):)"
    r"[\w.%+-]{1,64}:[^\s:@/\"'<>,;=()]{1,128}@(?!sha\d|\W)(?=\(?[\w.-]|tcp\(|unix\()"
)
_ORACLE: Final = re.compile(r"(?:(?<=thin:)|(?<=sqlplus ))[^\s/@:]{1,64}/[^\s@]{1,128}@")
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
    "unzip",
    "7z",
    "mosquitto",
    "psexec",
)
_CLIENT_PASSWORD: Final = re.compile(
    r"(?<![\w-])(-p[ ]?[\"']|-P[ ][\"']?|-[kp][ ](?=\S*[A-Za-z]\S*\d|\S*\d\S*[A-Za-z])"
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
    if "PRIVATE KEY-----" in text or "PRIVATE KEY BLOCK-----" in text:
        text = _without_ends_of_keys(text, found)
    if "Private-Lines" in text:
        text = _replaced(_PUTTY, _second(found), text)
    if '"kty' in text or "kty\\" in text:
        text = _replaced(_JWK, _second(found), text)
    if text.count(":") > 3:
        text = _replaced(_PGPASS, _second(found), text)
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


def _without_ends_of_keys(text: str, found: list[str]) -> str:
    """Leave out what stands before the end of a private key whose beginning was cut off."""
    parts: list[str] = []
    start = 0
    for end in _KEY_ENDS.finditer(text):
        begin = end.start()
        while begin > start and text[begin - 1] in _END_OF_KEY:
            begin -= 1
        if end.start() - begin < 16:
            continue
        parts += (text[start:begin], STARS)
        found.append(text[begin : end.start()])
        start = end.end()
    return "".join(parts) + text[start:]


def _second(found: list[str]) -> "Callable[[re.Match[str]], str]":
    """Return what puts stars in the place of a match's second group, or of that of its branch."""

    def star(match: "re.Match[str]") -> str:
        at = next(n for n in range(2, (match.lastindex or 2) + 1, 2) if match[n] is not None)
        found.append(match[at])
        return f"{match[at - 1]}{STARS}"

    return star


def _if_random(found: list[str]) -> "Callable[[re.Match[str]], str]":
    """As ``_second``, where it is no word of a language or stands in quotes."""
    star = _second(found)

    def looked_at(match: "re.Match[str]") -> str:
        return star(match) if match[2][0] == '"' or looks_random(match[2]) else match[0]

    return looked_at


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
    if any(sign in text for sign in _UNNAMED_SIGNS) or "auth " in text:
        text = _replaced(_UNNAMED, _second(found), text)
    if "AUTH " in text or "LOGIN " in text:
        text = _replaced(_AUTH, _if_random(found), text)
    if "%40" in text:
        text = _replaced(_URL_IN_A_URL, _second(found), text)
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
