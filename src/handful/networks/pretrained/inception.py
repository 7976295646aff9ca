"""The Inception-v3 of 2015, whose 2048 features every published FID compares."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, final

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from handful.config.choices import Resize
from handful.networks.pretrained import loading, weights

SIDE = 299
"""Side, in pixels, of the images that the network takes."""

FEATURES = 2048

EPSILON = 0.001

Pool = Literal["average", "largest", "halve"]
"""Input of a block's ``branch_pool``: 3x3 means, 3x3 maxima, or 3x3 maxima with stride 2."""

POOLED = "branch_pool"

Branches = dict[str, str]
"""A block as ``{branch: units in order}``, a unit as ``channels:kernel``; ``|`` separates two with the same input."""


def _five(pooled: int) -> Branches:
    return {
        "branch1x1": "64:1x1",
        "branch5x5": "48:1x1 64:5x5",
        "branch3x3dbl": "64:1x1 96:3x3 96:3x3",
        POOLED: f"{pooled}:1x1",
    }


def _seven(inner: int) -> Branches:
    return {
        "branch1x1": "192:1x1",
        "branch7x7": f"{inner}:1x1 {inner}:1x7 192:7x1",
        "branch7x7dbl": f"{inner}:1x1 {inner}:7x1 {inner}:1x7 {inner}:7x1 192:1x7",
        POOLED: "192:1x1",
    }


MIDDLE: Branches = {
    "branch3x3": "384:3x3",
    "branch3x3dbl": "64:1x1 96:3x3 96:3x3",
    POOLED: "",
}

SMALL: Branches = {
    "branch3x3": "192:1x1 320:3x3",
    "branch7x7x3": "192:1x1 192:1x7 192:7x1 192:3x3",
    POOLED: "",
}

WIDE: Branches = {
    "branch1x1": "320:1x1",
    "branch3x3": "384:1x1 384:1x3|384:3x1",
    "branch3x3dbl": "448:1x1 384:3x3 384:1x3|384:3x1",
    POOLED: "192:1x1",
}

BLOCKS: tuple[tuple[str, Pool, Branches], ...] = (
    ("Mixed_5b", "average", _five(32)),
    ("Mixed_5c", "average", _five(64)),
    ("Mixed_5d", "average", _five(64)),
    ("Mixed_6a", "halve", MIDDLE),
    ("Mixed_6b", "average", _seven(128)),
    ("Mixed_6c", "average", _seven(160)),
    ("Mixed_6d", "average", _seven(160)),
    ("Mixed_6e", "average", _seven(192)),
    ("Mixed_7a", "halve", SMALL),
    ("Mixed_7b", "average", WIDE),
    ("Mixed_7c", "largest", WIDE),
)


@final
class Unit(nn.Module):
    """``relu(BatchNorm(convolution))``, the only layer with weights."""

    def __init__(self, channels: int, out: int, kernel: tuple[int, int], stride: int = 1, padded: bool = True) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2) if padded else 0
        # On the meta device first, since drawing weights would advance the global random state.
        conv = nn.Conv2d(channels, out, kernel, stride, padding, bias=False, device="meta")
        self.conv = conv.to_empty(device="cpu")
        self.bn = nn.BatchNorm2d(out, eps=EPSILON)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k H W"]:
        """Return the activations, of the same size unless the unit has a stride or no padding."""
        return F.relu(self.bn(self.conv(x)), inplace=True)


@final
class Mixed(nn.ModuleDict):
    """One block: branches with the same input, whose outputs are concatenated.

    A unit is named after its branch and its number: ``branch1x1`` if it is the only one, else ``branch3x3_1``,
    ``branch3x3_2a`` and ``branch3x3_2b``. In a block that halves, the last unit of each branch has stride 2 and no
    padding, like the pool.
    """

    def __init__(self, channels: int, pool: Pool, branches: Branches) -> None:
        super().__init__()
        self.pool = pool
        self.channels = 0
        """Of the output."""
        self.chains: dict[str, list[list[str]]] = {}
        """For each branch, the names of its units in order; one or two at each step."""
        for branch, line in branches.items():
            self.chains[branch] = []
            steps = line.split()
            width = channels
            for number, step in enumerate(steps, start=1):
                specs = [spec.split(":") for spec in step.split("|")]
                stem = branch if len(steps) == 1 else f"{branch}_{number}"
                names = [stem] if len(specs) == 1 else [f"{stem}a", f"{stem}b"]
                halves = pool == "halve" and number == len(steps)
                for name, (out, kernel) in zip(names, specs, strict=True):
                    height, _, breadth = kernel.partition("x")
                    self[name] = Unit(width, int(out), (int(height), int(breadth)), 1 + halves, not halves)
                self.chains[branch].append(names)
                width = sum(int(out) for out, _ in specs)
            self.channels += width

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k H W"]:
        """Return the concatenated outputs of the branches, in the order of the table."""
        parts = []
        for branch, chain in self.chains.items():
            ends = [_pool(x, self.pool) if branch == POOLED else x]
            for names in chain:
                ends = [self[name](ends[0]) for name in names]
            parts += ends
        return torch.cat(parts, dim=1)


