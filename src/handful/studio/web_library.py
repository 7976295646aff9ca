"""Answers about the runs of the library, and changes to them. Imports no torch, so the first page need not wait."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from handful.errors import UsageError
from handful.studio import samples
from handful.studio.opened import delete_model, list_models
from handful.studio.processes import spelled
from handful.studio.web import PICTURE_HEADERS, Studio, asked, asked_number, in_thread, read_object, studio_of, text_in

LENGTHS = ("steps", "minutes", "stop_when")
"""Options of a run that may be changed to train longer."""


def runs(request: Request) -> Response:
    """Return all runs."""
    return JSONResponse({"runs": studio_of(request).library.cards()})


def models(request: Request) -> Response:
    """Return the models that were dropped."""
    return JSONResponse({"models": list_models(studio_of(request).places)})


async def remove_model(request: Request) -> Response:
    """Delete a model that was dropped."""
    studio, source = studio_of(request), text_in(await read_object(request), "source")
    await in_thread(delete_model, studio.places, source)
    return JSONResponse({})


def sample(request: Request) -> Response:
    """Return the sample grid of a step."""
    run = studio_of(request).places.run(asked(request, "name"))
    picture = samples.sample(run, asked_number(request, "step", 0), asked_number(request, "width", samples.MAX_SIDE))
    return Response(picture, media_type="image/png", headers=PICTURE_HEADERS)


async def stop(request: Request) -> Response:
    """Ask a run to save and stop."""
    studio, name = studio_of(request), text_in(await read_object(request), "name")
    await in_thread(lambda: studio.processes.stop(studio.places.run_path(name)))
    return JSONResponse({})


async def resume(request: Request) -> Response:
    """Resume a run, also with more steps or minutes."""
    studio, body = studio_of(request), await read_object(request)
    await in_thread(restart, studio, body)
    return JSONResponse({})


def restart(studio: Studio, body: dict[str, Any]) -> None:
    """Start the process of a run again.

    Raises:
        UsageError: It is training, its images are gone, or an option is wrong.
    """
    run = studio.places.run(text_in(body, "name"))
    images = run.config.images.absolute()
    if not images.exists():
        raise UsageError(f"{images}: the training images are no longer there; put them back to go on with this run")
    studio.processes.train(images, run.folder, spelled({name: body[name] for name in LENGTHS if name in body}))


async def delete(request: Request) -> Response:
    """Delete a run."""
    studio, name = studio_of(request), text_in(await read_object(request), "name")
    await in_thread(studio.library.delete, name)
    return JSONResponse({})


ROUTES: list[BaseRoute] = [
    Route("/api/runs", runs),
    Route("/api/models", models),
    Route("/api/models/delete", remove_model, methods=["POST"]),
    Route("/api/run/sample", sample),
    Route("/api/run/stop", stop, methods=["POST"]),
    Route("/api/run/resume", resume, methods=["POST"]),
    Route("/api/run/delete", delete, methods=["POST"]),
]
