"""The discriminator: is an image real, and what does it show."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from handful.compute import shared_batch as shares
from handful.compute.streams import aside
from handful.config.choices import Norm
from handful.config.generator import GeneratorConfig
from handful.config.train import TrainConfig
from handful.networks.chain import Role
from handful.networks.generator import small_size
from handful.networks.layers import Decoder, DownBlock, Excitation, conv, halving, leaky
from handful.networks.residual import Bias, LargeDownBlock, LargeHead, ResidualDownBlock, normalised_by

BODY = 256
"""The widest map of the body, nominally; a larger image is first brought down to it by the stem."""


PATCH = 4
"""Side, in pixels of the last map, of what one logit sees of it."""


NOISY_TAIL = (16, 8)
"""Maps, by their nominal size, whose blocks NICE disturbs: the last two, so that little is computed twice."""


class Chance(NamedTuple):
    """What is random in a view of a batch, drawn beforehand; each is empty where the network has no such part."""

    chain: Sequence[Float[Tensor, "3 b _"]] = ()
    """For each block, uniform numbers that decide which channels CHAIN normalises."""
    noise: Sequence[Float[Tensor, "2 3 b _"]] = ()
    """For each block of the noisy tail, the normal noise of NICE, twice."""
    window: Sequence[Int64[Tensor, " 2"]] = ()
    """Top and left of the window that the projected discriminator looks through."""
    role: Role | None = None
    """What cumulative CHAIN is to take the images for and remember of them; none: to go by the batch alone."""


SURE = Chance()
"""Nothing random."""


class DiscriminatorOutput(NamedTuple):
    """What the discriminator makes of a batch of images."""

    logits: Float[Tensor, "b l"]
    """Patches of the image (or the same number as often), then as many of its small version, 25 each of square images;
    above 0 where they look real."""
    wide: Float[Tensor, "b c 2*h 2*w"]
    deep: Float[Tensor, "b k h w"]
    small: Float[Tensor, "b j h w"]
    off_centre: Float[Tensor, ""]
    """Sum over CHAIN's places and channels of the squared mean; 0 without CHAIN."""
    unsteady: Float[Tensor, ""]
    """Mean squared difference of the deep map under two draws of NICE's noise; 0 without NICE."""


class Decoders(nn.Module):
    """Reconstruct the image, a quarter of it and its small version from the discriminator's features.

    Source: FastGAN (Liu et al. 2021), section 3.2 and figure 4; the third decoder is in the released network only.
    """

    def __init__(self, wide: int, deep: int, small: int, size: int, width: int, channels: int) -> None:
        super().__init__()
        self.whole = Decoder(deep, size, width, channels)
        self.part = Decoder(wide, size, width, channels)
        self.small = Decoder(small, size, width, channels)

    def forward(self, view: DiscriminatorOutput, corner: Int64[Tensor, ""]) -> tuple[Tensor, Tensor, Tensor]:
        """Give the whole image, its quadrant number ``corner`` (0 to 3) and the small image, all ``[b c s t]``."""
        part = aside(lambda: self.part(quadrant(view.wide, corner)), 1, corner.device)
        small = aside(lambda: self.small(view.small), 2, corner.device)
        return self.whole(view.deep), part(), small()


