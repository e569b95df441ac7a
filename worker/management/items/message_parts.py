"""The parts of an error message that differ from one item to the next. Pure.

1. One pass from left to right: what begins first is taken, of what begins together the first here.
2. A number that says what kind of error it is stays as it is: an ``Errno``, a status of HTTP, the
   exit code of a process.
3. Each expression repeats single characters or bounded parts, and what is looked at is bounded, so
   no message takes long.
"""

import re
from typing import Final

LONGEST: Final = 1_000
"""Characters of a message that are looked at."""

_OCTETS = r"\d{1,3}(?:\.\d{1,3}){3}"
_UNIT = (
    r"(?:ns|us|µs|μs|ms|s|secs?|seconds?|min|mins|minutes?|h|hrs?|hours?|d|days?|weeks?"
    r"|milliseconds?|microseconds?|m)"
)
_TIME = r"\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[ ]?[+-]\d\d:?\d\d|[ ](?:UTC|GMT)\b)?"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}"
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6}"
_PORT = r"(?::\d{1,5}\b)?"

_PARTS: Final = (
    # A word that begins none of what stands below is passed over in one step.
    (
        "kept",
        rf"\b(?!(?i:errno|winerror|SQLSTATE|HTTP|status|exit|return|error)|{_MONTH}|{_DAY})"
        r"[A-Za-z]+(?=[ ])",
    ),
    (
        "kept",
        r"(?i:\berrno[ =:]{0,2}-?\d{1,6}|\bwinerror[ ]\d{1,6}|\bSQLSTATE[\[ :=(]{1,2}\w{5}"
        r"|\bHTTP(?:/\d(?:\.\d)?)?(?:[ ]status)?(?:[ ]code)?[ :=]{1,2}[1-5]\d\d\b"
        r"|\bstatus(?:[ _]?code)?[ :=]{1,2}[1-5]\d\d\b"
        r"|\b(?:exit|return|error)[ _]?(?:code|status)[ :=]{1,2}-?\d{1,5}\b)",
    ),
    # Names of errors: sqlite3.OperationalError, H2ProtocolError.
    (
        "kept",
        r"\b[a-z]\w{1,30}(?:\.\w{1,40}){0,4}\.[A-Z]\w{2,60}|\b[A-Z]\w{1,60}(?:Error|Exception)\b",
    ),
    # httpx quotes it: Client error '404 Not Found' for url '…'.
    ("kept", r"'[1-5]\d\d [A-Z][A-Za-z -]{1,40}'"),
    ("url", r"\b[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s\"'<>)\]]+|(?<=\burl: )/[^\s\"'<>)\]]*"),
    # A host and a port as Python shows them, with what IPv6 has besides.
    ("address", r"\('[\w.:%-]{1,255}', \d{1,5}(?:, \d{1,10}){0,2}\)"),
    # First with escaped and doubled quotes, then without: of 'C:\dir\' nothing is escaped.
    (
        "text",
        r"\"(?:[^\"\\]|\\.|\"\"(?=\w))*\"(?!\")|\"[^\"]*\"|“[^”]*”|„[^“”]*[“”]|«[^»]*»|`[^`]*`",
    ),
    (
        "text",
        r"(?<!\w)'(?:[^'\\]|\\.|''?(?=\w))*'(?!\w)|(?<!\w)'[^']*'(?!\w)|(?<!\w)\u2018(?:[^\u2019]|\u2019(?=\w))*\u2019(?!\w)",
    ),
    ("address", r"[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)*"),
    ("uuid", r"(?<![A-Za-z0-9])(?i:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![A-Za-z0-9])"),
    ("address", rf"(?<![\w.]){_OCTETS}(?:/\d{{1,2}}\b)?{_PORT}(?!\.?\w)"),
    ("address", r"\b(?i:[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5})\b(?![:-])"),
    (
        "address",
        r"(?<![\w:.])(?i:\[(?:[0-9a-f]{0,4}:){2,7}[0-9a-f.]{0,15}(?:%\w{1,15})?\]" + _PORT + r"|"
        r"(?:(?=[0-9a-f:]{0,40}::)(?=:{0,2}[0-9a-f])(?:[0-9a-f]{0,4}:){2,7}"
        rf"(?:{_OCTETS}|[0-9a-f]{{0,4}})"
        r"|(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4})(?:%\w{1,15})?(?:/\d{1,3}\b)?)(?![\w:])",
    ),
    ("address", r"(?:(?<=\bto )|(?<=\bfrom )|(?<=\bhost )|(?<=\bhost: ))[\w.-]{1,255}:\d{1,5}\b"),
    (
        "date",
        r"\b(?:datetime\.)?(?:datetime|date|time)"
        r"\(\d[\d, ]*(?:, tzinfo=[\w.]{1,60}(?:\([^)]*\))?)?\)"
        rf"|\b\d{{4}}[-/]\d\d[-/]\d\d(?:[T ]{_TIME})?(?!\w)"
        rf"|\b(?:{_DAY},?[ ])?\d{{1,2}}[ /-]{_MONTH}[ /-]\d{{2,4}}(?:[ :]{_TIME})?\b"
        rf"|\b(?:{_DAY}[ ])?{_MONTH}[ ]{{1,2}}\d{{1,2}}(?:[ ]{_TIME}[ ]\d{{4}}|,[ ]\d{{4}})\b"
        r"|(?<![\w.])\d{1,2}[./]\d{1,2}[./]\d{2,4}(?![\w/]|\.\d)"
        r"|(?<![\w:.])\d\d:\d\d:\d\d(?:[.,]\d+)?\b",
    ),
    (
        "duration",
        rf"(?<![\w.])(?:\d+(?:\.\d+)?[ ]?{_UNIT}(?:,?[ ]?(?=\d))?)+"
        r"(?:\d{1,2}:\d\d:\d\d(?:\.\d+)?)?(?!\w)"
        r"|(?<![\w:.])\d{1,3}:\d\d:\d\d(?:\.\d+)?\b|\bP(?:\d{1,6}D)?T(?:\d{1,6}(?:\.\d{1,9})?[HMS])+\b",
    ),
    ("size", r"(?<![\w.])\d+(?:[.,]\d+)*[ ]?(?:[kKMGT]i?B|B|[Bb]ytes?|[KMG]iB)\b"),
    (
        "path",
        r"(?<![\w/\\<])(?:[A-Za-z]:|~|\.{1,2})?(?:[/\\]{1,2}[\w.@%+~-]*[\w%~])+[/\\]?(?:\?[^\s)]*)?",
    ),
    ("hex", r"\b0x[0-9a-fA-F]+\b"),
    # With a digit: words of the letters a to f stay. With a letter: what has none is a number.
    ("id", r"\b(?=[0-9]{0,128}[a-fA-F])(?=[a-fA-F]{0,128}\d)[0-9a-fA-F]{6,128}\b"),
    ("id", r"\b(?=[A-Za-z_-]{0,20}\d)[A-Za-z]{1,10}[-_]\d[\w-]*"),
    ("id", r"\beyJ[\w-]{5,}(?:\.[\w-]+){1,4}"),
    # Letters between two of its numbers, and three digits: S3UploadFailedError is none.
    (
        "id",
        r"\b(?=\w{0,60}\d\w{0,60}[A-Za-z]\w{0,60}\d)(?=(?:[A-Za-z_]{0,60}\d){3})[A-Za-z0-9_]{12,128}\b",
    ),
    ("number", r"(?:(?<![\w<])[+-])?\d+(?:[.,]\d+)*(?:[eE][+-]?\d+)?"),
)
_ANY: Final = re.compile(
    "|".join(f"(?P<{kind}{n}>{regex})" for n, (kind, regex) in enumerate(_PARTS))
)
_SPACES: Final = re.compile(r"\s+")


def without_parts(text: str) -> str:
    """Return a text with a word in the place of each part that differs, such as ``<number>``."""
    return _SPACES.sub(" ", _ANY.sub(_word, text[:LONGEST])).strip()


def _word(found: re.Match[str]) -> str:
    kind = (found.lastgroup or "").rstrip("0123456789")
    return found[0] if kind == "kept" else f"<{kind}>"
