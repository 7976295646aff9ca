"""Answers that need torch, which takes seconds to import. They wait for it; pages and the list of runs do not."""

from __future__ import annotations

from functools import cache
from typing import final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from handful.studio.web import in_thread


@final
class Late:
    """Imports torch with the first request that needs it, in a thread, while the studio answers others.

    The pages send such a request once they stand, so that torch does not compete with the first paint.
    """

    def __init__(self) -> None:
        self.router: Router | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if self.router is None:
            self.router = await in_thread(load_router)
        await self.router(scope, receive, send)


@cache
def load_router() -> Router:
    """Import what draws, checks and exports, and return its routes."""
    from handful.studio import web_models, web_new, web_runs, web_share

    return Router(
        [Route("/api/ready", ready), *web_runs.ROUTES, *web_models.ROUTES, *web_new.ROUTES, *web_share.ROUTES]
    )


def ready(request: Request) -> Response:
    """Return once everything is loaded."""
    return JSONResponse({})
