"""Train, check, report, clean, demo."""

from __future__ import annotations

import json as json_format
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from handful.cli.output import Flag, answer_with
from handful.config.choices import Channels, Fit
from handful.config.train import TrainConfig
from handful.errors import TrainingError


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
            from handful.training.preflight import preflight

            forecast = preflight(self.config)
            answer_with(forecast.to_json(), str(forecast), json=self.json)
            return
        from handful.training.loop import train

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

        from handful.data.checkup.examine import check
        from handful.data.checkup.page import write_page
        from handful.data.checkup.sheet import write_sheet
        from handful.data.checkup.terminal import render

        checkup = check(self.images, self.size, self.fit, self.channels)
        if self.html is not None:
            write_page(self.html, checkup)
        if self.sheet is not None:
            write_sheet(self.sheet, checkup)
        if self.json:
            print(json_format.dumps(checkup.to_json(), indent=2))
        else:
            Terminal().print(render(checkup), highlight=False)
        if not checkup.trainable:
            raise TrainingError(f"{self.images}: cannot be trained on, for what is named above as an error")


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
        from handful.data.cache import clean

        freed = clean(self.run)
        text = f"removed {self.run / 'cache'}: {freed / 1e6:,.0f} MB" if freed else f"nothing to remove in {self.run}"
        answer_with({"run": str(self.run), "bytes": freed}, text, json=self.json)


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
        from handful.example.demo import demo

        picture = demo(self.out, self.device)
        answer_with({"picture": str(picture)}, f"look at {picture}: learned from, and made", json=self.json)
