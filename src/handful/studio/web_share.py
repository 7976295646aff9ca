"""Answers about sharing a model: its report, its exports, the Hub."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from handful.errors import UsageError
from handful.exporting.report import report
from handful.studio import sharing
from handful.studio.tasks import File
from handful.studio.web import SANDBOX, asked, in_thread, read_object, studio_of, text_in


def ways(request: Request) -> Response:
    """Return how a model can be shared from here."""
    return JSONResponse(sharing.ways())


async def write_report(request: Request) -> Response:
    """Begin to write the report of a run."""
    studio, body = studio_of(request), await read_object(request)
    run = studio.places.run(text_in(body, "name"))

    def work() -> dict[str, str]:
        report(run.folder, with_explorer=body.get("with_explorer") is True)
        return {"report": studio.places.name_of(run.folder)}

    return JSONResponse(studio.tasks.add("Writing the report", work).to_json())


async def export(request: Request) -> Response:
    """Begin to export a model to one file."""
    studio, body = studio_of(request), await read_object(request)
    ending, license = text_in(body, "ending"), sharing.license_of(body.get("license"))
    if ending not in sharing.FILES:
        raise UsageError(f"ending: must be one of {', '.join(sharing.FILES)}")
    source = studio.places.path(text_in(body, "source"))
    what = "Writing the web page" if ending == ".html" else "Writing the ONNX file"
    name = f"{(source.stem if source.is_file() else source.name)[:100]}{ending}"
    task = studio.tasks.add_file(what, name, lambda path: sharing.write_export(path, source, license))
    return JSONResponse(task.to_json())


async def push(request: Request) -> Response:
    """Begin to push a model to the Hub."""
    studio, body = studio_of(request), await read_object(request)
    repository, license = text_in(body, "repository").strip(), sharing.license_of(body.get("license"))
    public, pictures = body.get("public") is True, body.get("pictures") is not False
    source = studio.places.path(text_in(body, "source"))
    await in_thread(sharing.check_push, repository, public, license)
    task = studio.tasks.add(
        f"Sending to {repository}", lambda: sharing.send(source, repository, public, license, pictures)
    )
    return JSONResponse(task.to_json())


def shown(request: Request) -> Response:
    """Return a web page that was exported, to be looked at."""
    result = studio_of(request).tasks.get(asked(request, "name")).result
    if not isinstance(result, File) or result.path.suffix != ".html":
        raise UsageError("this work has made no page")
    return FileResponse(result.path, headers={"content-security-policy": SANDBOX})


ROUTES: list[BaseRoute] = [
    Route("/api/share", ways),
    Route("/api/share/report", write_report, methods=["POST"]),
    Route("/api/share/export", export, methods=["POST"]),
    Route("/api/share/push", push, methods=["POST"]),
    Route("/exported", shown),
]
