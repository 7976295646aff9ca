"""Who may ask the studio: whoever has its token, from a page of its own, under a name of this machine."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from http.cookies import CookieError, SimpleCookie
from typing import final
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_BYTES = 24

PARAMETER = "token"

SAFE_METHODS = ("GET", "HEAD")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self' {sockets}; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)

HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}

NO_TOKEN = "Open the address that handful studio printed when it started: it holds the key to this page.\n"

OTHER_HOST = "This name is not one that the studio answers to. Use the address that it printed when it started.\n"

OTHER_ORIGIN = "The studio takes this from its own pages only.\n"


@final
class Guard:
    """Lets requests through that come from the user, and gives every answer its security headers.

    A page of another site can make a browser send requests here (cross-site request forgery), also under a name of its
    own that it points to this machine (DNS rebinding). So the token must be known, the host must be one of ours, and
    what changes something, and every WebSocket, must come from a page of ours.

    Args:
        app: The application behind it.
        token: What the address holds. A cookie keeps it.
        host: The address that the server listens on.
        port: Its port.
    """

    def __init__(self, app: ASGIApp, token: str, host: str, port: int) -> None:
        self.app, self.token, self.host, self.port = app, token, host, port
        self.cookie = f"handful-studio-{port}"  # cookies do not tell ports apart

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self.refuse(scope, headers)
        if refusal is None:
            await self.app(scope, receive, protected(send, headers.get("host", "")))
        elif scope["type"] == "http":
            await refusal(scope, receive, protected(send, ""))
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": "refused"})

    def refuse(self, scope: Scope, headers: Headers) -> Response | None:
        """Return the answer to a request that is not let through; None for one that is."""
        host = headers.get("host", "")
        if not self.is_our_host(host):
            return PlainTextResponse(OTHER_HOST, 403)
        given = parse_qs(scope["query_string"].decode("latin-1")).get(PARAMETER)
        if given is not None and scope["type"] == "http" and scope["method"] in SAFE_METHODS:
            return self.greet(scope) if self.matches(given[0]) else PlainTextResponse(NO_TOKEN, 403)
        if not self.matches(read_cookie(headers, self.cookie)):
            return PlainTextResponse(NO_TOKEN, 403)
        changes = scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS
        if changes and headers.get("origin") not in (f"http://{host}", f"https://{host}"):
            return PlainTextResponse(OTHER_ORIGIN, 403)
        return None

    def matches(self, token: str) -> bool:
        """Return whether a token is ours, in a time that does not tell how much of it is right."""
        return secrets.compare_digest(token.encode(), self.token.encode())

    def is_our_host(self, host: str) -> bool:
        """Return whether the name that a browser asked for is one of this machine's."""
        name, _, port = host.rpartition(":")
        if port != str(self.port):
            return False
        name = name.strip("[]").lower()
        if name in ("localhost", "127.0.0.1", "::1", self.host.lower()):
            return True
        if is_loopback(self.host):
            return False
        return is_address(name) or name == socket.gethostname().lower()

    def greet(self, scope: Scope) -> Response:
        """Keep the token in a cookie, and take it out of the address."""
        query = parse_qs(scope["query_string"].decode("latin-1"))
        rest = urlencode({name: values[0] for name, values in query.items() if name != PARAMETER})
        path = "/" + scope["path"].lstrip("/")  # two slashes would name another host
        answer = RedirectResponse(path + (f"?{rest}" if rest else ""), 303)
        answer.set_cookie(self.cookie, self.token, path="/", httponly=True, samesite="strict")
        return answer


def new_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def read_cookie(headers: Headers, name: str) -> str:
    """Return the value of a cookie; empty without one."""
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[name].value if name in cookies else ""


def is_address(name: str) -> bool:
    """Return whether a name is an IP address, which cannot be rebound."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    return host.lower() == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


def protected(send: Send, host: str) -> Send:
    """Return a ``send`` that adds the security headers; a header that is there already stays."""

    async def add_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            policy = POLICY.format(sockets=f"ws://{host} wss://{host}" if host else "")
            for name, value in (HEADERS | {"content-security-policy": policy, "cache-control": "no-store"}).items():
                headers.setdefault(name, value)
        await send(message)

    return add_headers
