"""How fast this machine trains and generates, against what its own matrix multiplication reaches.

Training, generation and matrix multiplication are timed in turn, round after round, so that what disturbs a machine
meets them all; a round in which the machine itself was slower or faster than usual is left out.
"""

from __future__ import annotations

import dataclasses
import math
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

import torch
from rich.table import Table
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from handful.compute.device import choose_device, hardware, prepare_device
from handful.compute.memory import peak_memory
from handful.compute.precision import PRECISIONS, arithmetic, seconds
from handful.config.choices import Precision, Preset, SamplingPrecision
from handful.config.presets import configure
from handful.config.train import TrainConfig
from handful.errors import UsageError
from handful.networks import latent
from handful.networks.calibrate import calibrate
from handful.networks.pretrained.lpips import Perceptual
from handful.objective.losses import Distance, absolute_difference
from handful.progress import Progress, advance, note, shown_on
from handful.sampling.model import Model
from handful.training.setup import choose_compile, choose_precision
from handful.training.state import State
from handful.training.step import Step

IMAGES = 32
"""Random images to train on: what they show does not change how long a step takes."""


WARM_UP = 5
"""Steps before the first that counts: memory is found, and on CUDA the step is recorded, in these."""


BATCHES = (1, 2, 4, 8, 16, 32, 64)
"""Batches tried for generation."""


LARGEST_DRAW = 2**24
"""Pixels drawn at once, at most: 16 images of 1024 px."""


SHORTEST = 0.2
"""Seconds that a piece takes in a round, at least: it is repeated that often."""


DRIFT = 0.1
"""Share by which a round's matrix multiplication may differ from the median of all rounds."""


MULTIPLY = {"cpu": 2048, "cuda": 8192, "mps": 4096}
"""Rows and columns of the matrices that are multiplied."""


@dataclass(frozen=True)
class Benchmark:
    """What was measured: medians over the rounds that counted."""

    hardware: str
    versions: str
    preset: str
    size: int | str
    batch: int
    precision: str
    compiled: bool
    perceptual: bool
    train_images_per_second: float
    train_seconds_per_step: float
    train_gflop_per_step: float
    """Arithmetic of a step, in 10^9 multiplications and additions, as PyTorch counts it."""
    train_share_of_peak: float
    """Arithmetic of a step, over its seconds, over ``peak_gflops``."""
    generate_images_per_second: float
    """One image at a time."""
    generate_images_per_second_best: float
    generate_best_batch: int
    peak_gflops: float
    """What multiplying two large matrices in the same precision reaches, in 10^9 operations per second."""
    peak_memory_mb: float
    """The most that training held: of GPU memory on CUDA, else of the whole process."""
    import_seconds: float
    first_step_seconds: float
    """Making the networks and taking the first step, with compiling if that is done."""
    rounds: int
    rounds_left_out: int
    """Rounds in which the machine was not itself."""

    def to_json(self) -> dict[str, Any]:
        """Give all of it as JSON has it."""
        return dataclasses.asdict(self)


