"""Making a step of training cost the host nothing: compiled networks, and a whole step as one CUDA graph."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn

from handful.compute.compiling import keep_compile_cache
from handful.networks.projected import ProjectedDiscriminator
from handful.objective.losses import Distance
from handful.training.state import State

WARM_UP = 3
"""Steps taken one operation at a time before one is recorded: libraries set themselves up in them."""


def compile_networks(state: State, distance: Distance) -> None:
    """Compile what a step runs forward and backward, each network whole; the work is done at their first calls.

    Source: PyTorch 2 (Ansel et al. 2024).
    """
    keep_compile_cache()
    state.generator.compile(dynamic=False)
    # Of a projected one, PyTorch 2.13 compiles the gradient wrong on the CPU; no loss shows it (dev/LOG.md,
    # 2026-11-24). Nearly all of its time goes into plain convolutions anyway.
    if not isinstance(state.discriminator, ProjectedDiscriminator):
        state.discriminator.compile(dynamic=False)
    if state.discriminator.decoders is not None:
        for decoder in state.discriminator.decoders.children():
            decoder.compile(dynamic=False)
    if isinstance(distance, nn.Module):
        distance.compile(dynamic=False)
    if next(state.generator.parameters()).device.type == "cuda":
        state.generator_optimizer.compile()
        state.discriminator_optimizer.compile()


@final
class Captured:
    """Take steps as the replay of one recorded CUDA graph, so that the host launches one thing and not thousands.

    The function must be made for it: no waiting for the device, its inputs and its state always in the same memory, all
    that is random from ``random``. The first calls run it as it is, as steps like any other.

    Source: CUDA graphs as in PyTorch's notes on CUDA semantics, "Whole-network capture".
    """

    def __init__(self, function: Callable[[], dict[str, Tensor]], random: torch.Generator) -> None:
        self.function, self.random = function, random
        self.calls = 0
        self.recording = False
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self.graph = torch.cuda.CUDAGraph()
        self.results: dict[str, Tensor] = {}

    def __call__(self) -> dict[str, Tensor]:
        """Take a step, and give copies of its results, which the next replay writes over."""
        self.calls += 1
        if self.calls <= WARM_UP:
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                results = self.function()
            torch.cuda.current_stream().wait_stream(self.stream)
            return results
        if self.calls == WARM_UP + 1:
            self.graph.register_generator_state(self.random)
            gc.collect()  # an earlier recording that was found to be garbage in this one would spoil it
            self.recording = True
            # A thread that reads images ahead may go on meanwhile; by default that would spoil the recording.
            with torch.cuda.graph(self.graph, stream=self.stream, capture_error_mode="thread_local"):
                self.results = self.function()
            self.recording = False
        self.graph.replay()
        return {name: result.clone() for name, result in self.results.items()}
