"""Answers about models: drawing, latents, films, neighbours."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from handful.errors import HandfulError, UsageError
from handful.files import parse_json, printable
from handful.records.run_folder import RunFolder
from handful.studio import keepsakes, likeness
from handful.studio.engine import Engine
from handful.studio.explorer import Session
from handful.studio.opened import delete_model, take_model
from handful.studio.places import Places
from handful.studio.recipe import is_number, read_recipe, read_stops
from handful.studio.samples import png
from handful.studio.tasks import File
from handful.studio.uploads import Upload
from handful.studio.web import asked, in_thread, read_body, read_object, studio_of, text_in

MAX_LATENT_FILE = 64_000_000

MAX_PHOTO = 64_000_000
"""Bytes."""


def model(request: Request) -> Response:
    """Return what the page needs to know of a model."""
    studio = studio_of(request)
    engine = studio.engine(asked(request, "source"))
    opened, run = engine.model, engine.model.run
    name = printable(studio.library.title(run) if run is not None else engine.source.name)
    height, width = opened.config.shape
    return JSONResponse(
        {
            "title": name,
            "width": width,
            "height": height,
            "classes": list(opened.config.classes),
            "gates": bool(len(opened.network.gates)),
            "fingerprint": opened.fingerprint,
            "step": run.best_step if run is not None else None,
            "run": name_in_library(studio.places, run),
            "images": likeness.training_images(studio.places, engine) is not None,
        }
    )


def name_in_library(places: Places, run: RunFolder | None) -> str | None:
    """Return the name of a run; None if it lies elsewhere."""
    folder = run.folder.resolve() if run is not None else Path()
    return places.name_of(folder) if folder.is_relative_to(places.runs) else None


async def draw(socket: WebSocket) -> None:
    """Draw for a page until it closes."""
    await socket.accept()
    try:
        engine = await in_thread(studio_of(socket).engine, asked(socket, "source"))
    except (HandfulError, OSError) as error:
        await socket.send_json({"error": str(error)})
        await socket.close()
        return
    await Session(socket, engine).run()


def picture(request: Request) -> Response:
    """Return a picture at full size, as PNG."""
    engine = studio_of(request).engine(asked(request, "source"))
    try:
        recipe = read_recipe(parse_json(asked(request, "picture")))
    except ValueError as error:
        raise error if isinstance(error, UsageError) else UsageError(f"picture: {error}") from error
    engine.measure_for(recipe)
    image = engine.thread.submit(engine.image, recipe).result()
    return Response(png(image), media_type="image/png")


async def save_latents(request: Request) -> Response:
    """Return a latent file of some pictures."""
    studio, body = studio_of(request), await read_object(request)
    recipes = keepsakes.read_recipes(body.get("pictures"))

    def work() -> bytes:
        engine = studio.engine(text_in(body, "source"))
        return keepsakes.latent_file(engine, recipes)

    return Response(await in_thread(work), media_type="application/octet-stream")


async def load_latents(request: Request) -> Response:
    """Keep the latents of a file, and return their names."""
    studio, source = studio_of(request), asked(request, "source")
    content = await read_body(request, MAX_LATENT_FILE)
    names = await in_thread(lambda: keepsakes.take_latents(studio.engine(source), content))
    return JSONResponse({"names": names})


async def film(request: Request) -> Response:
    """Begin to make a film of a walk."""
    studio, body = studio_of(request), await read_object(request)
    stops, seconds = read_stops(body.get("pictures")), body.get("seconds", 2)
    if not is_number(seconds, 0.2, 20):
        raise UsageError("seconds: must be a number from 0.2 to 20")
    engine = await in_thread(studio.engine, text_in(body, "source"))
    loop = body.get("loop") is True

    def write(path: Path) -> None:
        keepsakes.write_film(path, engine, stops, float(seconds), loop)

    task = studio.tasks.add_file("Drawing the film", keepsakes.film_name(), write)
    return JSONResponse(task.to_json())


async def grid(request: Request) -> Response:
    """Begin to draw pictures side by side into one file."""
    studio, body = studio_of(request), await read_object(request)
    recipes = keepsakes.read_recipes(body.get("pictures"))
    engine = await in_thread(studio.engine, text_in(body, "source"))
    keepsakes.check_grid(engine, len(recipes))
    write = keepsakes.write_grid
    task = studio.tasks.add_file("Drawing the grid", "grid.png", lambda path: write(path, engine, recipes))
    return JSONResponse(task.to_json())


async def neighbours(request: Request) -> Response:
    """Begin to look for the training images nearest to a picture."""
    studio, body = studio_of(request), await read_object(request)
    recipe = read_recipe(body.get("picture"))
    engine = await in_thread(studio.engine, text_in(body, "source"))
    task = studio.tasks.add(
        "Looking through the training images", lambda: likeness.nearest(studio.places, engine, recipe)
    )
    return JSONResponse(task.to_json())


async def project(request: Request) -> Response:
    """Begin to look for the picture nearest to a photo."""
    studio, source = studio_of(request), asked(request, "source")
    content = await read_body(request, MAX_PHOTO)
    name = request.query_params.get("file", "photo")
    engine: Engine = await in_thread(studio.engine, source)
    task = studio.tasks.add("Looking for your photo", lambda: likeness.project_photo(engine, content, name))
    return JSONResponse(task.to_json())


def task(request: Request) -> Response:
    """Return how far a piece of work is."""
    return JSONResponse(studio_of(request).tasks.get(asked(request, "name")).to_json())


def task_file(request: Request) -> Response:
    """Return the file that a piece of work made."""
    result = studio_of(request).tasks.get(asked(request, "name")).result
    if not isinstance(result, File):
        raise UsageError("this work has made no file")
    return FileResponse(result.path, filename=result.name)


async def drop_model(request: Request) -> Response:
    """Store a model file that was dropped, if it is one of ours."""
    studio = studio_of(request)
    source = studio.places.name_of(await take_model(studio.places, asked(request, "file"), Upload.of(request)))
    try:
        await in_thread(studio.engine, source)
    except HandfulError:
        await in_thread(delete_model, studio.places, source)
        raise
    return JSONResponse({"source": source})


ROUTES: list[BaseRoute] = [
    Route("/api/model", model),
    Route("/api/picture", picture),
    Route("/api/latents/save", save_latents, methods=["POST"]),
    Route("/api/latents/load", load_latents, methods=["POST"]),
    Route("/api/film", film, methods=["POST"]),
    Route("/api/grid", grid, methods=["POST"]),
    Route("/api/models/drop", drop_model, methods=["POST"]),
    Route("/api/neighbours", neighbours, methods=["POST"]),
    Route("/api/project", project, methods=["POST"]),
    Route("/api/task", task),
    Route("/api/task/file", task_file),
    WebSocketRoute("/api/draw", draw),
]