def bench(
    size: int | str | None = None,
    batch: int | None = None,
    preset: Preset = "default",
    perceptual: bool = False,
    device: str = "auto",
    precision: Precision = "auto",
    compile: Literal["auto", "on", "off"] = "auto",
    recompute: bool = False,
    rounds: int = 7,
    progress: Progress | None = None,
) -> Benchmark:
    """Measure training and generation on this machine. Takes from half a minute to several minutes; writes nothing.

    Args:
        size: Image size in pixels: a number for squares, or width x height as in 768x512. Default: the
            preset's.
        batch: Images in a step. Default: the preset's.
        preset: Source of the networks and other defaults.
        perceptual: Include LPIPS in the step, with random weights, which take as long.
        device: auto, cpu, cuda, cuda:1 or mps.
        precision: auto, fp32, tf32, bf16 or fp16; auto as in training.
        compile: auto: as a long run does.
        recompute: Recompute activations in the backward pass instead of storing them.
        rounds: Number of measurements; medians are reported.
        progress: Shows progress. Default: the terminal.

    Raises:
        UsageError: if an option makes no sense, or the device or precision is not there.
    """
    if rounds < 1:
        raise UsageError(f"--rounds {rounds}: must be at least 1")
    chosen = choose_device(device)
    given: dict[str, Any] = {"precision": precision, "compile": compile, "recompute": recompute}
    given |= {name: value for name, value in {"size": size, "batch": batch}.items() if value is not None}
    config = configure("-", preset, channels=3, **given)
    config = dataclasses.replace(config, device=str(chosen), precision=choose_precision(config, chosen))
    config = dataclasses.replace(config, compile=choose_compile(config, chosen))
    prepare_device(chosen)
    with shown_on(progress), arithmetic(config.precision):
        return measure(config, chosen, perceptual, rounds)


def measure(config: TrainConfig, device: torch.device, perceptual: bool, rounds: int) -> Benchmark:
    """Do what ``bench`` promises, for options that are settled."""
    precision = PRECISIONS[config.precision]
    distance = Perceptual().to(device).for_training(precision, config.recompute) if perceptual else absolute_difference
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (IMAGES, 3, *config.shape), dtype=torch.uint8, generator=random).to(device)
    note(f"measuring on {hardware(config.device)}, {config.precision}, {config.size} px, batch {config.whole_batch}")

    def train() -> None:
        step()
        state.step += 1

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    start = time.perf_counter()
    state = State.fresh(config, device)
    step = Step(config, state, images, distance)
    first = seconds(train) + time.perf_counter() - start
    for done in range(1, WARM_UP):
        advance("warming up", done, WARM_UP - 1)
        train()
    memory = peak_memory(device)
    flop = count(config, device, images, distance)

    calibrate(state.average)
    fitting = [batch for batch in BATCHES if batch == 1 or batch * math.prod(config.shape) <= LARGEST_DRAW]
    plain = {batch: drawing(state, config, device, batch, compile=False) for batch in fitting}
    rates = {batch: batch / min(seconds(draw) for _ in range(3)) for batch, draw in plain.items()}
    best = max(rates, key=lambda batch: rates[batch])
    single, several = (drawing(state, config, device, batch, config.compile == "on") for batch in (1, best))
    multiply = multiplication(device, precision)
    multiply()

    pieces = {"before": multiply, "train": train, "single": single, "best": several, "after": multiply}
    repeats = {name: max(1, round(SHORTEST / seconds(piece))) for name, piece in pieces.items()}
    table: list[dict[str, float]] = []
    for done in range(rounds):
        advance("measuring", done + 1, rounds)
        table.append({name: repeated(piece, repeats[name]) for name, piece in pieces.items()})
    usual = statistics.median(value for row in table for value in (row["before"], row["after"]))
    good = [row for row in table if all(abs(row[when] / usual - 1) <= DRIFT for when in ("before", "after"))]
    if not good:
        note("the machine was not steady in any round; the figures are of all of them, and not to be trusted")
    median = {name: statistics.median(row[name] for row in good or table) for name in table[0]}
    peak = 2 * MULTIPLY[device.type] ** 3 / statistics.median([median["before"], median["after"]]) / 1e9
    return Benchmark(
        hardware=hardware(config.device),
        versions=f"handful {version('handful')}, PyTorch {torch.__version__}, Python {platform.python_version()}",
        preset=config.preset,
        size=config.size,
        batch=config.whole_batch,
        precision=config.precision,
        compiled=config.compile == "on",
        perceptual=perceptual,
        train_images_per_second=round(config.whole_batch / median["train"], 3),
        train_seconds_per_step=round(median["train"], 5),
        train_gflop_per_step=round(flop / 1e9, 2),
        train_share_of_peak=round(flop / 1e9 / median["train"] / peak, 4),
        generate_images_per_second=round(1 / median["single"], 3),
        generate_images_per_second_best=round(best / median["best"], 3),
        generate_best_batch=best,
        peak_gflops=round(peak, 1),
        peak_memory_mb=round(memory, 1),
        import_seconds=round(import_time(), 3),
        first_step_seconds=round(first, 2),
        rounds=rounds,
        rounds_left_out=rounds - len(good),
    )


