"""Answers about one run: what its page shows."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from handful.errors import UsageError
from handful.records.run_folder import is_run
from handful.studio import live
from handful.studio.web import PICTURE_HEADERS, SANDBOX, asked, studio_of


def run(request: Request) -> Response:
    """Return a run, also one that has not written its settings yet."""
    studio, name = studio_of(request), asked(request, "name")
    if not is_run(studio.places.run_path(name)):
        return JSONResponse(studio.library.starting(name))
    return JSONResponse(live.describe(studio.library, studio.places.run(name)))


def pairs(request: Request) -> Response:
    """Return which pictures of a run are nearest to training images, and why those cannot be shown if they cannot."""
    places = studio_of(request).places
    run = places.run(asked(request, "name"))
    unseen = ""
    try:
        places.training_images(run)
    except UsageError as error:
        unseen = error.on_command_line
    return JSONResponse({"pairs": live.pairs(run), "unseen": unseen})


def training_image(request: Request) -> Response:
    """Return a training image of a run."""
    places = studio_of(request).places
    mirrored = request.query_params.get("mirrored") == "1"
    picture = live.training_image(places, places.run(asked(request, "name")), asked(request, "file"), mirrored)
    return Response(picture, media_type="image/png", headers=PICTURE_HEADERS)


def report(request: Request) -> Response:
    """Return the report of a run."""
    page = live.report(studio_of(request).places.run(asked(request, "name")))
    return Response(page, media_type="text/html", headers={"content-security-policy": SANDBOX})


ROUTES: list[BaseRoute] = [
    Route("/api/run", run),
    Route("/api/run/pairs", pairs),
    Route("/api/run/training", training_image),
    Route("/report", report),
]
