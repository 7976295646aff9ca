"""A first look at a set of pictures, to choose the size and the channels that suit it."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from handful.config import sizes as shapes
from handful.config.choices import Channels
from handful.config.sizes import Shape
from handful.config.train import TrainConfig
from handful.data.photos import spread
from handful.data.sources import open_photos
from handful.images.decode import decode, upright_size
from handful.progress import note

SIZED, LOOKED_AT = 1_000, 64
"""Images whose size is read, and that are decoded; evenly spread over the set."""


THUMBNAIL = 64
"""Pixels that a decoded image is made smaller to."""


COLOURED = 12
"""Grey levels that the channels of a pixel differ by where there is colour; JPEG and scanners stay below that."""


SEEN = 0.002
"""Share of the pixels of an image that must have colour, or transparency, for the image to have it."""


MOST_PIXELS = {"cpu": 256, "cuda": 1024, "mps": 512}
"""Side of the square whose area --size auto aims at where the images are larger."""


def fitted(config: TrainConfig, device: torch.device) -> TrainConfig:
    """Settle ``--size auto`` and ``--channels auto`` by the images, and say why.

    Raises:
        UsageError: if there is no such folder.
    """
    if config.size == "auto":
        most = MOST_PIXELS.get(device.type, 256)
        sizes = sizes_of(config.images)
        size = shapes.spelled(shapes.suitable(sizes, most) if sizes else (most, most))
        config = dataclasses.replace(config, size=size)
        note(f"--size auto: {size}, by the images and the {device.type}, which takes {most} x {most} px or so")
    if config.channels == "auto":
        channels, why = channels_of(config.images)
        config = dataclasses.replace(config, channels=channels)
        if channels != 3:
            note(f"--channels auto: {channels}, since {why}; --channels 3 trains in RGB")
    return config


def sizes_of(folder: Path) -> list[Shape]:
    """Read heights and widths, as images are to be looked at; what cannot be read is passed over."""
    photos = open_photos(folder)
    found = []
    for file in spread(photos.files, SIZED):
        try:
            with photos.open(file) as opened:
                width, height = upright_size(opened)
        except Exception:  # As in decoding: what cannot be read is reported when it is loaded.
            continue
        found.append((height, width))
    return found


def channels_of(folder: Path) -> tuple[Channels, str]:
    """Say how many channels the images of a folder need, and why."""
    photos = open_photos(folder)
    coloured, transparent, looked = 0, 0, 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for file in spread(photos.files, LOOKED_AT):
            try:
                image = decode(photos.read(file), THUMBNAIL, 4)
            except Exception:
                continue
            looked += 1
            kind = kind_of(image)
            coloured, transparent = coloured + kind[0], transparent + kind[1]
    if looked and 2 * transparent >= looked:
        return 4, f"{transparent} of {looked} images looked at have something transparent"
    if looked and not coloured and not transparent:
        return 1, f"none of {looked} images looked at has colour"
    return 3, ""


def kind_of(image: Image.Image) -> tuple[bool, bool]:
    """Say whether an RGBA image has colour, and whether something in it is transparent; makes it smaller."""
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    pixels = np.asarray(image.convert("RGBa")).astype(np.int16)
    coloured = np.ptp(pixels[..., :3], axis=-1) >= COLOURED
    transparent = pixels[..., 3] < 255 - COLOURED
    return bool(coloured.mean() > SEEN), bool(transparent.mean() > SEEN)
