"""Documents as anybody could have written them: arbitrary ones, and real ones with changes."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

JsonObject = dict[str, Any]

_ODD = [
    None,
    True,
    False,
    0,
    -1,
    2**53,
    2**64,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    -float("inf"),
    "",
    "x",
    "x" * 20_000,
    "\ud800",
    "#",
    "NaN",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "2026-02-30T00:00:00Z",
    [],
    [[]],
    {},
    [None],
    [{}],
    {"$gt": ""},
]

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(_ODD)
    | st.datetimes().map(str)
)
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=6,
)


@st.composite
def changed(draw: st.DrawFn, document: Mapping[str, Any]) -> JsonObject:
    """A real document in which some fields, at any depth, are something else or missing."""
    found: JsonObject = dict(document)
    for name in draw(st.lists(st.sampled_from(sorted(document)), max_size=3, unique=True)):
        inner = found[name]
        if draw(st.booleans()) and isinstance(inner, dict) and inner:
            found[name] = draw(changed(inner))
        elif draw(st.booleans()) and isinstance(inner, list) and inner:
            one = inner[0]
            odd = draw(changed(one) if isinstance(one, dict) and one else ANY_JSON)
            found[name] = [odd, *inner[1:]]
        elif draw(st.booleans()):
            del found[name]
        else:
            found[name] = draw(ANY_JSON)
    return found


def written(document: Mapping[str, Any]) -> st.SearchStrategy[JsonObject]:
    """Whatever somebody could have written in the place of a document."""
    return changed(document) | st.dictionaries(
        st.text() | st.sampled_from(sorted(document)), ANY_JSON
    )
