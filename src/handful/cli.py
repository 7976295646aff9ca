"""The command line. Each command is a thin shell over one public function; torch is imported only where it is used.

Progress and notes go to the error stream, a command's answer to standard output. Exit codes: 0 done (also when a signal
stopped a run, which then was saved), 1 a run failed, 2 the command was used wrongly.
"""

from __future__ import annotations

import dataclasses
import json as json_format
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import tyro

from handful.answers import Flag, answer_with
from handful.cli_explore import Interpolate
from handful.cli_invert import Mix, Neighbours, Project
from handful.cli_latents import Directions, Latents
from handful.config import PRESETS, Channels, Drawing, Fit, Format, Precision, Preset, TrainConfig, parse_seeds
from handful.errors import TrainingError, UsageError, WeightsError
from handful.metrics.protocol import FeatureName, ProtocolName, Resize
from handful.settings import read_settings

PROGRAM = "handful"
SUMMARY = "Train a high-resolution image generator from a handful of pictures. Start with: handful demo"
# Python keeps the word `from` to itself, and config.py imports no tyro.
TrainConfig.__annotations__["from_"] = Annotated[Path | None, tyro.conf.arg(name="from")]


@dataclass(frozen=True)
class Train:
    """Train a generator on a folder of images. The same command goes on where it was stopped.

    A run that exists goes on with its own options: the image folder and --run are enough to resume it.
    """

    config: Annotated[TrainConfig, tyro.conf.arg(name="")]
    forecast: Flag = False
    """Only measure what the run would take, time and memory, in a few steps. Writes nothing."""
    json: Flag = False
    """Print what came out as one JSON object."""

    def __call__(self) -> None:
        """Train, and say where the result is."""
        if self.forecast:
            from handful.forecast import preflight

            forecast = preflight(self.config)
            answer_with(forecast.to_json(), str(forecast), json=self.json)
            return
        from handful.training import train

        train(self.config)
        folder = self.config.folder
        answer = {"run": str(folder), "model": str(folder / "model"), "samples": str(folder / "samples")}
        answer_with(answer, f"model in {folder / 'model'}, samples in {folder / 'samples'}", json=self.json)


@dataclass(frozen=True)
class Check:
    """Examine a folder of pictures before training: what would hurt, which files, what to do. Trains nothing."""

    images: Path
    """The folder, searched as training does; or a zip archive, or a dataset of the Hub."""
    size: int | str = 256
    """What is to be trained at, in pixels: one number for squares, width x height as in 768x512, or auto."""
    fit: Fit = "crop"
    """How images get these proportions: crop or squash."""
    channels: Literal["auto"] | Channels = "auto"
    """1: grey, 3: RGB, 4: RGBA, or auto, as training has it."""
    html: Path | None = None
    """File for everything that was found, with pictures, as one page."""
    sheet: Path | None = None
    """File for one picture (PNG) of the images that lose most to the crop, with the crop drawn on them."""
    json: Flag = False
    """Print all findings, with all files, as one JSON object."""

    def __call__(self) -> None:
        """Examine, and print what was found."""
        from rich.console import Console as Terminal

        from handful.doctor.examine import check
        from handful.doctor.page import write_page
        from handful.doctor.sheet import write_sheet
        from handful.doctor.words import report
        from handful.log import Console

        watch = Console()
        try:
            checkup = check(self.images, self.size, self.fit, self.channels, watch)
        finally:
            watch.close()
        if self.html is not None:
            write_page(self.html, checkup)
        if self.sheet is not None:
            write_sheet(self.sheet, checkup)
        if self.json:
            print(json_format.dumps(checkup.to_json(), indent=2))
        else:
            Terminal().print(report(checkup), highlight=False)
        if not checkup.trainable:
            raise TrainingError(f"{self.images}: cannot be trained on, for what is named above as an error")


@dataclass(frozen=True)
class Generate:
    """Draw pictures from a trained generator. A picture depends on the model and its seed alone."""

    source: Path
    """A run folder, a model folder or a .safetensors file."""
    seeds: str = "0-15"
    """Which pictures: numbers, ranges and latent files, such as 0-63,100,face.safetensors."""
    out: Path | None = None
    """Folder for one file a seed, seed-000042.png, or by a latent's name; existing ones are replaced."""
    format: Format = "png"
    """Of these files: png, or webp, lossless too, which is smaller and slower to write."""
    grid: Path | None = None
    """File for one grid of all pictures (PNG), in the order of the seeds."""
    of: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """Draw this class, of a model trained with --labels folders. Default: all in turn, seed by seed."""
    truncation: float = 1.0
    """Below 1, draw pictures towards the mean, down to 0: they grow more alike. See docs/explore.md."""
    along: tuple[str, ...] = ()
    """Directions to move pictures along, as in directions/maps.safetensors:1=2 or smile.safetensors=-1.5."""
    size_of_batch: int | None = None
    """Images computed at once on a GPU. Default: what suits it. The CPU computes one at a time."""
    precision: Drawing = "fp32"
    """What convolutions compute in. bf16 is about twice as fast where there is hardware for it, and changes pictures by
    half a grey level of 256 on average."""
    compile: Flag = False
    """Compile for this machine first, which takes seconds to a minute. For hundreds of pictures."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    json: Flag = False
    """Print the files written as one JSON object."""

    def __call__(self) -> None:
        """Generate, and say what was written."""
        seeds = self.seeds if ".safetensors" in self.seeds else parse_seeds(self.seeds)
        from handful.sample import generate

        how = (self.size_of_batch, self.device, self.precision, self.compile)
        which: dict[str, Any] = {"format": self.format, "of": self.of, "truncation": self.truncation}
        which["moves"] = self.along
        files = generate(self.source, seeds, self.out, self.grid, *how, **which)
        places = [str(place) for place in (self.out, self.grid) if place is not None]
        what = f"{len(seeds)} images" if isinstance(seeds, list) else f"pictures of {seeds}"
        text = f"{what} in {' and '.join(places)}"
        answer_with({"source": str(self.source), "files": [str(file) for file in files]}, text, json=self.json)


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
class Report:
    """Make report.html of a run anew: one page with scores, pictures, curves and copies. Also while it trains."""

    run: Path
    """A run folder."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    json: Flag = False
    """Print the file written as one JSON object."""

    def __call__(self) -> None:
        """Write the page, and say where it is."""
        from handful.reporting.build import report

        page = report(self.run, self.device)
        answer_with({"report": str(page)}, f"report in {page}", json=self.json)


