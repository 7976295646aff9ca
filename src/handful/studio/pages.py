"""The pages that the browser gets, and the styles and scripts that they load: the files in ``browser``, as they lie."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from handful import templates

KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}

PAGES = {
    "/": ("home", "Runs"),
    "/run": ("run", "Run"),
    "/explore": ("explore", "Explore"),
    "/new": ("new", "New run"),
}
"""Name and title of the page at each address."""


@cache
def static() -> dict[str, tuple[bytes, str]]:
    """Return the content and type of every file that pages load."""
    loaded = {}
    for folder in (files("handful.studio") / "browser", files("handful.reporting")):
        for file in folder.iterdir():
            ending = "." + file.name.rpartition(".")[2]
            if ending in KINDS:
                loaded[file.name] = file.read_bytes(), KINDS[ending]
    return loaded


@cache
def render(path: str) -> str:
    """Return a page."""
    environment = templates.environment("handful.studio", "browser")
    name, title = PAGES[path]
    return environment.get_template(f"{name}.html").render(name=name, title=title)


async def page(request: Request) -> Response:
    """Return the page at an address."""
    return HTMLResponse(render(request.url.path))


async def static_file(request: Request) -> Response:
    """Return a file that pages load."""
    known = static().get(request.path_params["name"])
    if known is None:
        return PlainTextResponse("There is no such file.\n", 404)
    return Response(known[0], media_type=known[1])


ROUTES: list[BaseRoute] = [*(Route(path, page) for path in PAGES), Route("/static/{name}", static_file)]
