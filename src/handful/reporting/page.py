"""Render the report of a run as one HTML file, which needs no other file and no network."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, final

from jinja2 import Environment
from PIL import Image

from handful import templates
from handful.data.order import evenly_spaced
from handful.records.verdict import MEANINGS, Verdict
from handful.reporting.axes import Number
from handful.reporting.charts import Curve, chart

SHEET, FRAME, SIDE = 3072, 1024, 384
"""Pixels of the longer side of a sheet of images, a frame of the walk, an image of a pair. Larger ones are shrunk."""

SMALL = 2 * 128 * 128
"""Pixels up to which an image is stored without loss, since it is shown enlarged."""

QUALITY = 95
"""Of WebP. At 90, halos show on white where small images are enlarged."""

PACE = 90
"""Milliseconds that each frame of the walk is shown."""

STILLS = 6
"""Frames of the walk that are shown beside it, for print and for readers who turn motion off."""

HASH_PLACE = "hash-of-the-script"
"""Stands in the page's content policy until the script is known. No other script runs there."""

# File names may hold these: control characters, lone surrogates (which UTF-8 cannot encode), and marks that reverse
# the text after them.
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


@final
@dataclass(frozen=True)
class Pair:
    """A generated image and its nearest training image."""

    sample: Image.Image
    nearest: Image.Image
    """Already mirrored if ``mirrored``."""
    ratio: Number
    """Their distance: 0 for the same image, 1 as far as two different training images."""
    label: str
    """Names the training image."""
    mirrored: bool
    copy: bool
    sharing: int
    """Number of generated images that have this training image as their nearest."""


@final
@dataclass(frozen=True)
class Moment:
    """The images of fixed seeds at one step of training."""

    step: int
    image: Image.Image


@final
@dataclass(frozen=True)
class ScoreRow:
    """A row of the table of scores."""

    name: str
    value: str
    meaning: str
    why: str | None
    """The reason if the value is missing."""
    folded: bool
    """Whether it is shown only on demand."""


@final
@dataclass(frozen=True)
class ClassRow:
    """Generated images of one class."""

    name: str
    sheet: Image.Image
    text: str


@final
@dataclass(frozen=True)
class Explorer:
    """A page that draws new pictures, shown in a frame."""

    html: str
    script_hash: str
    """Of its script. A frame inherits the content policy of the report, which must allow it."""


@final
@dataclass(frozen=True)
class Page:
    """Everything that the page shows. A section without content is left out."""

    title: str
    verdict: Verdict
    outlook: list[str]
    """Short sentences on what more training would do."""
    made: str
    """Date and version."""
    facts: list[tuple[str, str]]
    warnings: list[str]
    data_sheet: Image.Image | None
    data_notes: list[str]
    samples: Image.Image | None
    samples_caption: str
    classes: Sequence[ClassRow]
    walk: Sequence[Image.Image]
    """Frames of a loop."""
    pairs: Sequence[Pair]
    """In any order; the page shows the nearest first."""
    pairs_caption: str
    scores: Sequence[ScoreRow]
    protocol: str
    curves: Sequence[Curve]
    curves_caption: str
    best_step: int | None
    moments: Sequence[Moment]
    options: list[tuple[str, str]]
    missing: list[str]
    """What could not be made, each with its reason."""
    explorer: Explorer | None = None


class Picture(NamedTuple):
    """An image as a data URI."""

    uri: str
    width: int
    height: int


def render(page: Page) -> str:
    """Return the HTML of a page.

    At 256 px this takes about four seconds and gives seven megabytes. At 64 px it takes a tenth of the time and a fifth
    of the bytes.
    """
    last = max([0, *(moment.step for moment in page.moments), *_steps(page.curves)])
    template = _environment().get_template("page.html")
    html = template.render(
        page=page,
        pairs=sorted(page.pairs, key=lambda pair: pair.ratio),
        charts=[(curve, chart(curve, page.best_step, last)) for curve in page.curves],
        stills=evenly_spaced(page.walk, STILLS),
        script_hash=HASH_PLACE,
    )
    script = html.split("<script>")[-1].split("</script>")[0]
    html = html.replace(HASH_PLACE, templates.digest(script), 1)
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", html)


def still(image: Image.Image, longest: int) -> Picture:
    """Encode an image, shrunk to ``longest`` pixels on its longer side if it is larger."""
    image = _fit(image, longest)
    file = io.BytesIO()
    if image.width * image.height <= SMALL or image.getcolors(256):
        image.save(file, format="PNG", optimize=True)
        return _picture(file, "png", image.size)
    image.save(file, format="WEBP", quality=QUALITY, use_sharp_yuv=True)
    return _picture(file, "webp", image.size)


def moving(frames: Sequence[Image.Image]) -> Picture:
    """Encode frames as one animated image that loops. All are resized to the first."""
    first = _fit(frames[0], FRAME).convert("RGB")
    others = [frame.convert("RGB").resize(first.size, Image.Resampling.LANCZOS) for frame in frames[1:]]
    file = io.BytesIO()
    small = first.width * first.height <= SMALL
    first.save(
        file, "WEBP", save_all=True, append_images=others, duration=PACE, loop=0, lossless=small, quality=QUALITY
    )
    return _picture(file, "webp", first.size)


def side(width: int, most: int) -> int:
    """Return the pixels at which an image of a pair is shown: a whole multiple of its own up to ``most``."""
    return width * (most // width) if width <= most else most


def sentence(words: str) -> str:
    """Make a sentence of words."""
    return f"{words[:1].upper()}{words[1:]}."


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


@cache
def _environment() -> Environment:
    environment = templates.environment("handful.reporting")
    environment.filters |= {"still": still, "moving": moving, "sentence": sentence}
    environment.globals |= {"SHEET": SHEET, "FRAME": FRAME, "SIDE": SIDE, "MEANINGS": MEANINGS, "side": side}
    return environment