@dataclass(frozen=True)
class Clean:
    """Remove what a run can make again: images that were decoded into its folder. Checkpoints and models stay."""

    run: Path
    """A run folder."""
    json: Flag = False
    """Print how many bytes were freed as one JSON object."""

    def __call__(self) -> None:
        """Remove it, and say what it was."""
        from handful.store import clean

        freed = clean(self.run)
        text = f"removed {self.run / 'cache'}: {freed / 1e6:,.0f} MB" if freed else f"nothing to remove in {self.run}"
        answer_with({"run": str(self.run), "bytes": freed}, text, json=self.json)


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
        from handful.describe import describe, tables

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
        from handful.benchmark import bench, table

        result = bench(
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "json"}
        )
        if self.json:
            print(json_format.dumps(result.to_json(), indent=2))
            return
        from rich.console import Console

        Console().print(table(result), highlight=False)


@dataclass(frozen=True)
class Demo:
    """Draw a small image folder and train on it: the whole thing in minutes, with nothing of your own."""

    out: Path = Path("demo")
    """Folder for the drawn images, the run and the pictures to look at."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    json: Flag = False
    """Print the file to look at as one JSON object."""

    def __call__(self) -> None:
        """Run the demo, and say what to look at."""
        from handful.demo import demo

        picture = demo(self.out, self.device)
        answer_with({"picture": str(picture)}, f"look at {picture}: learned from, and made", json=self.json)


class Command(Protocol):
    """What the command line is parsed into."""

    def __call__(self) -> None:
        """Do it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give the exit code. Of the processes of ``torchrun`` only the first says anything."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if os.environ.get("RANK", "0") == "0":
        return execute(arguments)
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return execute(arguments)


def execute(arguments: list[str]) -> int:
    """Parse the arguments, do what they ask for, and give the exit code."""
    if arguments == ["--version"]:
        print(version(PROGRAM))
        return 0
    try:
        parse(arguments)()
    except UsageError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    except (TrainingError, WeightsError, OSError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return 130
    return 0


def parse(arguments: Sequence[str]) -> Command:
    """Turn arguments into a command; wrong ones end the program with a message and exit code 2.

    The defaults of ``train`` are those of the preset that is asked for, and in a second reading those of the run that
    is to go on: so a resume needs no options, and those that are given are compared with the run's own.
    """
    command = read(arguments, preset_defaults(arguments))
    if isinstance(command, Train):
        saved = read_settings(command.config.folder)
        if saved is not None:
            command = read(arguments, saved.config)
    return command


def preset_defaults(arguments: Sequence[str]) -> TrainConfig:
    """Give the options of the preset that the arguments name; an unknown name is left for ``read`` to refuse."""
    name = "default"
    for argument, value in zip(arguments, [*arguments[1:], ""], strict=True):
        if argument == "--preset":
            name = value
        elif argument.startswith("--preset="):
            name = argument.removeprefix("--preset=")
    return PRESETS.get(name, PRESETS["default"])("-")


def read(arguments: Sequence[str], defaults: TrainConfig) -> Command:
    """Read the command line once, with these defaults for ``train``."""
    train = Train(dataclasses.replace(defaults, images=tyro.MISSING, run=None))
    commands = (
        Annotated[Train, tyro.conf.subcommand("train", default=train)]
        | Annotated[Check, tyro.conf.subcommand("check")]
        | Annotated[Generate, tyro.conf.subcommand("generate")]
        | Annotated[Interpolate, tyro.conf.subcommand("interpolate")]
        | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
        | Annotated[Mix, tyro.conf.subcommand("mix")]
        | Annotated[Neighbours, tyro.conf.subcommand("neighbours")]
        | Annotated[Project, tyro.conf.subcommand("project")]
        | Annotated[Directions, tyro.conf.subcommand("directions")]
        | Annotated[Latents, tyro.conf.subcommand("latents")]
        | Annotated[Report, tyro.conf.subcommand("report")]
        | Annotated[Clean, tyro.conf.subcommand("clean")]
        | Annotated[Describe, tyro.conf.subcommand("describe")]
        | Annotated[Bench, tyro.conf.subcommand("bench")]
        | Annotated[Demo, tyro.conf.subcommand("demo")]
    )
    markers = (tyro.conf.PositionalRequiredArgs, tyro.conf.DisallowNone)
    command: Command = tyro.cli(commands, prog=PROGRAM, description=SUMMARY, args=arguments, config=markers)
    return command
