"""Answers in GitLab's form, and reading of requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec
from aiohttp import web

from podlane.gitlab import wire
from podlane.gitlab.errors import BadAnswerError
from podlane.gitlab.wire import encode
from podlane.model.job import Job

T = TypeVar("T", bound=msgspec.Struct)


async def read(request: web.Request, shape: type[T]) -> T:
    """Return the request's body.

    Raises:
        web.HTTPBadRequest: it has not that shape.
    """
    body = await request.read()
    try:
        return wire.decode(body or b"{}", shape)
    except BadAnswerError as error:
        raise web.HTTPBadRequest(text=error.message) from error


def json(
    value: msgspec.Struct, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return a JSON answer."""
    return web.Response(
        body=encode(value), status=status, headers=headers, content_type="application/json"
    )


def job(offered: Job, *, headers: Mapping[str, str]) -> web.Response:
    """Return 201 with a job."""
    return web.Response(
        body=wire.encode_job(offered), status=201, headers=headers,
        content_type="application/json",
    )  # fmt: skip


def message(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return an answer with a sentence: ``{"message": "403 Forbidden - …"}``."""
    reason = {400: "Bad request", 403: "Forbidden", 404: "Not Found"}.get(status)
    sentence = f"{status} {reason} - {text}" if reason else text
    body = msgspec.json.encode({"message": sentence})
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


def forbidden(text: str = "the runner token is not valid") -> web.Response:
    """Return 403."""
    return message(403, text)
