"""Lay one image over another: find the zoom, shift, turn, warp and change of colour that make them most alike.

A copy that was zoomed, moved or recoloured becomes the same image again, so its distance does not depend on the
disguise. Nothing is learned, so no network's taste is in it.

Source: image registration by Gauss-Newton steps on the parameters of a map (Lucas and Kanade 1981; Baker and Matthews
2004, section 2), damped as by Levenberg and Marquardt. The gain of each colour is solved for in every step.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

SMOOTHING = (2.5, 1.0)
"""Deviations of the Gaussian blur in pixels: first coarse, so that a map is found, then fine, so that it is exact."""

STEPS = (3, 4)
"""Gauss-Newton steps at each blur."""

FAINTEST = 0.03
"""Contrast, as a share of the range of colours, that is added to a window's own: fainter detail is noise."""

GAIN = (0.5, 2.0)
"""Least and largest factor between the contrasts of a colour in two images."""

COLOUR = 0.03
"""Weight of the difference of mean colours beside that of shapes: a recoloured copy is one, but where nothing else
differs, colour does."""

LONGEST_STEP = 0.15
"""Largest change of a parameter in a step, in halves of the image's side."""

OUTSIDE = 1.1
"""Places beyond this share of the image, from its middle, have no match."""

AREA = (0.4, 1.8)
"""Least and largest area in an image on which a window of area 1 may be laid."""


@final
@dataclass(frozen=True)
class Window:
    """The part of a sample that is compared, on a grid of ``points`` x ``points`` places."""

    top: float
    bottom: float
    left: float
    right: float
    points: int
    """Coordinates run from -1 to 1 across the image."""

    def grid(self) -> Float[Tensor, "2 p p"]:
        """Return the places, across and down."""
        across, down = (
            torch.linspace(start, end, 2 * self.points + 1)[1::2]
            for start, end in ((self.left, self.right), (self.top, self.bottom))
        )
        rows, columns = torch.meshgrid(down, across, indexing="ij")
        return torch.stack([columns, rows])


@final
class Smoothed:
    """Images at both blurs, ready to be laid over each other."""

    def __init__(self, images: Float[Tensor, "n 3 s s"], zooms: tuple[float, ...] = (1.0,)) -> None:
        """Blur images in [0, 1]; once for each zoom, since a zoomed copy is blurred less than what it was made from."""
        self.zooms = torch.tensor(zooms)
        self.levels = [
            torch.stack([_blurred(images, deviation * zoom).half() for zoom in zooms]) for deviation in SMOOTHING
        ]

    def of(self, chosen: Bool[Tensor, " n"]) -> Smoothed:
        """Return some of the images."""
        part = copy.copy(self)
        part.levels = [level[:, chosen] for level in self.levels]
        return part

    def choose(self, level: int, index: Int64[Tensor, " p"], zoom: Float[Tensor, " p"]) -> Float[Tensor, "p 3 s s"]:
        """Return images of these indices, blurred for these zooms."""
        nearest = (zoom[:, None] - self.zooms).abs().argmin(dim=1)
        return self.levels[level][nearest, index].float()


def _blurred(images: Float[Tensor, "n c s s"], deviation: float) -> Float[Tensor, "n c s s"]:
    radius = math.ceil(3 * deviation)
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-offsets.square() / (2 * deviation**2))
    kernel = (weights / weights.sum()).expand(images.shape[1], 1, 1, -1)
    for _ in range(2):  # along rows, then along columns
        padded = F.pad(images, (radius, radius, 0, 0), mode="replicate")
        images = F.conv2d(padded, kernel, groups=images.shape[1]).transpose(2, 3)
    return images


def _with_derivatives(images: Float[Tensor, "n 3 s s"]) -> Float[Tensor, "n 9 s s"]:
    """Append central differences for each half of the side."""
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate") * (images.shape[-1] / 4)
    across = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    down = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    return torch.cat([images, across, down], dim=1)


@final
@dataclass(frozen=True)
class Start:
    """Where to begin for each of p pairs: mirrored or not, a zoom and a shift."""

    sign: Float[Tensor, " p"]
    """-1 where the image is mirrored, 1 where it is not."""
    zoom: Float[Tensor, " p"]
    down: Float[Tensor, " p"]
    across: Float[Tensor, " p"]

    def map(self) -> Float[Tensor, "p 2 6"]:
        """Return the map from places in the sample to places in the image, as coefficients of ``_terms``."""
        map = torch.zeros(len(self.sign), 2, 6)
        map[:, 0, 0], map[:, 0, 2] = self.sign / self.zoom, self.sign * self.across
        map[:, 1, 1], map[:, 1, 2] = 1 / self.zoom, self.down
        return map


def _terms(grid: Float[Tensor, "2 p p"]) -> Float[Tensor, "6 q"]:
    """Return what a map is a sum of: across, down, 1, and the three products, which bend straight lines."""
    across, down = grid.flatten(1)
    return torch.stack([across, down, torch.ones_like(across), across.square(), across * down, down.square()])


