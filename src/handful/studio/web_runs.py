"""Answers about runs."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from handful.errors import UsageError
from handful.records.run_folder import is_run
from handful.studio import live
from handful.studio.processes import spelled
from handful.studio.web import Studio, asked, asked_number, in_thread, read_object, studio_of, text_in

REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline' 'wasm-unsafe-eval'; worker-src blob:"
)
"""The page of a run is a file that a stranger may have written, so it is an origin of its own and reaches nothing. Its
own policy lets its own script run alone. Workers, WebAssembly and downloads are for a report with the explorer."""

LENGTHS = ("steps", "minutes")
"""Options of a run that may be raised to train longer."""

PICTURE_HEADERS = {"cache-control": "private, max-age=3600"}


def runs(request: Request) -> Response:
    """Return all runs."""
    return JSONResponse({"runs": studio_of(request).library.cards()})


def run(request: Request) -> Response:
    """Return a run, also one that has not written its settings yet."""
    studio, name = studio_of(request), asked(request, "name")
    if not is_run(studio.places.run_path(name)):
        return JSONResponse(studio.library.starting(name))
    return JSONResponse(live.describe(studio.library, studio.places.run(name)))


def sample(request: Request) -> Response:
    """Return the sample grid of a step."""
    run = studio_of(request).places.run(asked(request, "name"))
    picture = live.sample(run, asked_number(request, "step", 0), asked_number(request, "width", live.MAX_SIDE))
    return Response(picture, media_type="image/png", headers=PICTURE_HEADERS)


def pairs(request: Request) -> Response:
    """Return which pictures of a run are nearest to training images."""
    return JSONResponse({"pairs": live.pairs(studio_of(request).places.run(asked(request, "name")))})


def training_image(request: Request) -> Response:
    """Return a training image of a run."""
    places = studio_of(request).places
    mirrored = request.query_params.get("mirrored") == "1"
    picture = live.training_image(places, places.run(asked(request, "name")), asked(request, "file"), mirrored)
    return Response(picture, media_type="image/png", headers=PICTURE_HEADERS)


def report(request: Request) -> Response:
    """Return the report of a run."""
    page = live.report(studio_of(request).places.run(asked(request, "name")))
    return Response(page, media_type="text/html", headers={"content-security-policy": REPORT_POLICY})


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
    Route("/api/run", run),
    Route("/api/run/sample", sample),
    Route("/api/run/pairs", pairs),
    Route("/api/run/training", training_image),
    Route("/api/run/stop", stop, methods=["POST"]),
    Route("/api/run/resume", resume, methods=["POST"]),
    Route("/api/run/delete", delete, methods=["POST"]),
    Route("/report", report),
]
