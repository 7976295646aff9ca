"""Answers about pictures to train on, and new runs."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from handful.errors import UsageError
from handful.studio import new_runs, pictures
from handful.studio.opened import ENDING
from handful.studio.uploads import Upload
from handful.studio.web import Studio, asked, in_thread, read_object, studio_of, text_in


def folders(request: Request) -> Response:
    """Return what a folder holds, with archives or with model files."""
    shown = ENDING if request.query_params.get("models") == "1" else ".zip"
    return JSONResponse(pictures.browse(studio_of(request).places, request.query_params.get("path", ""), shown))


async def new_set(request: Request) -> Response:
    """Make room for pictures that are about to be dropped."""
    places, body = studio_of(request).places, await read_object(request)
    return JSONResponse({"set": await in_thread(pictures.new_set, places, text_in(body, "name"))})


async def upload(request: Request) -> Response:
    """Store a picture or an archive that was dropped, and return where the set lies."""
    places = studio_of(request).places
    path = await pictures.take_file(places, asked(request, "set"), asked(request, "file"), Upload.of(request))
    return JSONResponse({"source": str(path if path.suffix == ".zip" else path.parent)})


async def check(request: Request) -> Response:
    """Begin to check pictures."""
    studio, body = studio_of(request), await read_object(request)
    source, options = text_in(body, "source"), options_in(body)
    task = studio.tasks.add("Looking at the pictures", lambda: new_runs.examine(studio.places, source, options))
    return JSONResponse(task.to_json())


async def leave_out(request: Request) -> Response:
    """Make a set without some pictures."""
    studio, body = studio_of(request), await read_object(request)
    names = body.get("files")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError("files: must be names")
    made = await in_thread(pictures.leave_out, studio.places, text_in(body, "source"), names)
    return JSONResponse({"source": str(made)})


async def forecast(request: Request) -> Response:
    """Begin to forecast a run."""
    studio, body = studio_of(request), await read_object(request)
    source, options = studio.places.path(text_in(body, "source")), new_runs.command_options(options_in(body))
    folder = new_runs.new_folder(studio.places, source, "")
    task = studio.tasks.add("Taking a few steps", lambda: new_runs.forecast(source, folder, options))
    return JSONResponse(task.to_json())


async def start(request: Request) -> Response:
    """Start a run."""
    return JSONResponse({"name": await in_thread(begin, studio_of(request), await read_object(request))})


def begin(studio: Studio, body: dict[str, Any]) -> str:
    """Start the process of a new run, and return the run's name.

    Raises:
        UsageError: The pictures are not there, an option makes no sense, or the name is taken.
    """
    source, options = studio.places.path(text_in(body, "source")), new_runs.command_options(options_in(body))
    name = body.get("name", "")
    folder = new_runs.new_folder(studio.places, source, name if isinstance(name, str) else "")
    studio.processes.train(source, folder, options)
    return studio.places.name_of(folder)


def options_in(body: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a body.

    Raises:
        UsageError: They are none.
    """
    options = body.get("options", {})
    if not isinstance(options, dict):
        raise UsageError("options: must be an object")
    return options


ROUTES: list[BaseRoute] = [
    Route("/api/folders", folders),
    Route("/api/set", new_set, methods=["POST"]),
    Route("/api/upload", upload, methods=["POST"]),
    Route("/api/check", check, methods=["POST"]),
    Route("/api/leave-out", leave_out, methods=["POST"]),
    Route("/api/forecast", forecast, methods=["POST"]),
    Route("/api/start", start, methods=["POST"]),
]
