"""What a benchmark measured, as JSON and as a table for the terminal."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from rich.table import Table


@dataclass(frozen=True)
class Benchmark:
    """Medians over the steady rounds."""

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
    """Floating-point operations of a step, in 10^9, as PyTorch counts them."""
    train_share_of_peak: float
    """Floating-point operations per second of a step, relative to ``peak_gflops``."""
    generate_images_per_second: float
    """One image at a time."""
    generate_images_per_second_best: float
    generate_best_batch: int
    peak_gflops: float
    """Speed of multiplying two large matrices in the same precision, in 10^9 operations per second."""
    peak_memory_mb: float
    """Peak of training: of GPU memory on CUDA, otherwise of the whole process."""
    import_seconds: float
    first_step_seconds: float
    """Building the networks and taking the first step, with compiling if it is on."""
    rounds: int
    rounds_left_out: int
    """Rounds in which the machine was unusually slow or fast."""

    def to_json(self) -> dict[str, Any]:
        """Return all fields by name."""
        return dataclasses.asdict(self)


def to_table(result: Benchmark) -> Table:
    """Return a measurement as a table for the terminal."""
    kind = f"{result.preset}, {result.size} px, batch {result.batch}, {result.precision}"
    kind += f"{', compiled' * result.compiled}{', with LPIPS' * result.perceptual}"
    table = Table(title=kind, title_justify="left", show_header=False)
    rows = {
        "training": f"{result.train_images_per_second:.2f} images/s",
        "a step": f"{result.train_seconds_per_step:.3f} s, {result.train_gflop_per_step:,.0f} GFLOP",
        "share of matrix multiplication": f"{result.train_share_of_peak:.0%} of {result.peak_gflops:,.0f} GFLOP/s",
        "generating one by one": f"{result.generate_images_per_second:.1f} images/s",
        f"generating {result.generate_best_batch} at once": f"{result.generate_images_per_second_best:.1f} images/s",
        "peak memory of training": f"{result.peak_memory_mb:,.0f} MB",
        "start": f"{result.import_seconds:.1f} s to import, {result.first_step_seconds:.1f} s to the first step's end",
        "rounds": f"{result.rounds}, {result.rounds_left_out} left out because the machine was not steady",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    table.caption, table.caption_justify = f"{result.hardware}; {result.versions}", "left"
    return table
