"""Reduce the cost of a step on the host: compile the networks, and capture a whole step as one CUDA graph."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from handful.compute.compiling import keep_compile_cache
from handful.networks.pretrained.lpips import Perceptual
from handful.objective.losses import Distance
from handful.training.state import State

WARM_UP = 3
"""Plain steps before the captured one, in which libraries initialise."""


def compile_networks(state: State, distance: Distance) -> None:
    """Compile the networks of a step, each as a whole. The compiler runs at their first calls.

    Source: PyTorch 2 (Ansel et al. 2024).
    """
    keep_compile_cache()
    state.generator.compile(dynamic=False)
    state.discriminator.compile(dynamic=False)
    if state.discriminator.decoders is not None:
        for decoder in state.discriminator.decoders.children():
            decoder.compile(dynamic=False)
    # EfficientNet is left alone: on a CPU it would be half as slow again, after a minute and a half of compiling.
    if isinstance(distance, Perceptual):
        distance.compile(dynamic=False)
    if next(state.generator.parameters()).device.type == "cuda":
        state.generator_optimizer.compile()
        state.discriminator_optimizer.compile()


@final
class Captured:
    """Replays a function as one CUDA graph, so that the host launches one graph in place of thousands of kernels.

    The function must never wait for the device, must keep inputs and state in the same memory, and must draw all random
    numbers from ``random``. The first calls run it directly.

    Source: PyTorch's notes on CUDA semantics, "Whole-network capture".
    """

    def __init__(self, function: Callable[[], dict[str, Tensor]], random: torch.Generator) -> None:
        self.function, self.random = function, random
        self.calls = 0
        self.capturing = False
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self.graph = torch.cuda.CUDAGraph()
        self.results: dict[str, Tensor] = {}

    def __call__(self) -> dict[str, Tensor]:
        """Call the function, and return copies of its results, which the next replay overwrites."""
        self.calls += 1
        if self.calls <= WARM_UP:
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                results = self.function()
            torch.cuda.current_stream().wait_stream(self.stream)
            return results
        if self.calls == WARM_UP + 1:
            self.graph.register_generator_state(self.random)
            gc.collect()  # collecting an earlier graph during the capture would invalidate it
            self.capturing = True
            # By default, a thread that prefetches images would invalidate the capture.
            with torch.cuda.graph(self.graph, stream=self.stream, capture_error_mode="thread_local"):
                self.results = self.function()
            self.capturing = False
        self.graph.replay()
        return {name: result.clone() for name, result in self.results.items()}
