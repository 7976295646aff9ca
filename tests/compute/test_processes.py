"""Two processes compute what one computes, and end together.

Tests judge the files written, not exit codes: gloo can abort a process at its very end.
"""

import dataclasses
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import two_processes
from handful.compute import shared_batch
from handful.compute.processes import Processes
from handful.config.presets import PUBLISHED, tiny
from handful.config.train import TrainConfig
from handful.data.dataset import load_folder
from handful.errors import UsageError
from handful.networks.calibrate import calibrate
from handful.networks.pretrained import lpips
from handful.objective.feature_distance import FeatureDistance
from handful.objective.losses import absolute_difference
from handful.progress import Quiet
from handful.training.checkpoint import every, restore
from handful.training.loop import train
from handful.training.state import State
from handful.training.step import Step
from parts import EVERY_PART

ROUNDING = 1e-5
"""Largest median difference of tensors from those of one process after a step from the same state, relative to their
norm: ten times what was seen in float32."""
KINKS = 2e-2
"""Largest difference of any kind of tensor. A LeakyReLU that changes sign alters what follows by up to 7e-3
(dev/log-2026-11.md, 2026-11-24), and so does changing one process's weights by 1e-7 of themselves. Adam moves a weight
whose gradient is only rounding by a whole step, either way."""
RECIPE = EVERY_PART | {"augment_target": -0.99}


def small(photos: Path, run: Path, **options) -> TrainConfig:
    short = {
        "size": 32,
        "channels": 3,
        "width": 8,
        "steps": 3,
        "batch": 4,
        "checkpoint_every": 1,
        "keep": 9,
        "sample_every": 100,
    }
    short |= {"device": "cpu", "precision": "fp32", "compile": "off", "report": False, "projected_weight": 0.0}
    return tiny(photos, run=run, **short | options)


