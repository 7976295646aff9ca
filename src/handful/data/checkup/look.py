"""What is looked at in each picture: its header, and a small version of the part that training sees."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from handful.config.choices import Fit
from handful.config.sizes import Shape
from handful.data.checkup.bars import Bars, bars
from handful.data.dataset import explain
from handful.data.photos import Photos, Problem
from handful.data.survey import kind_of
from handful.images.decode import Header, decode, header, kept

SIDE = 32
"""Pixels along a side of the thumbnails that are compared: what noise and compression change is averaged out."""


DETAIL = 128
"""Pixels of the longer side of what is searched for bars, and of the shorter one that a JPEG is decoded to."""


ENOUGH = 64
"""Pixels of the shorter side from which on bars can be told from a dark or bright edge."""


@dataclass(frozen=True)
class Sight:
    """What one picture looks like, as training sees it."""

    name: str
    thumbnail: UInt8[np.ndarray, "s s 4"]
    """Premultiplied RGBA, the sides scaled apart."""
    bars: Bars


@dataclass(frozen=True)
class Look:
    """All that is kept of one file."""

    sight: Sight
    header: Header
    digest: bytes
    """SHA-256 of the file."""
    coloured: bool
    transparent: bool

    @property
    def name(self) -> str:
        """The path below the folder."""
        return self.sight.name


def look(photos: Photos, file: Path, shape: Shape, fit: Fit) -> Look | Problem:
    """Examine one file, or say why it cannot be used. A JPEG is decoded at a fraction of its size."""
    try:
        data = photos.read(file)
        if not data:
            return Problem(file, "empty file")
        head = header(data)
        image = decode(data, DETAIL, 4)
        seen = image.crop(kept(image.size, shape, fit))
        coloured, transparent = kind_of(image)
    except Exception as error:  # Whatever a decoder makes of damaged data, the other files go on.
        return Problem(file, explain(error))
    return Look(sight(file.as_posix(), seen), head, hashlib.sha256(data).digest(), coloured, transparent)


def sight(name: str, image: Image.Image) -> Sight:
    """Make what is compared of a grey, RGB or RGBA picture."""
    whole = image.convert("RGBA").convert("RGBa")
    scale = min(1, DETAIL / max(whole.size))
    size = max(1, round(whole.width * scale)), max(1, round(whole.height * scale))
    detail = np.asarray(whole.resize(size, Image.Resampling.BOX))
    found = bars(detail[..., :3]) if detail[..., 3].min() == 255 and min(size) >= ENOUGH else Bars()
    return Sight(name, np.asarray(whole.resize((SIDE, SIDE), Image.Resampling.BOX)), found)
