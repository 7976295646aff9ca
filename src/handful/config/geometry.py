"""The form that every image of a set is brought to: its size, its channels, and how it is fitted into them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from handful.config.choices import Channels, Filter, Fit
from handful.config.sizes import Shape


@dataclass(frozen=True)
class Geometry:
    """Height and width in pixels, channels, what happens to images of other proportions, and how pixels are resized."""

    shape: Shape
    channels: Channels = 3
    """1: grey. 3: RGB, over white where an image is transparent. 4: premultiplied RGBA."""
    fit: Fit = "crop"
    """crop keeps the middle of an image; squash keeps all of it and changes its proportions."""
    filter: Filter = "lanczos"
    """What they are resized with, antialiased; bilinear is softer."""

    @property
    def bytes_per_image(self) -> int:
        """Return the size of one decoded image, a byte for each pixel and channel."""
        return self.channels * math.prod(self.shape)

    def crop_box(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Return the part of a ``size`` (width, height) image that is kept: left, top, right and bottom.

        In whole pixels, because half a pixel of shift would blur an image that already has the right height.
        """
        width, height = size
        if self.fit == "squash":
            return 0, 0, width, height
        across = min(width, max(1, round(height * self.shape[1] / self.shape[0])))
        down = min(height, max(1, round(width * self.shape[0] / self.shape[1])))
        left, top = (width - across) // 2, (height - down) // 2
        return left, top, left + across, top + down

    def kept_share(self, size: tuple[int, int]) -> float:
        """Return the share of the area of a ``size`` (width, height) image that is kept."""
        left, top, right, bottom = self.crop_box(size)
        return (right - left) * (bottom - top) / math.prod(size)
