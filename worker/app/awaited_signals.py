"""The signals that a handler waits for, read from its source: those whose names are text in it.

A wait in a function that the handler calls is not seen, nor is a name that is made; whoever sends
such a signal is held to nothing.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, Final, get_type_hints

CALL: Final = "wait_for"
TYPE: Final = "type"


def awaited_signals(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Yield the name of each signal, and the type that it is read as; None for plain JSON."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name = node.args[0] if node.args else _given(node, "name")
        if node.func.attr != CALL or not isinstance(name, ast.Constant):
            continue
        if isinstance(name.value, str):
            yield name.value, _kind(function, _given(node, TYPE))


def _given(call: ast.Call, name: str) -> ast.expr | None:
    """Return what a call gives by name."""
    return next((one.value for one in call.keywords if one.arg == name), None)


def _kind(function: Callable[..., Any], node: ast.expr | None) -> Any:
    """Return the type that an expression names where the function stands."""
    if node is None:
        return None
    try:
        inside = dict(inspect.getclosurevars(function).nonlocals)
        holder = type("Wait", (), {"__annotations__": {TYPE: ast.unparse(node)}})
        around = getattr(inspect.unwrap(function), "__globals__", {})
        return get_type_hints(holder, around, inside, include_extras=True)[TYPE]
    except Exception:  # an expression is code, which may raise anything
        return None
