"""Where the value of a secret name ends. Pure; never beyond what is left out because of it."""

import re
from typing import Final

_OPENS: Final = re.compile(r"([bBrRuUfF]{0,2})(\\{0,8})(\"\"\"|'''|[\"'`])")
_ENTITY: Final = re.compile(r"&quot;|&#3[49];|\\u002[27]|%(?:25){0,2}2[27]")
_NESTED: Final = re.compile(r"(?:\r?\n([ \t]+)[^\r\n]*+)")
_TO_QUOTE: Final = {
    quote: re.compile(rf"(?:[^{quote}\\\n]|\\.)*+", re.DOTALL) for quote in ('"', "'", "`")
}
_LINES_QUOTED: Final = {
    quote: re.compile(rf"(?:[^{quote}\\]|\\.){{0,1000}}+{quote}", re.DOTALL)
    for quote in ('"', "'", "`")
}
# A separator within a value is part of it unless something new certainly begins behind it.
_BARE: Final = re.compile(
    r"(?:[^\s\"'`<>,;&()\]}\\]++|\((?![bBrRuUfF]{0,2}[\"'])|[\"'](?=\w)|\\++(?![\"'])"
    r"|[,;&)\]}](?![\s,;&)\]}\"'`]|\Z|\\|[\w.$%-]{1,48}+[\"']?[=:]))*+"
)
_LINE: Final = re.compile(r"[^\r\n]*+")
_TO_SEMICOLON: Final = re.compile(r"[^;\r\n\"'=]{0,120}+(?=;)")
_REST_OF_LINE: Final = re.compile(r"[^\r\n\"'=]{0,400}+(?=[\r\n]|\Z)")
_BLOCK: Final = re.compile(r"[|>][+-]?[0-9]?(?:\r?\n[ \t]+[^\r\n]*+)++")
_HARMLESS: Final = re.compile(
    r"(?:none|null|true|false|undefined|\*+|\$\{[A-Za-z_][\w.]*\}|\$\([\w ]+\)|\{\{[^{}]*\}\}"
    r"|\{[A-Za-z_]\w*\}|<[^<>]*>|\[\]|\{\}|\(\)|<)(?:\.\.\.)?",
    re.IGNORECASE,
)
# ``the session: ConnectionError: the pool is empty`` names an error and no secret.
_ERROR_CLASS: Final = re.compile(r"(?:\w{1,60}\.)*[A-Z]\w{2,60}(?:Error|Exception|Warning):")
_AMOUNT: Final = re.compile(r"\d{1,7}(?:\.\d+)?")
_HEADERS: Final = re.compile(r"(?i).*(?:authorization|cookie2?)")
_ONE_TOKEN: Final = re.compile(
    r"(?i)(?:bearer|basic|token|negotiate|ntlm|apikey|api-key|key|jwt|kerberos|sso-key|genie-?key"
    r"|dpop|mac|splunk|bot|ssws|klaviyo-api-key)(?:[ \t]|\r?\n[ \t]|%20|\+)++[^\s\"',;<>\\]++"
)
_HEADER_REST: Final = re.compile(r"(?:[^\"'\r\n\\]++|(?<==)([\"'])[^\"'\r\n]*+\1)*+")
_OPENERS: Final = {"{": "}", "[": "]", "(": ")", "<": ">"}
_SEGMENT: Final = re.compile(r"[^\s/?#\"'<>,;)\]}]*+")
_BRACKET: Final = re.compile(r"[{}\[\]()<>]")
_MOST_BRACKETS: Final = 200
_WORD: Final = re.compile(r"[^\s\"'`<>,;]+")
_LATER: Final = re.compile(r"[^\n:=\"'<>]{0,40}+:[ ]")
_QUOTED_WORD: Final = re.compile(r"\\{0,8}([\"'`])[^\"'`\n]{3,200}?\\{0,8}\1")


def end_of_value(text: str, start: int, *, name: str, kind: str, start_of_name: int) -> int:
    """Return where the value at ``start`` ends; ``start`` itself where there is none to hide.

    Args:
        name: whose value it is.
        kind: how it is bound to its name; see the masker's candidates.
        start_of_name: where the name stands.
    """
    if kind == "prose":
        return _prose(text, start, name)
    if kind == "element":
        return _element(text, start)
    if kind == "path":
        segment = _SEGMENT.match(text, start)[0]  # type: ignore[index]
        return start + len(segment) if _is_opaque(segment) else start
    if kind == "form":
        return _LINE.match(text, start).end()  # type: ignore[union-attr]
    if kind == "call":
        if text[start] not in "\"'bBrRuUfF" and not looks_random(_WORD.match(text, start)[0]):  # type: ignore[index]
            return start
        return _bracket(text, start - 1, ")") - 1
    entity = _ENTITY.match(text, start)
    if entity is not None:
        end = text.find(entity[0], entity.end())
        return end + len(entity[0]) if end >= 0 else _line_end(text, start)
    opened = _OPENS.match(text, start)
    if opened is not None:
        return _quoted(text, start, opened)
    if _HEADERS.fullmatch(name):
        return _header(text, start)
    block = _BLOCK.match(text, start)
    if block is not None:
        return block.end()
    if text[start - 1] in ":= \t" and text[start : start + 1] in ("\r", "\n"):
        return _nested(text, start, start_of_name)
    closer = _OPENERS.get(text[start : start + 1])
    if closer is not None and not _HARMLESS.match(text, start):
        return _bracket(text, start, closer)
    return _bare(text, start, name, start_of_name)