def free_ports(count: int) -> list[str]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [str(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def pair(command: list[str]) -> list[subprocess.CompletedProcess]:
    """Run a command in two processes of one group, as torchrun does."""
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_ports(1)[0], "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            env=os.environ | group | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=120) for process in started]
    finally:
        for process in started:
            process.kill()
    return [
        subprocess.CompletedProcess(process.args, process.returncode, *output)
        for process, output in zip(started, outputs, strict=True)
    ]


@pytest.fixture(scope="session")
def scenarios(photos, tmp_path_factory) -> dict[str, TrainConfig]:
    """The runs of the two processes, by name."""
    folder = tmp_path_factory.mktemp("two")
    return {
        "adaptive": small(photos, folder / "adaptive", seed=2),
        "plain": small(photos, folder / "plain", **PUBLISHED | {"perceptual": "none"}),
        "recipe": small(photos, folder / "recipe", **RECIPE),
        "projected": small(photos, folder / "projected", projected_weight=0.5, steps=2, score_every=0),
        "perceptual": small(photos, folder / "perceptual", steps=1, perceptual="vgg16", score_every=0),
        "features": small(photos, folder / "features", steps=1, perceptual="efficientnet", score_every=0),
        "micro-batches": small(photos, folder / "micro-batches", micro_batch=2, augment_schedule="constant", steps=2),
        "half": small(photos, folder / "half", precision="bf16", recompute=True, steps=2),
        "resumed": small(photos, folder / "resumed"),
        "minutes": small(photos, folder / "minutes", minutes=1e-6),
        "spoiled": small(photos, folder / "spoiled"),
    }


@pytest.fixture(scope="session")
def two(scenarios) -> Path:
    """The folder that two processes wrote their results to."""
    folder = scenarios["plain"].folder.parent
    train(dataclasses.replace(scenarios["resumed"], steps=2), Quiet())
    refused = ["train", str(scenarios["plain"].images), "--run", str(folder / "refused")]
    refused += ["--preset", "tiny", "--size", "32", "--device", "cpu", "--batch", "5"]
    options = {name: config.to_json() for name, config in scenarios.items()} | {"refused": refused, "normalised": None}
    (folder / "scenarios.json").write_text(json.dumps(options))
    done = pair([Path(two_processes.__file__), folder, ",".join(free_ports(len(options)))])
    assert (folder / "normalised.1.safetensors").exists(), [each.stderr[-3000:] for each in done]
    return folder


def ended(two: Path, name: str) -> list[dict[str, torch.Tensor]]:
    return [load_file(two / f"{name}.{rank}.safetensors") for rank in range(2)]


def saved(run: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / f"step-{step:08d}" / "state.safetensors")


def step_of_one(config: TrainConfig, done: int) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Take a step in this process from where two were after ``done``: its losses, and the state after it."""
    backbone = two_processes.backbone() if config.projected_weight else None
    state = State.fresh(config, torch.device("cpu"), backbone)
    if done:
        restore(state, config.folder / "checkpoints" / f"step-{done:08d}")
    images = load_folder(config.images, config.geometry).images
    distance = {"vgg16": two_processes.lpips, "efficientnet": lambda: FeatureDistance(two_processes.backbone())}.get(
        config.perceptual, lambda: absolute_difference
    )()
    losses = Step(config, state, images, distance)()
    calibrate(state.average)
    return losses, state.tensors()


def require_near(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor], rounding: float, kinks: float) -> None:
    """See that two states differ by rounding, relative to their norm, by kind of tensor."""
    assert one.keys() == two.keys()
    squares: dict[str, torch.Tensor] = {}
    each = []
    for name, value in one.items():
        exact, other = value.detach().double(), two[name].double()
        pair = torch.stack([(exact - other).square().sum(), exact.square().sum()])
        each.append(relative(pair))
        kind = ".".join(name.split(".")[: 2 if "optimizer" in name else 1])
        squares[kind] = squares.get(kind, 0) + pair
    apart = {kind: relative(pair) for kind, pair in squares.items()}
    assert statistics.median(each) < rounding, apart
    assert max(apart.values()) < kinks, apart


def relative(squares: torch.Tensor) -> float:
    """Give the norm of a difference over the norm of what it is a difference from."""
    return float((squares[0] / squares[1].clamp(min=1e-30)).sqrt())


@pytest.mark.processes
@pytest.mark.parametrize(
    "name", ["adaptive", "plain", "recipe", "projected", "perceptual", "features", "micro-batches"]
)
def test_two_processes_compute_what_one_computes(name, scenarios, two, monkeypatch):
    monkeypatch.setattr(lpips, "BLOCKS", two_processes.THIN)
    config = scenarios[name]
    log = [json.loads(line) for line in (config.folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == list(range(1, config.steps + 1))
    for done, line in enumerate(log):
        values, state = step_of_one(config, done)
        require_near(state, saved(config.folder, done + 1), ROUNDING, KINKS)
        for key, value in values.items():
            assert line[key] == pytest.approx(value.item(), abs=1e-4), key


@pytest.mark.processes
@pytest.mark.parametrize(
    "name", ["adaptive", "plain", "recipe", "projected", "perceptual", "features", "micro-batches", "half"]
)
def test_all_processes_hold_the_same_bits(name, scenarios, two):
    main, other = ended(two, name)
    assert main["step"] == other["step"] == scenarios[name].steps
    assert any(key.startswith("discriminator_optimizer.exp_avg_sq") for key in main)
    for key, value in main.items():
        assert torch.equal(value, other[key]), key
    for key, value in saved(scenarios[name].folder, scenarios[name].steps).items():
        assert torch.equal(value, main[key]), key


@pytest.mark.processes
def test_half_precision_and_recomputing_stay_near_one_process(scenarios, two):
    _, state = step_of_one(scenarios["half"], 0)
    require_near(state, saved(scenarios["half"].folder, 1), rounding=0.05, kinks=0.5)


@pytest.mark.processes
def test_two_processes_go_on_from_where_one_stopped(scenarios, two):
    _, state = step_of_one(scenarios["resumed"], 2)
    require_near(state, saved(scenarios["resumed"].folder, 3), ROUNDING, KINKS)


@pytest.mark.processes
def test_one_process_goes_on_from_where_two_stopped(scenarios, two, tmp_path):
    shutil.copytree(scenarios["plain"].folder, tmp_path / "run")
    config = dataclasses.replace(scenarios["plain"], run=tmp_path / "run", steps=4)
    train(config, Quiet())
    _, state = step_of_one(config, 3)
    for key, value in saved(config.folder, 4).items():
        assert torch.equal(value, state[key]), key


@pytest.mark.processes
def test_the_main_process_decides_for_all_when_to_end(two):
    assert [int(each["step"]) for each in ended(two, "minutes")] == [1, 1]


@pytest.mark.processes
def test_what_goes_wrong_in_one_process_ends_all_with_the_same_error(two):
    errors = [(two / f"spoiled.{rank}.error").read_text() for rank in range(2)]
    assert errors[0] == errors[1]
    assert "step 1: the discriminator loss is nan" in errors[0]


@pytest.mark.processes
def test_gradients_go_through_the_shared_statistics(two):
    whole = two_processes.normalised(0, 1)
    main, other = ended(two, "normalised")
    for name in ("y", "x"):
        torch.testing.assert_close(torch.cat([main[name], other[name]]), whole[name], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(main["weight"], whole["weight"], rtol=1e-4, atol=1e-4)


def test_shares_make_up_what_one_process_draws():
    def draws() -> list[torch.Tensor]:
        random = torch.Generator().manual_seed(5)
        count = 6 // shared_batch.group.count
        return [shared_batch.uniform((3, count, 2), random, dim=1), shared_batch.normal((count, 4), random)]

    whole, parts = draws(), []
    for rank in range(3):
        with shared_batch.shared_among(Processes(rank, 3)):
            parts.append(draws())
    assert torch.equal(torch.cat([part[0] for part in parts], dim=1), whole[0])
    assert torch.equal(torch.cat([part[1] for part in parts]), whole[1])


@pytest.mark.parametrize(
    ("batch", "device", "message"),
    [
        (6, "cpu", "--batch 6: cannot be shared out equally among 4 processes; give a multiple of 4"),
        (2, "cpu", "--batch 2: cannot be shared out equally among 4 processes; give a multiple of 4"),
        (8, "mps", "--device mps: several processes compute on cpu, or on cuda"),
        (8, "cuda:1", "--device cuda:1: several processes compute on cpu, or on cuda"),
        (8, "cuda", "--nproc-per-node 4: each process needs a GPU of its own, and there are 3"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(batch, device, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    with pytest.raises(UsageError) as error:
        Processes(0, 4).check(batch, torch.device(device))
    assert message in error.value.on_command_line
    Processes(0, 1).check(batch, torch.device(device))


@pytest.mark.processes
def test_a_wrong_batch_is_refused_once_and_ends_all(two):
    main, other = (json.loads((two / f"refused.{rank}.json").read_text()) for rank in range(2))
    said = "handful: --batch 5: cannot be shared out equally among 2 processes; give a multiple of 2\n"
    assert main == [2, "", said]
    assert other == [2, "", ""]
    assert not (two / "refused").exists()


@pytest.mark.processes
def test_torchrun_passes_a_signal_on_and_the_run_is_saved(photos, tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--"]
    command += ["handful", "train", photos]
    command += ["--preset", "tiny", "--size", "32", "--width", "8", "--batch", "4", "--device", "cpu", "--run", run]
    command += ["--steps", "100000", "--checkpoint-every", "2", "--log-every", "1", "--precision", "fp32"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([str(part) for part in command], **pipes)
    try:
        until = time.monotonic() + 60
        while not (run / "checkpoints" / "step-00000002").exists():
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        answer, notes = process.communicate(timeout=60)
    finally:
        process.terminate()  # not killed: its processes would go on
        process.wait(60)
    assert notes.count("2 processes, each with 2 of the 4 images of a batch") == 1
    assert answer.count("model in") == 1
    stopped = int(notes.split("stopped at step ")[1].split(" of")[0].replace(",", ""))
    assert every(run / "checkpoints")[-1].name == f"step-{stopped:08d}"
    assert [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()][-1] == stopped