@final
class Inception(nn.Module):
    """Compute 2048 features of an image, the layer before the classifier of an ImageNet network.

    The state dict has the names of the common file. Frozen and in eval mode.

    Source: Inception-v3 (Szegedy et al. 2016), figures 5 to 7 and 10 and table 1, as Google released it on 2015-12-05.
    Unlike the paper's, its average pools exclude the padding, and the last block takes the maximum where the others
    take the mean. FID (Heusel et al. 2017) is defined by this release.
    """

    def __init__(self, seed: int = 0) -> None:
        """Build with random weights by ``seed``; an FID needs ``pretrained``."""
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, (3, 3), stride=2, padded=False)
        self.Conv2d_2a_3x3 = Unit(32, 32, (3, 3), padded=False)
        self.Conv2d_2b_3x3 = Unit(32, 64, (3, 3))
        self.pool_2b = nn.MaxPool2d(3, stride=2)
        self.Conv2d_3b_1x1 = Unit(64, 80, (1, 1))
        self.Conv2d_4a_3x3 = Unit(80, 192, (3, 3), padded=False)
        self.pool_4a = nn.MaxPool2d(3, stride=2)
        channels = 192
        for name, pool, branches in BLOCKS:
            block = Mixed(channels, pool, branches)
            self.add_module(name, block)
            channels = block.channels
        generator = torch.Generator().manual_seed(seed)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        self.requires_grad_(False).eval()

    @classmethod
    def pretrained(cls, folder: Path | None = None, download: bool = True) -> Inception:
        """Build with Google's weights, on the CPU; see ``weights.locate`` for the arguments.

        Raises:
            WeightsError: The file is missing, damaged, or has other tensors than this network.
        """
        path = weights.locate(weights.INCEPTION, folder, download)
        inception = cls()
        values = loading.without_classifier(loading.read_tensors(path), "fc")
        loading.copy_tensors(loading.without_classifier(inception.state_dict(), "fc"), values, path)
        return inception

    def forward(self, x: Float[Tensor, "b 3 299 299"]) -> Float[Tensor, "b 2048"]:
        """Return the features of images from ``prepare``, each a mean over 8x8 pixels and at least 0."""
        for stage in self.children():
            x = stage(x)
        return x.mean(dim=(2, 3))


def prepare(images: UInt8[Tensor, "b 3 h w"], resize: Resize) -> Float[Tensor, "b 3 299 299"]:
    """Resize images to 299 pixels and scale them to about [-1, 1], in one of three ways that FIDs use.

    ===========  ===============================================================  ===========  =====================
    ``resize``   to 299 pixels                                                    to [-1, 1]   as in
    ===========  ===============================================================  ===========  =====================
    ``tf``       bilinear of TensorFlow 1: output pixel i is at i * size / 299    (x-128)/128  torch-fidelity,
                                                                                               StyleGAN, few-shot
                                                                                               papers
    ``pytorch``  bilinear between pixel centres                                   2x/255 - 1   pytorch-fid
    ``clean``    antialiased bicubic of Pillow, not rounded                       (x-128)/128  clean-fid
    ===========  ===============================================================  ===========  =====================

    The choice changes an FID by more than many papers' gains, so name it with the figure. The first two do not
    average over skipped pixels, so images above 299 pixels alias; the bicubic overshoots [-1, 1] at edges. An image of
    299 pixels a side only changes its range.

    Source: clean-fid (Parmar et al. 2022), section 3, compares the three.
    """
    x = images.float()
    match resize:
        case "tf":
            return (_stretch(_stretch(x, dim=3), dim=2) - 128) / 128
        case "pytorch":
            return 2 * F.interpolate(x / 255, (SIDE, SIDE), mode="bilinear", align_corners=False) - 1
        case "clean":
            return (F.interpolate(x, (SIDE, SIDE), mode="bicubic", align_corners=False, antialias=True) - 128) / 128


def _stretch(x: Float[Tensor, "b c h w"], dim: int) -> Float[Tensor, "b c H W"]:
    """Resize one dimension to 299, bilinear as in TensorFlow 1, repeating the last pixel at the end."""
    size = x.shape[dim]
    position = torch.arange(SIDE, device=x.device, dtype=x.dtype) * (size / SIDE)
    before = position.long()
    after = (before + 1).clamp(max=size - 1)
    share = (position - before).view(-1, *[1] * (3 - dim))
    low, high = x.index_select(dim, before), x.index_select(dim, after)
    return low + (high - low) * share


def _pool(x: Float[Tensor, "b c h w"], pool: Pool) -> Float[Tensor, "b c H W"]:
    match pool:
        case "average":
            return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        case "largest":
            return F.max_pool2d(x, 3, stride=1, padding=1)
        case "halve":
            return F.max_pool2d(x, 3, stride=2)
