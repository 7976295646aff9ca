"""What the networks are made of: blocks, shapes, parameters, multiply-adds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from rich.table import Table
from torch import Tensor, nn

from handful.config.train import TrainConfig
from handful.networks.discriminator import Decoders, Discriminator
from handful.networks.generator import Generator

Report = dict[str, Any]


def describe(config: TrainConfig) -> Report:
    """Describe both networks of a run, on the meta device: no memory is allocated.

    Returns:
        ``preset``, ``size``, and for ``generator`` and ``discriminator`` the ``parameters``, the ``multiply_adds`` of
        one image and the ``blocks``: ``name``, ``output`` (channels, height, width), ``parameters``, ``multiply_adds``.
        The discriminator's costs are those of a real image, which it also decodes.
    """
    with torch.device("meta"):
        generator = Generator(config.generator)
        discriminator = Discriminator.of(config)
        noise = [torch.empty(1, 1, *shape) for shape in generator.noise_shapes]
        latents, corner = torch.empty(1, config.generator.latent), torch.zeros((), dtype=torch.int64)

        of_generator, images = trace(generator, lambda: generator(latents, noise))

        def judge() -> None:
            output = discriminator(*images)
            if discriminator.decoders is not None:
                discriminator.decoders(output, corner)

        of_discriminator, _ = trace(discriminator, judge)
    sizes = {"preset": config.preset, "size": config.size}
    return sizes | {"generator": of_generator, "discriminator": of_discriminator}


def trace(network: nn.Module, run: Callable[[], Any]) -> tuple[Report, Any]:
    """Run a network on the meta device; return its blocks with their outputs and costs, in order of use, and totals."""
    blocks: list[Report] = []
    costs: list[int] = []

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer.weight, Tensor)
        # A transposed convolution multiplies once per input pixel.
        pixels = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        costs.append(layer.weight.numel() * math.prod(pixels.shape[2:]))

    def note(name: str, block: nn.Module, output: Tensor | tuple[Tensor, Tensor | float]) -> None:
        output = output[0] if isinstance(output, tuple) else output
        parameters = sum(parameter.numel() for parameter in block.parameters())
        entry = {"name": name, "output": list(output.shape[1:]), "parameters": parameters, "multiply_adds": sum(costs)}
        blocks.append(entry)
        costs.clear()

    hooks = [
        layer.register_forward_hook(count)
        for layer in network.modules()
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))
    ]
    for name, block in parts(network):
        hooks.append(block.register_forward_hook(lambda block, _, output, name=name: note(name, block, output)))
    result = run()
    for hook in hooks:
        hook.remove()
    totals = {key: sum(block[key] for block in blocks) for key in ("parameters", "multiply_adds")}
    return totals | {"blocks": blocks}, result


def parts(network: nn.Module, above: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the blocks of a network by name; dictionaries and the decoders count as several blocks."""
    for name, child in network.named_children():
        if isinstance(child, (nn.ModuleDict, Decoders)):
            yield from parts(child, f"{above}{name}.")
        else:
            yield f"{above}{name}", child


def tables(report: Report) -> list[Table]:
    """Return a description as tables for the terminal."""
    result = []
    for player in ("generator", "discriminator"):
        table = Table(title=f"{player} at {report['size']} px", title_justify="left", show_footer=True)
        table.add_column("block", "total")
        table.add_column("output, channels x height x width", justify="right")
        for key in ("parameters", "multiply_adds"):
            table.add_column(key.replace("_", "-"), f"{report[player][key]:,}", justify="right")
        for block in report[player]["blocks"]:
            shape = " x ".join(map(str, block["output"]))
            table.add_row(block["name"], shape, f"{block['parameters']:,}", f"{block['multiply_adds']:,}")
        result.append(table)
    return result
