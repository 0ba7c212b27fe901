"""Answers of refusal: application/problem+json (RFC 9457) with nothing in them that only we should know."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTENT_TYPE = "application/problem+json"


def problem(
    status: int,
    detail: str,
    headers: Mapping[str, str] | None = None,
    *,
    request_id: str | None = None,
    code: str | None = None,
) -> web.Response:
    """Return a refusal; `detail` says what to do next, `request_id` leads to the log line, `code` is for programs."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    if code is not None:
        body["code"] = code
    if request_id is not None:
        body["request_id"] = request_id
    return web.Response(
        status=status, body=json.dumps(body).encode() + b"\n", content_type=CONTENT_TYPE, headers=headers
    )
