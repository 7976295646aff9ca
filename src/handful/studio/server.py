"""Serve the studio. Imports no torch, so its address is printed and its first page painted within a second."""

from __future__ import annotations

import asyncio
import logging
import socket
import webbrowser
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from threading import Timer

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.routing import Mount
from starlette.types import ASGIApp

from handful.config.checks import checked
from handful.errors import HandfulError, UsageError
from handful.files import printable, require_folder
from handful.studio import web_library
from handful.studio.access import PARAMETER, Guard, is_loopback, new_token
from handful.studio.late import Late
from handful.studio.library import Library
from handful.studio.pages import ROUTES as PAGE_ROUTES
from handful.studio.places import Places
from handful.studio.processes import Processes
from handful.studio.tasks import Tasks, remove_left_over
from handful.studio.web import Studio, answer_error

PORT = 8765

PORTS_TRIED = 10

MAX_SOCKET_BYTES = 1_000_000


@checked
def studio(
    folder: Path | str = "runs",
    port: int | None = None,
    host: str = "127.0.0.1",
    browser: bool = True,
    allow: Sequence[Path | str] = (),
) -> None:
    """Serve the studio until Ctrl-C. Runs that it started go on.

    Args:
        folder: Folder of the runs.
        port: Port to listen on. Default: 8765, or the next one that is free.
        host: Address to listen on. By default nobody but this machine reaches it; 0.0.0.0 lets others in who know the
            address with its token.
        browser: Open the studio in the browser.
        allow: Folders whose pictures and models may be used. Default: the home folder and the current one.

    Raises:
        UsageError: The folder cannot be written to, or the port is taken.
    """
    folder = Path(folder)
    require_folder(folder, "FOLDER")
    for path in allow:
        if not Path(path).is_dir():
            raise UsageError(f"--allow {printable(path)}: is no folder")
    listening = listen(host, port)
    remove_left_over()
    port = int(listening.getsockname()[1])
    token = new_token()
    allowed = [Path(path) for path in allow] or default_folders()
    guarded = build(Places(folder, allowed), token, host, port)
    address = f"http://{shown_host(host)}:{port}/?{PARAMETER}={token}"
    print(address, flush=True)
    if browser:
        Timer(0.3, webbrowser.open, [address]).start()
    serve(guarded, listening)


def build(places: Places, token: str, host: str, port: int) -> ASGIApp:
    """Return the application with its guard before it."""
    processes = Processes()
    library = Library(places, processes)
    errors = dict.fromkeys((HandfulError, OSError, ClientDisconnect), answer_error)
    app = Starlette(
        routes=[*PAGE_ROUTES, *web_library.ROUTES, Mount("/", Late())],
        exception_handlers=errors,
        lifespan=until_closed,
    )
    app.state.studio = Studio(places, processes, library, Tasks())
    return Guard(app, token, host, port)


@asynccontextmanager
async def until_closed(app: Starlette) -> AsyncIterator[None]:
    """Drop work that waits when the studio closes."""
    yield
    app.state.studio.tasks.close()


def listen(host: str, port: int | None) -> socket.socket:
    """Open a port.

    Raises:
        UsageError: It is taken, or the address is none of this machine's.
    """
    problem: OSError | None = None
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in [port] if port is not None else [*range(PORT, PORT + PORTS_TRIED), 0]:
        try:
            return socket.create_server((host, candidate), family=family)
        except (OSError, OverflowError) as error:
            problem = error if isinstance(error, OSError) else OSError(str(error))
    reason = (problem.strerror or str(problem)) if problem else ""
    raise UsageError(f"--host {host} --port {port or PORT}: cannot be listened on ({reason.lower()}); choose another")


def default_folders() -> list[Path]:
    """Return the folders whose pictures may be used if none are named."""
    folders = [Path.cwd()]
    with suppress(RuntimeError):  # a user without a home
        folders.append(Path.home())
    return folders


def shown_host(host: str) -> str:
    """Return the name of this machine that a browser reaches an address by."""
    if is_loopback(host):
        return f"[{host}]" if ":" in host else host
    return socket.gethostname() if host in ("0.0.0.0", "::") else host


def is_news(record: logging.LogRecord) -> bool:
    """Return whether a line of the server says more than that Ctrl-C ended what pages were waiting for."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, asyncio.CancelledError) and "timeout graceful shutdown" not in record.getMessage()


def serve(app: ASGIApp, listening: socket.socket) -> None:
    """Answer requests until Ctrl-C."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="websockets-sansio",
        ws_max_size=MAX_SOCKET_BYTES,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=1,
    )
    logging.getLogger("uvicorn.error").addFilter(is_news)
    with suppress(KeyboardInterrupt):
        asyncio.run(uvicorn.Server(config).serve(sockets=[listening]))