def align(
    samples: Smoothed,
    sample: Int64[Tensor, " p"],
    images: Smoothed,
    image: Int64[Tensor, " p"],
    start: Start,
    window: Window,
) -> Float[Tensor, " p"]:
    """Return how different a window of each sample is from each image, once it is laid over it as well as can be.

    Args:
        samples: Smoothed for the zooms that a start may have.
        sample: Index of the sample of each of p pairs.
        images: What the samples are laid over.
        image: Index of the image of each pair.
        start: Where the search begins.
        window: The part of the sample. Its map is affine at the coarse blur, quadratic at the fine one.

    Returns:
        The root mean square of what is left, over the window's contrast: 0 for the same picture, about 1 for another.
        A different mean colour hardly counts.
    """
    grid = window.grid()
    terms, map = _terms(grid), start.map()
    places = grid.movedim(0, -1).expand(len(sample), -1, -1, -1)
    left = torch.full((len(sample),), math.inf)
    for level, (steps, kept) in enumerate(zip(STEPS, (3, 6), strict=True)):
        colours = samples.choose(level, sample, start.zoom)
        wanted = F.grid_sample(colours, places, align_corners=False, padding_mode="border").flatten(2)
        under = _with_derivatives(images.choose(level, image, torch.ones_like(start.zoom)))
        fit = _Fit(wanted, under, terms[:kept], window.points)
        left, map[:, :, :kept] = fit.run(map[:, :, :kept].clone(), steps)
    return left


@final
class _Fit:
    """One level of ``align``."""

    def __init__(
        self, wanted: Float[Tensor, "p 3 q"], image: Float[Tensor, "p 9 s s"], terms: Float[Tensor, "t q"], points: int
    ) -> None:
        self.colour = wanted.mean(dim=2)
        self.wanted = wanted - self.colour[:, :, None]
        self.contrast = self.wanted.square().mean(dim=(1, 2)).sqrt() + FAINTEST
        self.image, self.terms, self.points = image, terms, points

    def look(
        self, map: Float[Tensor, "p 2 t"]
    ) -> tuple[Float[Tensor, " p"], Float[Tensor, "p r"], Float[Tensor, "p u r"]]:
        """Return what is left with a map, its residuals, and their derivatives by each coefficient."""
        pairs = len(map)
        places = (map @ self.terms).transpose(1, 2).reshape(pairs, self.points, self.points, 2)
        seen = F.grid_sample(self.image, places, align_corners=False, padding_mode="border").flatten(2)
        mean = seen.mean(dim=2, keepdim=True)
        tint = (mean[:, :3, 0] - self.colour).square().mean(dim=1)
        seen = seen - mean
        colours, across, down = torch.split(seen, 3, dim=1)
        variance = colours.square().mean(dim=2, keepdim=True) + 1e-5
        gain = ((colours * self.wanted).mean(dim=2, keepdim=True) / variance).clamp(*GAIN)
        residual = self.wanted - gain * colours
        left = (residual.square().mean(dim=(1, 2)) + COLOUR**2 * tint).sqrt() / self.contrast
        outside = (places.abs().amax(dim=3) > OUTSIDE).float().mean(dim=(1, 2))
        area = (map[:, 0, 0] * map[:, 1, 1] - map[:, 0, 1] * map[:, 1, 0]).abs()
        left = (left + outside).where((area > AREA[0]) & (area < AREA[1]), math.inf)
        slopes = torch.cat([(gain * way)[:, None] * self.terms[:, None] for way in (across, down)], dim=1)
        return left, residual.flatten(1), slopes.flatten(2)

    def run(self, map: Float[Tensor, "p 2 t"], steps: int) -> tuple[Float[Tensor, " p"], Float[Tensor, "p 2 t"]]:
        """Improve a map; a step that makes things worse is taken back and the next one is shorter."""
        damping = torch.full((len(map),), 1e-2)
        left, residual, slopes = self.look(map)
        for _ in range(steps):
            curvature = slopes @ slopes.transpose(1, 2)
            diagonal = curvature.diagonal(dim1=1, dim2=2)
            ridge = damping[:, None] * (diagonal + diagonal.mean(dim=1, keepdim=True) / 10 + 1e-6)
            step = torch.linalg.solve(curvature + torch.diag_embed(ridge), slopes @ residual[:, :, None])
            tried = map + step.view_as(map).clamp(-LONGEST_STEP, LONGEST_STEP)
            new_left, new_residual, new_slopes = self.look(tried)
            better = new_left < left
            left = new_left.where(better, left)
            map = tried.where(better[:, None, None], map)
            residual = new_residual.where(better[:, None], residual)
            slopes = new_slopes.where(better[:, None, None], slopes)
            damping = torch.where(better, damping * 0.3, damping * 6).clamp(1e-5, 1e3)
        return left, map
