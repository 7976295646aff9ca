"""The WebSocket that draws: the newest wish first, and frames dropped, never queued."""

from __future__ import annotations

import asyncio
import struct
from collections import OrderedDict
from typing import Any, final

from jaxtyping import UInt8
from starlette.websockets import WebSocket, WebSocketDisconnect
from torch import Tensor

from handful.errors import HandfulError, UsageError
from handful.files import parse_json
from handful.images.grid import to_image
from handful.studio.engine import Engine
from handful.studio.recipe import Recipe, Stroll, read_recipe, read_stroll

MAX_WALL = 400
"""Pictures of the wall that a page may wait for."""

MAX_MESSAGE = 200_000
"""Characters."""

HEADER = struct.Struct("<IHH")
"""Before the pixels of a picture: its number, width and height."""


@final
class Wishes:
    """What a page wishes to see.

    ``live`` is the newest wish for the large picture, and forgets one that is not drawn yet. ``wall`` has the small
    pictures in sight; scrolling replaces them all. The live picture comes first.
    """

    def __init__(self) -> None:
        self.live: tuple[int, Recipe | Stroll] | None = None
        self.wall: OrderedDict[int, Recipe] = OrderedDict()

    def note(self, message: Any) -> None:  # noqa: ANN401
        """Note a wish.

        Raises:
            UsageError: It is none.
        """
        if not isinstance(message, dict):
            raise UsageError("a message must be an object")
        if "picture" in message:
            self.live = number_of(message.get("id")), read_recipe(message["picture"])
        elif "walk" in message:
            self.live = number_of(message.get("id")), read_stroll(message["walk"])
        elif isinstance(message.get("wall"), list) and len(message["wall"]) <= MAX_WALL:
            tiles = [tile for tile in message["wall"] if isinstance(tile, dict)]
            self.wall = OrderedDict((number_of(tile.get("id")), read_recipe(tile.get("picture"))) for tile in tiles)
        else:
            raise UsageError("a message must have a picture, a walk or a wall")

    def next(self) -> tuple[int, Recipe | Stroll] | None:
        """Take the next wish: the live picture, or else the first of the wall."""
        wish, self.live = self.live, None
        if wish is None and self.wall:
            wish = self.wall.popitem(last=False)
        return wish


@final
class Session:
    """One page that explores one model. The page numbers its wishes."""

    def __init__(self, socket: WebSocket, engine: Engine) -> None:
        self.socket, self.engine, self.wishes = socket, engine, Wishes()
        self.wake = asyncio.Event()

    async def run(self) -> None:
        """Serve the page until it closes."""
        drawing = asyncio.create_task(self.draw_wishes())
        telling = asyncio.create_task(self.tell_directions())
        try:
            while True:
                await self.take(await self.socket.receive_text())
        except (WebSocketDisconnect, KeyError):  # a binary message has no text
            pass
        finally:
            drawing.cancel()
            telling.cancel()
            await asyncio.gather(drawing, telling, return_exceptions=True)

    async def take(self, text: str) -> None:
        """Note what the page wishes; tell it if that is no wish."""
        try:
            if len(text) > MAX_MESSAGE:
                raise UsageError("the message is too long")
            self.wishes.note(parse_json(text))
            self.wake.set()
        except (HandfulError, ValueError) as error:
            await self.tell({"error": str(error)})

    async def draw_wishes(self) -> None:
        """Draw what is wished for, one picture after the other."""
        loop = asyncio.get_running_loop()
        while True:
            self.wake.clear()
            while (wish := self.wishes.next()) is not None:
                number, wanted = wish
                try:
                    if self.engine.needs_measuring(wanted):
                        await self.tell({"busy": "Finding the directions along which pictures change"})
                        await asyncio.to_thread(self.engine.measure)
                        await self.tell({"busy": None})
                    picture = await loop.run_in_executor(self.engine.thread, self.frame, number, wanted)
                    await self.socket.send_bytes(picture)
                except HandfulError as error:
                    await self.tell({"error": str(error), "id": number})
            await self.wake.wait()

    def frame(self, number: int, wanted: Recipe | Stroll) -> bytes:
        """Draw a picture, and return it as the page takes it: header, then straight RGBA."""
        return framed(number, self.engine.draw(wanted))

    async def tell_directions(self) -> None:
        """Tell the page what directions there are, once they are found."""
        directions = await asyncio.to_thread(self.engine.measure)
        await self.tell({"directions": [round(measure, 2) for measure in directions.measures]})

    async def tell(self, message: dict[str, Any]) -> None:
        """Send words."""
        await self.socket.send_json(message)


def number_of(value: object) -> int:
    """Return the number that a page gave a wish.

    Raises:
        UsageError: It is none.
    """
    if type(value) is not int or not 0 <= value < 2**32:
        raise UsageError("id: must be a whole number from 0")
    return value


def framed(number: int, picture: UInt8[Tensor, "c h w"]) -> bytes:
    """Return a picture as one message: its number, width, height, and pixels as straight RGBA."""
    image = to_image(picture).convert("RGBA")
    return HEADER.pack(number, *image.size) + image.tobytes()
