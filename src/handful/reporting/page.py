"""The report of a training run as one HTML file that needs nothing else: no network, no other file, no script."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple, final

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from handful.reporting.charts import Curve, Number, Series, chart

__all__ = ["Curve", "Moment", "Page", "Pair", "Score", "Series", "render"]


SHEET, FRAME, SIDE = 3072, 1024, 384
"""Pixels of the longest side of a sheet of images, a frame of the walk, an image of a pair: larger ones shrink."""


SMALL = 2 * 128 * 128
"""Pixels up to which nothing of an image is lost, since it is shown enlarged; nor of larger ones with few colours."""


QUALITY = 95
"""Of WebP. At 90 there are halos to be seen on white where small images are enlarged."""


PACE = 90
"""Milliseconds that a frame of the walk stays."""


STILLS = 6
"""Frames of the walk that are shown beside it, for paper and for those who want nothing to move."""


# A file name may hold any of these: what no text should hold (UTF-8 cannot even write a lone surrogate), and the marks
# that reverse the text after them.
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


@final
@dataclass(frozen=True)
class Pair:
    """A generated image and the training image that is nearest to it."""

    sample: Image.Image
    nearest: Image.Image
    """Already mirrored if ``mirrored``."""
    ratio: Number
    """How far apart they are: 0 the same image, 1 as far as two different training images."""
    label: str
    """Names the training image."""
    mirrored: bool
    copy: bool


@final
@dataclass(frozen=True)
class Moment:
    """What the same latents gave at one step of the training."""

    step: int
    image: Image.Image


@final
@dataclass(frozen=True)
class Score:
    """A row of the table of scores."""

    name: str
    value: str
    meaning: str
    why: str | None
    """The reason if there is no value."""


@final
@dataclass(frozen=True)
class Kind:
    """What a generator draws of one class."""

    name: str
    sheet: Image.Image
    text: str


@final
@dataclass(frozen=True)
class Page:
    """All that the page shows. Whatever is empty leaves its section out."""

    title: str
    verdict: list[str]
    """Short sentences that need no knowledge of the field, the most important first."""
    tone: Literal["good", "caution", "bad", "unknown"]
    made: str
    """The date, and the version that made the page."""
    facts: list[tuple[str, str]]
    warnings: list[str]
    data_sheet: Image.Image | None
    data_notes: list[str]
    samples: Image.Image | None
    samples_caption: str
    classes: Sequence[Kind]
    walk: Sequence[Image.Image]
    """Frames in order, the last followed by the first again."""
    pairs: Sequence[Pair]
    """In any order: the page shows the nearest first."""
    pairs_caption: str
    scores: Sequence[Score]
    protocol: str
    curves: Sequence[Curve]
    best_step: int | None
    moments: Sequence[Moment]
    options: list[tuple[str, str]]
    missing: list[str]
    """Sections that could not be made, each with its reason."""


class Picture(NamedTuple):
    """An image as the page holds it."""

    uri: str
    width: int
    height: int


def render(page: Page) -> str:
    """Make the HTML of a page, ready to be written as UTF-8.

    Takes about four seconds, and the file seven megabytes, for images of 256 px: 36 of them at 13 steps, 24 pairs and
    40 frames; a tenth of the time and a fifth of the bytes at 64 px.
    """
    last = max([0, *(moment.step for moment in page.moments), *_steps(page.curves)])
    template = _environment().get_template("page.html")
    html = template.render(
        page=page,
        pairs=sorted(page.pairs, key=lambda pair: pair.ratio),
        charts=[(curve, chart(curve, page.best_step, last)) for curve in page.curves],
        stills=_spread(page.walk, STILLS),
    )
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", html)


def still(image: Image.Image, longest: int) -> Picture:
    """Encode an image, shrunk to ``longest`` pixels if it is larger."""
    image = _fit(image, longest)
    file = io.BytesIO()
    if image.width * image.height <= SMALL or image.getcolors(256):
        image.save(file, format="PNG", optimize=True)
        return _picture(file, "png", image.size)
    image.save(file, format="WEBP", quality=QUALITY, use_sharp_yuv=True)
    return _picture(file, "webp", image.size)


def moving(frames: Sequence[Image.Image]) -> Picture:
    """Encode frames as one image that moves and begins again at its end. They take the size of the first."""
    first = _fit(frames[0], FRAME).convert("RGB")
    others = [frame.convert("RGB").resize(first.size, Image.Resampling.LANCZOS) for frame in frames[1:]]
    file = io.BytesIO()
    small = first.width * first.height <= SMALL
    first.save(
        file, "WEBP", save_all=True, append_images=others, duration=PACE, loop=0, lossless=small, quality=QUALITY
    )
    return _picture(file, "webp", first.size)


def _fit(image: Image.Image, longest: int) -> Image.Image:
    if image.mode not in ("L", "RGB", "RGBA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    scale = longest / max(image.size)
    if scale >= 1:
        return image
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS)


def _picture(file: io.BytesIO, kind: str, size: tuple[int, int]) -> Picture:
    return Picture(f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}", *size)


def _steps(curves: Sequence[Curve]) -> list[Number]:
    return [step for curve in curves for series in curve.series for step, _ in series.points]


def _spread(frames: Sequence[Image.Image], count: int) -> list[Image.Image]:
    """Take frames at equal distances, the first among them."""
    count = min(count, len(frames))
    return [frames[index * len(frames) // count] for index in range(count)]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("handful", "reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"still": still, "moving": moving}
    environment.globals |= {"SHEET": SHEET, "FRAME": FRAME, "SIDE": SIDE}
    return environment