def repeated(function: Callable[[], object], times: int) -> float:
    """Give the seconds of a call, over several. One more comes before them, which finds what other pieces left."""

    def all_of_them() -> None:
        for _ in range(times):
            function()

    function()
    return seconds(all_of_them) / times


def count(config: TrainConfig, device: torch.device, images: Tensor, distance: Distance) -> int:
    """Count the multiplications and additions of a plain step with the same arithmetic.

    Counted at the two smallest batches and carried on to the run's, for which memory may be too small this way.
    """
    counted: list[int] = []
    for batch in (2, 3):
        # In float32 no layer is computed on blocks (thin.py), whose zeros would count as arithmetic.
        plain = dataclasses.replace(config, batch=batch, precision="fp32", compile="off", recompute=False)
        step = Step(plain, State.fresh(plain, device), images, distance)
        with FlopCounterMode(display=False) as counter:
            step.take()
        counted.append(int(counter.get_total_flops()))
    return counted[0] + (config.whole_batch - 2) * (counted[1] - counted[0])


def drawing(state: State, config: TrainConfig, device: torch.device, batch: int, compile: bool) -> Callable[[], object]:
    """Make the averaged generator ready to draw a batch, again and again."""
    precision: SamplingPrecision = config.precision if config.precision in ("bf16", "fp16") else "fp32"
    model = Model(state.average, precision, compile=compile)
    random = torch.Generator(device).manual_seed(0)
    z, noise = latent.draw(batch, config.generator.latent, state.average.noise_shapes, random)
    return lambda: model.draw(z, noise)


def multiplication(device: torch.device, precision: torch.dtype) -> Callable[[], object]:
    """Make the matrix multiplication that the machine is measured by."""
    side = MULTIPLY[device.type]
    random = torch.Generator(device).manual_seed(0)
    left, right = (torch.randn(side, side, device=device, generator=random).to(precision) for _ in range(2))
    return lambda: left @ right


def import_time() -> float:
    """Time the start of Python with all that training needs."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import handful.training"], check=True)
    return time.perf_counter() - start


def table(result: Benchmark) -> Table:
    """Lay a measurement out for the terminal."""
    kind = f"{result.preset}, {result.size} px, batch {result.batch}, {result.precision}"
    kind += f"{', compiled' * result.compiled}{', with LPIPS' * result.perceptual}"
    made = Table(title=kind, title_justify="left", show_header=False)
    rows = {
        "training": f"{result.train_images_per_second:.2f} images/s",
        "a step": f"{result.train_seconds_per_step:.3f} s, {result.train_gflop_per_step:,.0f} GFLOP",
        "share of matrix multiplication": f"{result.train_share_of_peak:.0%} of {result.peak_gflops:,.0f} GFLOP/s",
        "generating one by one": f"{result.generate_images_per_second:.1f} images/s",
        f"generating {result.generate_best_batch} at once": f"{result.generate_images_per_second_best:.1f} images/s",
        "peak memory of training": f"{result.peak_memory_mb:,.0f} MB",
        "start": f"{result.import_seconds:.1f} s to import, {result.first_step_seconds:.1f} s to the first step's end",
        "rounds": f"{result.rounds}, {result.rounds_left_out} left out, since the machine was not steady",
    }
    for name, value in rows.items():
        made.add_row(name, value)
    made.caption, made.caption_justify = f"{result.hardware}; {result.versions}", "left"
    return made
