"""The benchmark: what it counts, and what it leaves out."""

import itertools
import json

import pytest
import torch

import handful
from handful.cli import main as cli
from handful.config.presets import tiny
from handful.errors import UsageError
from handful.objective.losses import absolute_difference
from handful.progress import Quiet
from handful.training import benchmark

SMALL = {"preset": "tiny", "size": 32, "batch": 2, "device": "cpu", "rounds": 2, "progress": Quiet()}


@pytest.fixture(autouse=True)
def little_is_measured(monkeypatch) -> None:
    """Short times, and a small matrix: how sure the figures are is not under test."""
    monkeypatch.setattr(benchmark, "MIN_PIECE_SECONDS", 0.01)
    monkeypatch.setattr(benchmark, "BATCHES", (1, 2, 4))
    monkeypatch.setitem(benchmark.MATRIX_SIDE, "cpu", 1024)


@pytest.mark.slow
def test_the_command_prints_the_keys_that_programs_read(capsys):
    options = ["--preset", "tiny", "--size", "32", "--batch", "2", "--device", "cpu", "--rounds", "2", "--json"]
    assert cli.main(["bench", *options]) == 0
    result = json.loads(capsys.readouterr().out)
    for key in ("train_images_per_second", "train_seconds_per_step", "train_share_of_peak", "peak_memory_mb"):
        assert result[key] > 0, key
    for key in ("generate_images_per_second", "peak_gflops", "import_seconds", "first_step_seconds"):
        assert result[key] > 0, key
    assert result["train_images_per_second"] == pytest.approx(2 / result["train_seconds_per_step"], rel=1e-3)
    share = result["train_gflop_per_step"] / result["train_seconds_per_step"] / result["peak_gflops"]
    assert result["train_share_of_peak"] == pytest.approx(share, rel=0.01, abs=1e-4)
    assert result["train_share_of_peak"] < 1


@pytest.mark.slow
def test_the_table_says_what_the_numbers_are(capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "import_time", lambda: 1.0)
    options = ["--preset", "tiny", "--size", "32", "--batch", "2", "--device", "cpu", "--rounds", "1", "--perceptual"]
    assert cli.main(["bench", *options]) == 0
    text = capsys.readouterr().out
    for word in ("with LPIPS", "images/s", "share of matrix multiplication", "peak memory", "GFLOP"):
        assert word in text


@pytest.mark.slow
def test_rounds_in_which_the_machine_was_unsteady_are_left_out(monkeypatch):
    """Every piece takes one second, but in one round the machine is half as fast."""
    usual, calls = benchmark.mean_seconds, itertools.count()

    def pretended(function, times):
        usual(function, 1)
        return 2.0 if next(calls) // 5 == 1 else 1.0

    monkeypatch.setattr(benchmark, "mean_seconds", pretended)
    monkeypatch.setattr(benchmark, "import_time", lambda: 1.0)
    result = handful.bench(**SMALL | {"rounds": 4})
    assert (result.rounds, result.rounds_left_out) == (4, 1)
    assert result.train_seconds_per_step == 1.0
    assert result.peak_gflops == pytest.approx(2 * 1024**3 / 1e9, abs=0.05)


@pytest.mark.slow
def test_the_operations_of_a_step_are_counted():
    images = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)
    count = lambda **options: benchmark.count_flop(  # noqa: E731
        tiny("-", size=32, channels=3, device="cpu", precision="fp32", **options),
        torch.device("cpu"),
        images,
        absolute_difference,
    )
    four, eight = count(batch=4), count(batch=8)
    per_image = (eight - four) / 4
    assert four - 4 * per_image < 0.01 * four  # what does not grow with the batch: the power iterations
    assert count(batch=8, recompute=True) == eight
    narrow, wide = (count(batch=4, width=width, projected_weight=0.0) for width in (8, 16))
    assert wide > 3 * narrow
    assert four > narrow


def test_senseless_rounds_are_refused():
    with pytest.raises(UsageError, match="rounds 0: must be at least 1"):
        handful.bench(**SMALL | {"rounds": 0})
