"""Look at some images of a set to choose the size and channels that suit it: ``--size auto``, ``--channels auto``."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from handful.config.choices import Channels
from handful.config.sizes import Shape, spelled, suitable
from handful.config.train import TrainConfig
from handful.data.order import evenly_spaced
from handful.data.sources import open_photos
from handful.images.decode import decode, upright_size
from handful.progress import note

MEASURED_IMAGES, DECODED_IMAGES = 1_000, 64
"""Images whose size is read, and images that are decoded; evenly spaced over the set."""

THUMBNAIL_PIXELS = 64
"""Longer side that a decoded image is reduced to."""

COLOUR_LEVELS = 12
"""Grey levels by which the channels of a coloured pixel differ; JPEG and scanners stay below that."""

MIN_PIXEL_SHARE = 0.002
"""Share of an image's pixels that must be coloured, or transparent, for the image to count as such."""

AUTO_SIDE_PIXELS = {"cpu": 256, "cuda": 1024, "mps": 512}
"""Side of the square that limits the area of ``--size auto``, roughly, by type of device."""


def resolve_geometry(config: TrainConfig, device: torch.device) -> TrainConfig:
    """Settle ``--size auto`` and ``--channels auto`` by the images, and tell the user what was chosen.

    Raises:
        UsageError: The image folder does not exist.
    """
    if config.size == "auto":
        side = AUTO_SIDE_PIXELS.get(device.type, 256)
        shapes = read_shapes(config.images)
        size = spelled(suitable(shapes, side) if shapes else (side, side))
        config = dataclasses.replace(config, size=size)
        note(f"--size auto: {size}, from the images and a limit of about {side} x {side} px for {device.type}")
    if config.channels == "auto":
        channels, reason = choose_channels(config.images)
        config = dataclasses.replace(config, channels=channels)
        if channels != 3:
            note(f"--channels auto: {channels}, because {reason}; --channels 3 trains in RGB")
    return config


def read_shapes(folder: Path) -> list[Shape]:
    """Return the upright heights and widths of the images of a source. Unreadable files are passed over."""
    photos = open_photos(folder)
    shapes = []
    with warnings.catch_warnings(action="ignore"):
        for file in evenly_spaced(photos.files, MEASURED_IMAGES):
            try:
                with photos.open(file) as opened:
                    width, height = upright_size(opened)
            except Exception:  # As in decoding; what cannot be read is reported when it is loaded.
                continue
            shapes.append((height, width))
    return shapes


def choose_channels(folder: Path) -> tuple[Channels, str]:
    """Return the number of channels that the images of a source need, and the reason if it is not 3."""
    photos = open_photos(folder)
    coloured, transparent, decoded = 0, 0, 0
    with warnings.catch_warnings(action="ignore"):
        for file in evenly_spaced(photos.files, DECODED_IMAGES):
            try:
                image = decode(photos.read(file), THUMBNAIL_PIXELS, 4)
            except Exception:
                continue
            decoded += 1
            has_colour, has_transparency = colour_and_transparency(image)
            coloured, transparent = coloured + has_colour, transparent + has_transparency
    if decoded and 2 * transparent >= decoded:
        return 4, f"{transparent} of the {decoded} images examined are partly transparent"
    if decoded and not coloured and not transparent:
        return 1, f"none of the {decoded} images examined has colour"
    return 3, ""


def colour_and_transparency(image: Image.Image) -> tuple[bool, bool]:
    """Return whether an RGBA image has colour, and whether part of it is transparent. Shrinks the image in place."""
    image.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    pixels = np.asarray(image.convert("RGBa")).astype(np.int16)
    coloured = np.ptp(pixels[..., :3], axis=-1) >= COLOUR_LEVELS
    transparent = pixels[..., 3] < 255 - COLOUR_LEVELS
    return bool(coloured.mean() > MIN_PIXEL_SHARE), bool(transparent.mean() > MIN_PIXEL_SHARE)
