"""Commands around training: demo, check, train."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_type_hints

from handful.cli.command import JSON, Answer, Call, Command, command
from handful.cli.parser import Boxes
from handful.cli.signature import REQUIRED, Option, fields_of, read_definition, spell
from handful.config.choices import Recipe
from handful.config.files import read_options
from handful.config.options import ADVANCED, DataOptions, MachineOptions, RecipeOptions, RecordOptions
from handful.config.presets import PRESETS, RECIPES, configure
from handful.config.text import option
from handful.config.train import TrainConfig, kinds
from handful.records.settings import read_settings

GROUPS = {"data": DataOptions, "recipe": RecipeOptions, "machine": MachineOptions, "records": RecordOptions}

HELP_ALL = Option("help_all", bool, False, "Show all options and exit.")

RECIPE = Option(
    "recipe",
    Recipe | None,
    None,
    "What the networks are trained by. published: as in the paper. default: with what we found to be better. "
    "Default: published with --preset paper, otherwise default.",
)


@dataclass(frozen=True)
class Train(Command):
    """The command ``train``, whose options are those of ``TrainConfig``; their defaults depend on what is asked for."""

    @property
    def options(self) -> dict[str, Option]:
        """All options, with the defaults of the default preset."""
        boxes = self.boxes(configure("-"), everything=True)
        return {entry.name: entry for box in boxes.values() for entry in box}

    def read(self, arguments: list[str]) -> dict[str, Any]:
        """Return the values of all options, and the run's as a ``TrainConfig`` under ``options``.

        Defaults are those of the preset, the recipe and the config file that the arguments name. If the run exists,
        they are its own: resuming needs no options, and options that differ from the run's can be refused.
        """
        everything = "--help-all" in arguments or not {"--help", "-h"} & set(arguments)
        arguments = ["--help" if argument == "--help-all" else argument for argument in arguments]
        file = peek(arguments, "config")
        given = read_options(file) if file is not None else {}
        # A name that is none is left to the parser to refuse.
        known = {"preset": PRESETS, "recipe": RECIPES}
        given |= {name: value for name, names in known.items() if (value := peek(arguments, name)) in names}
        values = self.parse(self.boxes(configure("-", **given), everything), arguments)
        config = config_of(values)
        saved = read_settings(config.folder)
        if saved is not None:
            recipe = RECIPES[given.pop("recipe")] if "recipe" in given else {}
            preset = given.pop("preset", saved.config.preset)
            defaults = TrainConfig.from_options(saved.config.to_json() | recipe | given)
            config = config_of(self.parse(self.boxes(defaults, everything), arguments) | {"preset": preset})
        return values | {"options": config}

    def boxes(self, defaults: TrainConfig, everything: bool) -> Boxes:
        """Return the options in their boxes, the advanced ones only with ``everything``."""
        types = get_type_hints(TrainConfig)
        names = {name: option(name) for name in (*kinds(), "recipe")}
        boxes: dict[str, list[Option]] = {"": [*self.own.options.values(), JSON, HELP_ALL]}
        for name, group in GROUPS.items():
            definition = read_definition(f"config.options:{group.__name__}")
            assert isinstance(definition, ast.ClassDef)
            boxes[name] = []
            for field, _, default, words in fields_of(definition):
                if everything or ADVANCED not in get_args(kinds()[field]):
                    value = REQUIRED if default is None else getattr(defaults, field)
                    on = getattr(TrainConfig, field, None) is True
                    entry = Option(field, types[field], value, spell(words, names), on)
                    boxes[name if default is not None else ""].append(entry)
        boxes["recipe"].insert(1, RECIPE)
        return boxes


def peek(arguments: list[str], name: str) -> str | None:
    """Return the value of an option before the command line is parsed, since defaults depend on it."""
    found = None
    for argument, value in pairwise([*arguments, None]):
        if argument == f"--{name}":
            found = value
        elif argument is not None and argument.startswith(f"--{name}="):
            found = argument.partition("=")[2]
    return found


def config_of(values: dict[str, Any]) -> TrainConfig:
    """Return the options of a run among all values."""
    return TrainConfig(**{name: values[name] for name in kinds()})


@command("Train", "example.demo:demo", example="handful demo")
def demo(call: Call) -> Answer:
    """Train on a small set of drawn images, in minutes.

    No pictures of your own are needed.
    """
    from handful.example.demo import demo_config
    from handful.records.run_folder import RunFolder

    picture = call()
    verdict = RunFolder(demo_config(call["out"]).folder).verdict
    words = f"training images and generated pictures side by side in {picture}\nverdict: {verdict.headline}, "
    return Answer({"picture": str(picture), "verdict": verdict.to_json()}, words + verdict.summary)


@command("Train", "data.checkup.examine:check", example="handful check photos")
def check(call: Call, html: Path | None = None, sheet: Path | None = None) -> Answer:
    """Examine a folder of pictures before training.

    Says what would hurt, in which files, and what to do. Exits with 1 if the pictures cannot be trained on.

    Args:
        html: File for all findings with pictures, as one page.
        sheet: File (PNG) for the images that lose most to the crop, with the crop drawn on them.
    """
    from handful.data.checkup.page import write_page
    from handful.data.checkup.sheet import write_sheet
    from handful.data.checkup.terminal import render

    checkup = call()
    if html is not None:
        write_page(html, checkup)
    if sheet is not None:
        write_sheet(sheet, checkup)
    failure = None if checkup.trainable else f"{call['images']}: cannot be trained on; see the errors above"
    return Answer(checkup.to_json(), [render(checkup)], failure)


@command("Train", example="handful train photos --size 256 --run runs/photos", kind=Train)
def train(call: Call, config: str | None = None, forecast: bool = False) -> Answer:
    """Train a generator on a folder of images.

    Run the same command again to resume. A run that exists keeps its options: IMAGES and --run are enough.

    Args:
        config: File with options: TOML, the config.json of a run, or TABLE.toml:VARIANT of an experiment table. Options
            on the command line override it.
        forecast: Only measure what the run would take, time and memory, in a few steps. Writes nothing.
    """
    options: TrainConfig = call["options"]
    if forecast:
        from handful.training.preflight import preflight

        measured = preflight(options)
        return Answer(measured.to_json(), str(measured))
    from handful.records.run_folder import RunFolder
    from handful.training.loop import train

    train(options)
    run = options.folder
    data: dict[str, Any] = {"run": str(run), "model": str(run / "model"), "samples": str(run / "samples")}
    data["verdict"] = RunFolder(run).verdict.to_json()
    return Answer(data, f"model in {run / 'model'}, samples in {run / 'samples'}")
