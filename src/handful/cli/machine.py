"""Commands about the machine and what it holds: bench, describe, clean, completion."""

from __future__ import annotations

from typing import Any

from handful.cli.command import Answer, Call, command
from handful.config.choices import Channels, Preset, Shell
from handful.config.presets import configure


@command("Machine", "training.benchmark:bench", example="handful bench --size 256")
def bench(call: Call) -> Answer:
    """Measure how fast this machine trains and generates.

    Also measures the memory that it takes. Writes nothing.
    """
    from handful.training.benchmark_result import to_table

    result = call()
    return Answer(result.to_json(), [to_table(result)])


@command("Machine", example="handful describe --size 512")
def describe(
    call: Call,
    preset: Preset = "default",
    size: int | str | None = None,
    channels: Channels = 3,
    width: int | None = None,
    sle: bool = True,
    reconstruction: bool = True,
) -> Answer:
    """Print both networks block by block.

    Output shapes, parameters and multiply-adds.

    Args:
        preset: Source of the other defaults.
        size: Image size in pixels: one number for squares, or width x height as in 768x512. Default: the preset's.
        channels: 1: grey, 3: RGB, 4: RGBA.
        width: Channels at 128 px. Default: the preset's.
        sle: Skip-Layer Excitation.
        reconstruction: The decoders of the discriminator.
    """
    from handful.networks.describe import describe, tables

    chosen: dict[str, Any] = {"size": size, "channels": channels, "width": width}
    chosen |= {"sle": sle, "reconstruction": reconstruction}
    given = {name: value for name, value in chosen.items() if value is not None}
    report = describe(configure("-", preset, **given))
    return Answer(report, list(tables(report)))


@command("Machine", "data.cache:clean", example="handful clean runs/photos")
def clean(call: Call) -> Answer:
    """Remove the decoded images from a run folder.

    They are made again when needed. Checkpoints and models stay.
    """
    freed = call()
    run = call["run"]
    words = f"removed {run / 'cache'}: {freed / 1e6:,.0f} MB" if freed else f"nothing to remove in {run}"
    return Answer({"run": str(run), "bytes": freed}, words)


@command("Machine", example='eval "$(handful completion bash)"')
def completion(_: Call, shell: Shell) -> Answer:
    """Print a script that completes commands and options.

    In bash or zsh, add the line below to ~/.bashrc or ~/.zshrc.

    Args:
        shell: bash or zsh.
    """
    from handful.cli.completion import completion_script

    script = completion_script(shell)
    return Answer({"shell": shell, "script": script}, script)
