"""Refuse sets of images from which nothing can be learned."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor

from handful.config.train import TrainConfig
from handful.errors import UsageError
from handful.files import printable

FLAT_LEVELS = 2
"""Largest difference between the pixels of an image that is one colour all over."""


def require_content(images: UInt8[Tensor, "n c h w"], config: TrainConfig) -> None:
    """Check that images are not all transparent, not each of one colour, and not all the same.

    Stops at the first image that is none of these, so it is quick for most sets.

    Raises:
        UsageError: if they are.
    """
    if images.shape[1] == 4 and not any(image[3].any() for image in images):
        problem = "all images are fully transparent"
    elif all(map(is_flat, images)):
        problem = "each image is one colour all over"
    elif all(torch.equal(image, images[0]) for image in images):
        problem = "all images are the same picture"
    else:
        return
    raise UsageError(
        f"{printable(config.images)}: {problem}, so there is nothing to learn; give images that show something, and "
        "look at handful check"
    )


def is_flat(image: UInt8[Tensor, "c h w"]) -> bool:
    """Return whether an image is one colour all over."""
    low, high = image.flatten(1).amin(dim=1), image.flatten(1).amax(dim=1)
    return bool((high.int() - low.int() <= FLAT_LEVELS).all())
