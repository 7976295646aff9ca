"""Evaluate, describe, bench."""

from __future__ import annotations

import dataclasses
import json as json_format
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from handful.cli.output import Flag
from handful.config.choices import Channels, FeatureName, Fit, Precision, Preset, ProtocolName, Resize
from handful.config.presets import PRESETS


@dataclass(frozen=True)
class Evaluate:
    """Score a generator, or a folder of images that any tool made, against its training images."""

    source: Path
    """A run folder, a model folder, a .safetensors file, or a folder of images."""
    images: Path
    """The folder of training images."""
    protocol: ProtocolName = "quick"
    """Fixes every choice. quick: 1,000 samples, no download. 5k-train: the published few-shot figures.
    50k-full: those of larger sets."""
    features: FeatureName | None = None
    """Another network to look through than the protocol's: efficientnet, inception, vgg16, dino (pip install
    'handful[dino]'), or random, which has never seen a photo."""
    resize: Resize | None = None
    """The way to inception's 299 px: tf (published few-shot figures), pytorch (pytorch-fid) or clean (clean-fid)."""
    holdout: Path | None = None
    """Folder of images of the same kind that were not trained on: shows what a perfect generator could reach."""
    compare: tuple[Path, ...] = ()
    """More sources to score the same way, side by side."""
    size: int | str | None = None
    """Pixels at which images of a folder are compared: one number for squares, or as in 768x512. Default: their own."""
    fit: Fit | None = None
    """How images get these proportions: crop or squash. Default: as the run had it, or crop."""
    truncation: float = 1.0
    """Score pictures drawn towards the mean, below 1: better precision against worse recall. See docs/explore.md."""
    weights: Path | None = None
    """Folder with the weight files of other networks. Default: $HANDFUL_WEIGHTS, then torch's own cache."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    json: Flag = False
    """Print all scores as one JSON object; with --compare, those of the others are under compare."""

    def __call__(self) -> None:
        """Score, and print a table."""
        from handful.metrics.evaluation import evaluate
        from handful.metrics.table import table

        options = {name: getattr(self, name) for name in ("protocol", "features", "resize", "holdout", "size", "fit")}
        options |= {name: getattr(self, name) for name in ("truncation", "weights", "device")}
        scores = [evaluate(source, self.images, **options) for source in (self.source, *self.compare)]
        if self.json:
            answer, *others = [each.to_json() for each in scores]
            print(json_format.dumps(answer | ({"compare": others} if others else {}), indent=2))
            return
        from rich.console import Console

        for part in table(scores):
            Console().print(part, highlight=False)


@dataclass(frozen=True)
class Describe:
    """Print both networks block by block: output shapes, parameters, multiply-adds."""

    preset: Preset = "default"
    """Where the other defaults come from."""
    size: int | str | None = None
    """Of the images, in pixels: one number for squares, or width x height as in 768x512. Default: the preset's."""
    channels: Channels = 3
    """1: grey, 3: RGB, 4: RGBA."""
    width: int | None = None
    """Channels at 128 px. Default: the preset's."""
    sle: bool = True
    """Skip-Layer Excitation."""
    reconstruction: bool = True
    """The discriminator's decoders."""
    json: Flag = False
    """Print one JSON object."""

    def __call__(self) -> None:
        """Describe on standard output."""
        given = {name: getattr(self, name) for name in ("size", "channels", "width", "sle", "reconstruction")}
        options = {name: value for name, value in given.items() if value is not None}
        config = PRESETS[self.preset]("-", **options)
        from handful.networks.describe import describe, tables

        report = describe(config)
        if self.json:
            print(json_format.dumps(report, indent=2))
            return
        from rich.console import Console

        for table in tables(report):
            Console().print(table)


@dataclass(frozen=True)
class Bench:
    """Measure how fast this machine trains and generates, and how much memory it takes. Writes nothing."""

    size: int | str | None = None
    """Of the images, in pixels: one number for squares, or width x height as in 768x512. Default: the preset's."""
    batch: int | None = None
    """Images a step sees. Default: the preset's."""
    preset: Preset = "default"
    """Whose networks."""
    perceptual: Flag = False
    """With LPIPS in the step, as published; with random weights, which take as long."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    precision: Precision = "auto"
    """auto, fp32, tf32, bf16 or fp16; auto as training has it."""
    compile: Literal["auto", "on", "off"] = "auto"
    """auto: as a long run has it."""
    recompute: Flag = False
    """Compute maps again in the backward pass instead of keeping them."""
    rounds: int = 7
    """Times that everything is measured; medians are given."""
    json: Flag = False
    """Print one JSON object."""

    def __call__(self) -> None:
        """Measure, and print a table."""
        from handful.training.benchmark import bench, table

        result = bench(
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "json"}
        )
        if self.json:
            print(json_format.dumps(result.to_json(), indent=2))
            return
        from rich.console import Console

        Console().print(table(result), highlight=False)
