"""What goes wrong, as HTTP answers it: ``{"error", "message", "details"}`` and a status."""

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from worker.management.errors import AppError, RateLimitError, UnauthorizedError

MOST_ERRORS: Final = 20
MOST_TEXT: Final = 200
SCHEME: Final = "Bearer"


class ErrorResponse(BaseModel):
    """What was not done, and why.

    Attributes:
        error: the kind, for programs: ``ItemNotFoundError``.
        message: one sentence for people.
        details: names, values, what is allowed.
    """

    error: str
    message: str
    details: dict[str, Any] = {}


class AsciiJson(JSONResponse):
    """JSON in ASCII: any text that OpenIAP keeps has a form, halves of surrogate pairs included."""

    def render(self, content: Any) -> bytes:
        """Return the text of a value."""
        return json.dumps(content, separators=(",", ":"), allow_nan=False).encode("ascii")


def _described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {
        status: {"model": ErrorResponse, "description": HTTPStatus(status).phrase}
        for status in statuses
    }


ALWAYS: Final = _described(400, 401, 403, 408, 413, 421, 422, 429, 500, 502, 503, 504)
"""For a router's ``responses``: what any request of a signed-in user may be answered."""
MISSING: Final = _described(404)
CONFLICT: Final = _described(409)


def answer_of(error: AppError) -> ErrorResponse:
    """Return what an error is answered with."""
    return ErrorResponse(error=type(error).__name__, message=error.message, details=error.details)


def response_of(error: AppError) -> Response:
    """Return the whole answer to an error."""
    headers: dict[str, str] = {}
    if isinstance(error, RateLimitError):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if isinstance(error, UnauthorizedError):
        headers["WWW-Authenticate"] = SCHEME
    return AsciiJson(answer_of(error).model_dump(), error.status_code, headers)


def plain(
    status: int, error: str, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the answer to an error that is none of a service's."""
    content = ErrorResponse(error=error, message=message).model_dump()
    return AsciiJson(content, status, headers)


def unexpected() -> Response:
    """Return the answer to what nobody expected; it tells nothing."""
    return plain(500, "InternalError", "Something went wrong inside; the log says what.")


def add_problem_handlers(app: FastAPI) -> None:
    """Have an application answer errors in this one form."""
    app.add_exception_handler(AppError, _of_service)
    app.add_exception_handler(RequestValidationError, _of_request)
    app.add_exception_handler(HTTPException, _of_http)


async def _of_service(request: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)
    return response_of(error)


async def _of_request(request: Request, error: Exception) -> Response:
    """Answer what does not fit; without the values, which may be passwords."""
    assert isinstance(error, RequestValidationError)
    found = [
        {"where": _place(one.get("loc", ())), "message": str(one.get("msg", ""))[:MOST_TEXT]}
        for one in error.errors()[:MOST_ERRORS]
    ]
    first = found[0] if found else {"where": "request", "message": "it does not fit"}
    content = ErrorResponse(
        error="ValidationError",
        message=f"{first['where']}: {first['message']}.",
        details={"errors": found},
    )
    return AsciiJson(content.model_dump(), 422)


async def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    where = request.url.path[:MOST_TEXT]
    names = {404: "NotFoundError", 405: "MethodNotAllowedError"}
    sentences = {
        404: f"There is nothing at {where}.",
        405: f"{request.method} cannot be done with {where}.",
    }
    name = names.get(error.status_code, "RequestError")
    sentence = sentences.get(error.status_code, str(error.detail)[:MOST_TEXT])
    return plain(error.status_code, name, sentence, error.headers)


def _place(parts: Any) -> str:
    return ".".join(str(part)[:MOST_TEXT] for part in tuple(parts)[:8])