class Discriminator(nn.Module):
    """Judge an image in patches at two scales.

    From the stem on the image is a map of at most 256 px, so the features are alike at 256, 512, 1024 and 2048 px. Of
    images that are not square, maps and blocks go by their nominal size (``shapes``).

    Source: FastGAN (Liu et al. 2021), section 3.2 and figure 4; layer for layer the released network at 256, 512 and
    1024 px, with its excitations, which the paper does not mention. ``large``: the body and the head that CHAIN (Ni and
    Koniusz 2024) has; the small image, which it has not, is judged here too. ``normalisation``: with CHAIN, that in the
    body's blocks and none elsewhere. ``noisy``: the channels of the last blocks are multiplied by noise, as NICE (Ni
    and Koniusz 2023) has it. ``smooth``: maps are averaged where the released network leaves places out. ``guesses``:
    numbers to be read off the deep map about how an image was changed, as in AugSelf (Hou et al. 2023). Where there are
    classes, each patch's logit also says how much it is of the class that the image is to be of, by projection (Miyato
    and Koyama 2018, equation 3).
    """

    def __init__(
        self,
        config: GeneratorConfig,
        *,
        reconstruction: bool = True,
        large: bool = False,
        normalisation: Norm = "batch",
        noisy: bool = False,
        smooth: bool = False,
        emphasis: float = 0.0,
        guesses: int = 0,
    ) -> None:
        super().__init__()
        width, nominal = config.width, config.nominal
        norm = normalised_by(normalisation)
        channels = {size: width * 64 // size for size in (8, 16, 32, 64, 128, BODY) if size <= nominal}
        sizes = sorted(channels, reverse=True)
        self.chained = [channels[size] for size in sizes[1:]] if normalisation != "batch" else []
        """Channels that each block has for CHAIN to choose from, at each of its three places."""
        self.strength = nn.Buffer(torch.zeros(()))
        """Probability that CHAIN normalises a channel of an image."""
        self.tail = [channels[size] for size in NOISY_TAIL] if noisy else []
        """Channels of each block that NICE disturbs."""
        self.noise = nn.Buffer(torch.zeros(()))
        """Deviation of NICE's factors from 1."""
        self.emphasis = emphasis
        halve = partial(halving, smoothly=smooth)
        self.stem = stem(nominal, config.channels, channels, norm, halve)
        self.blocks = nn.ModuleDict()
        self.gates = nn.ModuleDict()
        for size in sizes[1:]:
            block = LargeDownBlock if large else partial(ResidualDownBlock, smoothly=smooth)
            self.blocks[str(size)] = block(channels[2 * size], channels[size], normalisation)
            if config.sle and 8 * size in channels:
                self.gates[str(size)] = Excitation(channels[8 * size], channels[size], config.base)
        wide = 2 * channels[8]
        patches = nn.Sequential(conv(channels[8], wide, 1), norm(wide), leaky(), conv(wide, 1, PATCH))
        self.head = LargeHead(channels[8]) if large else patches
        small = small_size(nominal)
        halves = [channels[size] // 2 for size in (64, 32, 16, 8) if size < small]
        self.small = nn.Sequential(halve(config.channels, halves[0]), leaky())
        self.small.extend(DownBlock(inputs, outputs, norm, smoothly=smooth) for inputs, outputs in pairwise(halves))
        self.small_head = conv(halves[-1], 1, PATCH)
        ends = channels[16], channels[8], halves[-1]
        self.classes = self.small_classes = None
        if config.classes:
            self.classes = conv(channels[8], len(config.classes), 1)
            self.small_classes = conv(halves[-1], len(config.classes), 1)
        self.decoders = Decoders(*ends, small, width, config.channels) if reconstruction else None
        self.guess = nn.Sequential(conv(channels[8], guesses, 1), Bias(guesses)) if guesses else None

    @classmethod
    def of(cls, config: TrainConfig, classes: tuple[str, ...] = ()) -> Discriminator:
        """Make the discriminator that a run has."""
        return cls(
            dataclasses.replace(config.generator, classes=classes),
            reconstruction=config.reconstruction,
            large=config.discriminator == "large",
            normalisation=config.normalisation,
            noisy=config.nice > 0,
            smooth=config.smooth_discriminator,
            emphasis=config.emphasis,
            guesses=3 if config.augself else 0,
        )

    def lowest(self, count: int) -> list[str]:
        """Name the blocks nearest to the image.

        ``count`` of the body, the stem being the first, with their gates, and as many of the small image's path, or all
        that it has.

        Source: FreezeD (Mo et al. 2020), section 3, for a body alone.
        """
        sizes = list(self.blocks)[: max(0, count - 1)]
        body = ["stem"] * (count > 0) + [f"blocks.{size}" for size in sizes]
        small = [f"small.{place}" for place, layer in enumerate(self.small) if any(True for _ in layer.parameters())]
        return body + [f"gates.{size}" for size in sizes if size in self.gates] + small[:count]

    def freeze(self, count: int) -> None:
        """Let the ``count`` blocks nearest to the image, as ``lowest`` has them, learn nothing."""
        for name in self.lowest(count):
            self.get_submodule(name).requires_grad_(False)

    def chance(self, count: int, random: torch.Generator, role: Role | None = None) -> Chance:
        """Draw what is random in a view of ``count`` images."""
        return Chance(
            [shares.uniform((3, count, width), random, dim=1) for width in self.chained],
            [shares.normal((2, 3, count, width), random, dim=2) for width in self.tail],
            role=role,
        )

    def forward(
        self,
        images: Float[Tensor, "b c h w"],
        small: Float[Tensor, "b c _ _"],
        chance: Chance = SURE,
        labels: Int64[Tensor, " b"] | None = None,
    ) -> DiscriminatorOutput:
        """View images in [-1, 1] and their small versions; CHAIN and NICE need what ``chance`` drew.

        ``labels`` are the numbers of the classes that the images are to be of, where there are classes.
        """
        maps, off_centre, unsteady = self.body(images, chance)
        small_map = self.small(emphasised(small, self.emphasis).to(self.precision))
        patches = self.small_head(small_map).flatten(1)  # [b l/2]
        # A head of one number counts as much as one of many.
        logits = torch.cat([self.head(maps[8]).flatten(1).expand_as(patches), patches], dim=1)  # [b l]
        if self.classes is not None and self.small_classes is not None:
            assert labels is not None
            fits = [of_class(self.classes(maps[8]), labels), of_class(self.small_classes(small_map), labels)]
            logits = logits + torch.cat(fits, dim=1)
        return DiscriminatorOutput(logits.float(), maps[16], maps[8], small_map, off_centre, unsteady)

    def body(
        self, images: Float[Tensor, "b c h w"], chance: Chance = SURE
    ) -> tuple[dict[int, Float[Tensor, "b _ _ _"]], Float[Tensor, ""], Float[Tensor, ""]]:
        """Give the maps of the body by their nominal size, and a view's last two numbers."""
        x = self.stem(emphasised(images, self.emphasis).to(self.precision))
        sizes = [int(name) for name in self.blocks]
        maps = {2 * sizes[0]: x}
        steady = [size for size in sizes if not (self.tail and size in NOISY_TAIL)]
        maps, off_centre = self.descend(maps, steady, chance)
        unsteady = torch.zeros_like(self.strength)
        if self.tail:
            (maps, more), (again, _) = (self.descend(maps, NOISY_TAIL, chance, draw) for draw in (0, 1))
            off_centre = off_centre + more
            unsteady = (maps[8].float() - again[8].float()).square().mean()
        return maps, off_centre, unsteady

    def descend(
        self, maps: dict[int, Float[Tensor, "b _ _ _"]], sizes: Sequence[int], chance: Chance, draw: int | None = None
    ) -> tuple[dict[int, Float[Tensor, "b _ _ _"]], Float[Tensor, ""]]:
        """Add the maps of these nominal sizes to those above them; say how far CHAIN's channels are from mean zero."""
        maps = dict(maps)
        off_centre = torch.zeros_like(self.strength)
        for size in sizes:
            name = str(size)
            chosen = chance.chain[list(self.blocks).index(name)] < self.strength if self.chained else None
            factors = None if draw is None else 1 + self.noise * chance.noise[NOISY_TAIL.index(size)][draw]
            x, more = self.blocks[name](maps[2 * size], chosen, factors, chance.role)
            off_centre = off_centre + more
            maps[size] = self.gates[name](maps[8 * size], x) if name in self.gates else x
        return maps, off_centre

    def guessed(
        self, deep: Float[Tensor, "b k _ _"], plain: Float[Tensor, "b c h w"], chance: Chance = SURE
    ) -> Float[Tensor, "b g"]:
        """Say how images were changed, from their deep maps as changed and from the images before."""
        assert self.guess is not None
        by = (deep - self.body(plain, chance)[0][8]).mean(dim=(2, 3), keepdim=True)
        guessed: Tensor = self.guess(by).flatten(1).float()
        return guessed

    @property
    def precision(self) -> torch.dtype:
        """What convolutions compute in."""
        return self.small_head.weight.dtype


def stem(
    size: int,
    inputs: int,
    channels: dict[int, int],
    norm: Callable[[int], nn.Module],
    halve: Callable[[int, int], nn.Module],
) -> nn.Sequential:
    """Make the layers that bring an image of nominal ``size``, of ``inputs`` channels, to the body's first map."""
    full = channels[max(channels)]
    if size <= BODY:
        return nn.Sequential(conv(inputs, full, 3, padding=1), leaky())
    halvings = (size // BODY).bit_length() - 1
    widths = [full // 2] * (halvings - 1) + [full]
    layers: list[nn.Module] = [halve(inputs, widths[0]), leaky()]
    for before, after in pairwise(widths):
        layers += [halve(before, after), norm(after), leaky()]
    return nn.Sequential(*layers)


def emphasised(images: Float[Tensor, "b c h w"], strength: float) -> Float[Tensor, "b c h w"]:
    """Make fine detail stand out: add ``strength`` times what an image differs by from its means of 3x3 pixels."""
    if not strength:
        return images
    return images + strength * (images - F.avg_pool2d(images, 3, 1, 1, count_include_pad=False))


def of_class(maps: Float[Tensor, "b k h w"], labels: Int64[Tensor, " b"]) -> Float[Tensor, "b l"]:
    """Give each patch's sum over the map of its image's class, divided by its side, which keeps the size of noise."""
    chosen = maps[torch.arange(len(maps), device=maps.device), labels][:, None]  # [b 1 h w]
    return PATCH * F.avg_pool2d(chosen, PATCH, stride=1).flatten(1)


def quadrant(x: Float[Tensor, "b c h w"], corner: Int64[Tensor, ""]) -> Float[Tensor, "b c h//2 w//2"]:
    """Cut out one quarter: 0 top left, 1 top right, 2 bottom left, 3 bottom right.

    The corner is a tensor so that choosing it on a GPU does not make the program wait for the GPU.
    """
    height, width = x.shape[2] // 2, x.shape[3] // 2
    half = torch.where(corner >= 2, x[:, :, height:], x[:, :, :height])  # [b c h/2 w]
    return torch.where(corner % 2 == 1, half[..., width:], half[..., :width])
