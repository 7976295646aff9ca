"""What all answers to the browser share: the studio behind them, bodies of bounded size, errors in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, final

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, Response

from handful.errors import HandfulError, UsageError
from handful.files import parse_json
from handful.studio.library import Library
from handful.studio.places import Places
from handful.studio.processes import Processes
from handful.studio.tasks import Tasks

if TYPE_CHECKING:
    from handful.studio.engine import Engine, Engines

MAX_JSON = 1_000_000
"""Bytes."""

SANDBOX = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:; worker-src blob:"
)
"""Policy of a page that a stranger may have written, such as a report: it is an origin of its own and reaches nothing.
Its own policy lets its own script run alone."""

PICTURE_HEADERS = {"cache-control": "private, max-age=3600"}

Result = TypeVar("Result")


@final
@dataclass(frozen=True)
class Studio:
    """All that answers draw on."""

    places: Places
    processes: Processes
    library: Library
    tasks: Tasks

    @cached_property
    def engines(self) -> Engines:
        """The models that are open. The first use imports torch."""
        from handful.studio.engine import Engines

        return Engines()

    def engine(self, source: str) -> Engine:
        """Open a model by the name of its run, or by its path in an allowed folder.

        Raises:
            UsageError: It is not there, or no model.
        """
        return self.engines.get(self.places.path(source))


def studio_of(connection: HTTPConnection) -> Studio:
    """Return the studio behind a request."""
    studio = connection.app.state.studio
    assert isinstance(studio, Studio)
    return studio


def asked(connection: HTTPConnection, name: str) -> str:
    """Return a value of the query.

    Raises:
        UsageError: It is missing.
    """
    value = connection.query_params.get(name)
    if not value:
        raise UsageError(f"{name}: is missing")
    return value


def asked_number(connection: HTTPConnection, name: str, default: int) -> int:
    """Return a whole number of the query.

    Raises:
        UsageError: It is none, or negative.
    """
    text = connection.query_params.get(name, str(default))
    if not text.isdecimal() or len(text) > 12:
        raise UsageError(f"{name} {text[:20]}: must be a whole number from 0")
    return int(text)


async def read_body(request: Request, most: int) -> bytes:
    """Read a body of at most so many bytes.

    Raises:
        UsageError: It is longer.
    """
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise UsageError(f"this is larger than {most / 1e6:,.0f} MB, the most that is taken here")
        parts.append(part)
    return b"".join(parts)


async def read_object(request: Request) -> dict[str, Any]:
    """Read a body that is a JSON object.

    Raises:
        UsageError: It is something else.
    """
    try:
        value = parse_json(await read_body(request, MAX_JSON))
    except ValueError as error:
        raise UsageError(f"the request is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise UsageError("the request must be an object")
    return value


def text_in(body: dict[str, Any], name: str) -> str:
    """Return a text of a body.

    Raises:
        UsageError: It is missing, or no text.
    """
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise UsageError(f"{name}: must be a text")
    return value


async def in_thread(work: Callable[..., Result], *arguments: Any) -> Result:
    """Do what reads files or draws, while other requests are answered."""
    return await run_in_threadpool(work, *arguments)


async def answer_error(request: Request, error: Exception) -> Response:
    """Tell the page what is wrong, in words."""
    if isinstance(error, ClientDisconnect):
        return Response(status_code=499)
    words = error.on_command_line if isinstance(error, HandfulError) else str(error)
    return JSONResponse({"error": words}, 400 if isinstance(error, UsageError) else 500)