def _quoted(text: str, start: int, opened: "re.Match[str]") -> int:
    slashes, quote = opened[2], opened[3]
    inner = opened.end()
    if len(quote) == 3 or slashes:
        closing = slashes + quote
        found = text.find(closing, inner)
        if len(quote) == 3 and not slashes and found < 0:
            return inner if text[start:inner].strip("bBrRuUfF") == quote else len(text)
        return found + len(closing) if found >= 0 else _line_end(text, inner)
    end = _TO_QUOTE[quote].match(text, inner).end()  # type: ignore[union-attr]
    if text[end : end + 1] == quote:
        within = text[inner:end]
        if not within or _HARMLESS.fullmatch(within):
            return start
        return end + 1
    lines = _LINES_QUOTED[quote].match(text, inner)
    return lines.end() if lines else end


def _header(text: str, start: int) -> int:
    nothing = _HARMLESS.match(text, start)
    if nothing is not None and not text[nothing.end() : nothing.end() + 1].strip(",;)]} \t\r\n"):
        return start
    one = _ONE_TOKEN.match(text, start)
    if one is not None:
        return one.end()
    return _HEADER_REST.match(text, start).end()  # type: ignore[union-attr]


def _bare(text: str, start: int, name: str, start_of_name: int) -> int:
    end = _BARE.match(text, start).end()  # type: ignore[union-attr]
    if text[end : end + 1] == "(" or text[end - 1 : end] == "(":
        end = _bracket(text, text.index("(", end - 1), ")")
    shown = text[start:end]
    at_start, before = _beginning(text, start_of_name)
    if before == ";" or (at_start and _is_line_form(text, start_of_name, start)):
        more = _TO_SEMICOLON.match(text, end) or (
            _REST_OF_LINE.match(text, end) if at_start else None
        )
        if more is not None:
            end = more.end()
    if end == start or (text[start:end] == shown and _HARMLESS.fullmatch(shown)):
        return start
    if name.lower().endswith("tokens") and _AMOUNT.fullmatch(shown):
        return start
    if _ERROR_CLASS.fullmatch(shown):
        return start
    return end


def _nested(text: str, start: int, start_of_name: int) -> int:
    """Return where the lines end that are indented deeper than a name at its line's beginning."""
    at_start, _ = _beginning(text, start_of_name)
    if not at_start:
        return start
    indented = start_of_name - 1 - text.rfind("\n", max(0, start_of_name - 200), start_of_name)
    end = start
    while (line := _NESTED.match(text, end)) is not None and len(line[1]) > indented:
        end = line.end()
    return end


def _element(text: str, start: int) -> int:
    for begin, close in (("<![CDATA[", "]]>"), ("", "&lt;" if text[start - 1] == ";" else "<")):
        if text.startswith(begin, start):
            end = text.find(close, start + len(begin))
            return end if end >= 0 else len(text)
    return start


def _beginning(text: str, start_of_name: int) -> tuple[bool, str]:
    """Say whether a name stands first on its line, and what stands before it."""
    before = text[max(0, start_of_name - 24) : start_of_name]
    stripped = before.rstrip(" \t\"'")
    line = re.sub(r"(?:export|set|ENV|ARG|-)$", "", stripped.rpartition("\n")[2].strip())
    return not line and (start_of_name <= 24 or "\n" in before), stripped[-1:]


def _is_line_form(text: str, start_of_name: int, start: int) -> bool:
    """Say whether this is a line of an env, INI or YAML file: the value is the line's rest."""
    head = text[start_of_name:start]
    return head.isupper() or head.endswith((": ", "= ", ":\t"))


def _prose(text: str, start: int, name: str) -> int:
    quoted = _QUOTED_WORD.match(text, start)
    if quoted is not None:
        return quoted.end()
    word = _WORD.match(text, start)
    if word is None:
        return start
    shown = word[0].rstrip(".,:;!?)]}")
    if name.startswith("--"):
        return start if shown.startswith("-") or _HARMLESS.fullmatch(shown) else word.end()
    if looks_random(shown):
        return start + len(shown)
    later = _LATER.match(text, start)  # "password for user bob: …"
    word = _WORD.match(text, later.end()) if later is not None else None
    if later is None or word is None or "://" in word[0]:
        return start
    shown = word[0].rstrip(".,:;!?)]}")
    return later.end() + len(shown) if looks_random(shown) else start


def _is_opaque(segment: str) -> bool:
    """Say whether a part of a URL's path is made by a machine and no file's name."""
    digits = sum(letter.isdigit() for letter in segment)
    return (
        len(segment) >= 10 and digits > 0 and any(map(str.isalpha, segment)) and "." not in segment
    )


def looks_random(word: str) -> bool:
    """Say whether a word is none of a language's."""
    if len(word) < 4 or _HARMLESS.fullmatch(word) or "=" in word.rstrip("="):
        return False
    digits = sum(letter.isdigit() for letter in word)
    if digits == len(word):
        return len(word) >= 6
    inner = word[1:]
    mixed = inner != inner.lower() and inner != inner.upper()
    odd = any(not letter.isalnum() and letter not in "-_'./:()" for letter in word)
    return digits > 0 or mixed or odd or len(word) >= 24


def _bracket(text: str, start: int, closer: str) -> int:
    """Return where a bracket is closed; the line's end where that cannot be told."""
    depth = 0
    for number, match in enumerate(_BRACKET.finditer(text, start)):
        if match[0] in "{[(":
            depth += 1
        elif match[0] in "}])":
            depth -= 1
        elif closer == ">":
            depth += 1 if match[0] == "<" else -1
        if depth <= 0:
            return match.end()
        if number > _MOST_BRACKETS:
            break
    return _line_end(text, start)


def _line_end(text: str, start: int) -> int:
    return _LINE.match(text, start).end()  # type: ignore[union-attr]
