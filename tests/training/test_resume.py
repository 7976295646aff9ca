"""Resuming: exact to the bit whatever interrupted a run, and refused where it would be another run."""

import dataclasses
import shutil
import signal
import time

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_runs import ENDLESS, log_of, require_same, saved, small, start, wait_for_checkpoint, weights

from handful.compute.tensor_files import write_tensors
from handful.config.train import TrainConfig
from handful.errors import UsageError
from handful.progress import Quiet
from handful.records.layout import STATE
from handful.records.run_folder import RunFolder
from handful.records.scores import Score
from handful.training.checkpoint import FORMAT, every
from handful.training.loop import train
from notes import Notes
from parts import EVERY_PART


@pytest.fixture(scope="module")
def finished(photos, tmp_path_factory) -> TrainConfig:
    """A run of four steps that was never stopped."""
    config = small(photos, tmp_path_factory.mktemp("finished") / "run")
    train(config, Quiet())
    return config


def test_a_longer_run_is_the_same_run_resumed(photos, tmp_path, finished):
    short = small(photos, tmp_path / "run", steps=2)
    train(short, Quiet())
    assert weights(short) != weights(finished)
    notes = Notes()
    train(dataclasses.replace(short, steps=4), notes)
    require_same(saved(short), saved(finished))
    assert f"{short.folder}: resuming from step 2 of 4" in notes.lines


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{"precision": "bf16"}, {"precision": "fp16"}, {"recompute": True}, EVERY_PART | {"steps": 3}]
)
def test_a_resumed_run_ends_with_the_same_state_in_every_mode(photos, tmp_path, options):
    whole, parts = (small(photos, tmp_path / name, **{"steps": 2} | options) for name in ("whole", "parts"))
    train(whole, Quiet())
    train(dataclasses.replace(parts, steps=1), Quiet())
    train(dataclasses.replace(parts, precision="auto"), Quiet())
    require_same(saved(parts), saved(whole))
    assert weights(parts) == weights(whole)


def newest_step(config: TrainConfig) -> int:
    return int(every(config.folder / "checkpoints")[-1].name.removeprefix("step-"))


def test_a_killed_run_that_is_started_again_ends_with_the_same_state(photos, tmp_path):
    config = small(photos, tmp_path / "killed", checkpoint_every=2)
    process = start(config)
    wait_for_checkpoint(config, process)
    time.sleep(0.15)  # into the middle of a step
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    config = dataclasses.replace(config, steps=newest_step(config) + 2)
    notes = Notes()
    train(config, notes)
    assert any("resuming from step" in line for line in notes.lines)
    whole = dataclasses.replace(config, run=tmp_path / "whole")
    train(whole, Quiet())
    require_same(saved(config), saved(whole))
    assert [line["step"] for line in log_of(config)] == [*range(1, config.steps + 1)]


@pytest.mark.slow
def test_a_run_holds_its_folder_until_ctrl_c_has_it_saved_and_left(photos, tmp_path):
    config = small(photos, tmp_path / "run", steps=ENDLESS, checkpoint_every=2)
    process = start(config)
    wait_for_checkpoint(config, process)
    with pytest.raises(UsageError, match="another process is training in this folder"):
        train(config, Quiet())
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "stopping after this step; press Ctrl-C again to stop now" in errors
    assert "run the same command again to resume" in errors
    stopped = int(errors.split("stopped at step ")[1].split(" of")[0].replace(",", ""))
    assert newest_step(config) == stopped
    # At a step whose checkpoint was due, nothing is left to save, and no grid is drawn.
    assert stopped % 2 == 0 or (config.folder / "samples" / f"step-{stopped:08d}.png").exists()
    assert weights(config)


def test_what_a_dying_process_left_half_written_is_passed_over(photos, tmp_path, finished):
    config = small(photos, tmp_path / "run", steps=2)
    train(config, Quiet())
    half = config.folder / "checkpoints" / ".step-00000003.123.part"
    half.mkdir()
    (half / "state.safetensors").write_bytes(b"half")
    with (config.folder / "log.jsonl").open("a") as log:
        log.write('{"step": 3, "disc')
    train(dataclasses.replace(config, steps=4), Quiet())
    assert weights(config) == weights(finished)
    assert not list(config.folder.rglob(".*.part"))  # else each kill could cost the size of a checkpoint for good


def damage(folder, how):
    """Damage the file of a checkpoint."""
    file = folder / STATE
    data = bytearray(file.read_bytes())
    state = {name: value.clone() for name, value in load_file(file).items()}
    match how:
        case "cut":
            file.write_bytes(data[:-100])
        case "empty":
            file.write_bytes(b"")
        case "one bit":
            data[-1000] ^= 1
            file.write_bytes(data)
        case "zeros":
            file.write_bytes(data[:-4096] + bytes(4096))
        case "other shapes":
            write_tensors(file, state | {"average.to_image.weight": torch.zeros(3)}, FORMAT, NUMBERS)
        case "other step":
            write_tensors(file, state, FORMAT, NUMBERS | {"step": 7})
        case "no numbers":
            write_tensors(file, state, FORMAT, {"step": None})
        case "not finite":
            state["average.to_image.weight"][0] = torch.nan
            write_tensors(file, state, FORMAT, NUMBERS)
        case "missing":
            file.unlink()


NUMBERS = {"step": 3, "seconds": 1.0, "micro_batch": 4}


@pytest.fixture(scope="module")
def three_steps(photos, tmp_path_factory) -> TrainConfig:
    """A run of three steps with checkpoints of the last two."""
    config = small(photos, tmp_path_factory.mktemp("three") / "run", steps=3, checkpoint_every=1)
    train(config, Quiet())
    return config


@pytest.mark.parametrize(
    "how",
    [
        "one bit",
        "other step",
        "missing",
        *(
            pytest.param(how, marks=pytest.mark.slow)
            for how in ("cut", "empty", "zeros", "other shapes", "no numbers", "not finite")
        ),
    ],
)
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_it_taken(tmp_path, finished, three_steps, how):
    config = dataclasses.replace(three_steps, run=tmp_path / "run", steps=4)
    shutil.copytree(three_steps.folder, config.folder)
    damage(config.folder / "checkpoints" / "step-00000003", how)
    notes = Notes()
    train(config, notes)
    assert weights(config) == weights(finished)
    require_same(saved(config), saved(finished))
    told = [line for line in notes.lines if "kept as step-00000003.damaged" in line]
    assert len(told) == 1
    assert told[0].startswith(str(config.folder / "checkpoints" / "step-00000003" / STATE))
    assert f"{config.folder}: resuming from step 2 of 4" in notes.lines
    names = {path.name for path in (config.folder / "checkpoints").iterdir()}
    assert names == {"step-00000003", "step-00000004", "step-00000003.damaged"}


def test_if_no_checkpoint_can_be_read_the_run_ends_and_nothing_is_touched(tmp_path, three_steps):
    config = dataclasses.replace(three_steps, run=tmp_path / "run", steps=4)
    shutil.copytree(three_steps.folder, config.folder)
    for step in (2, 3):
        damage(config.folder / "checkpoints" / f"step-0000000{step}", "cut")
    before = {path: path.read_bytes() for path in config.folder.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match=r"step-00000003.*no other checkpoint can be read.* with from_ .*model$"):
        train(config, Quiet())
    del before[config.folder / "config.json"]
    assert all(path.read_bytes() == data for path, data in before.items())


def test_a_checkpoint_of_before_checksums_is_read(tmp_path, finished, three_steps):
    config = dataclasses.replace(three_steps, run=tmp_path / "run", steps=4)
    shutil.copytree(three_steps.folder, config.folder)
    file = config.folder / "checkpoints" / "step-00000003" / STATE
    save_file(load_file(file), file, metadata={name: str(value) for name, value in NUMBERS.items()})
    train(config, Quiet())
    assert weights(config) == weights(finished)
    assert not list(config.folder.rglob("*.damaged"))


def test_a_resume_refuses_other_options_with_name_old_and_new_value(photos, finished):
    before = weights(finished)
    changed = dataclasses.replace(finished, size=64, sle=False, augment=("color",), precision="bf16")
    with pytest.raises(UsageError) as error:
        train(changed, Quiet())
    for text in ("size was 32 and is now 64", "sle was True and is now False", "choose another run"):
        assert text in str(error.value)
    assert "augment was color translation and is now color" in str(error.value)
    assert "precision was fp32 and is now bf16" in str(error.value)
    assert weights(finished) == before


def test_a_run_refuses_other_images(photos, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for file in sorted(photos.iterdir())[:4]:
        (folder / file.name).write_bytes(file.read_bytes())
    config = small(folder, tmp_path / "run", steps=1)
    train(config, Quiet())
    (folder / "00.png").write_bytes((folder / "01.png").read_bytes())
    with pytest.raises(UsageError, match="was trained on other images"):
        train(dataclasses.replace(config, steps=2), Quiet())


def test_a_moved_image_folder_is_still_the_same_images(photos, tmp_path):
    config = small(photos, tmp_path / "run", steps=1)
    train(config, Quiet())
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in photos.iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    train(dataclasses.replace(config, images=moved, steps=2), Quiet())
    assert every(config.folder / "checkpoints")[-1].name == "step-00000002"


def test_a_lost_log_lets_no_worse_score_replace_the_best_model(photos, tmp_path, monkeypatch):
    """The scores of steps 1 and 2 are in best/score.json too."""
    from handful.training.scoring import RunScorer

    kids = {1: 0.5, 2: 0.1, 3: 0.4, 4: 0.05}

    def score(scorer, model, discriminator, step, since, probability=None):
        return Score(step, kids[step], 0.01, 0.0, 0.0, 1.0, 0.9, None, None, 1.0)

    monkeypatch.setattr(RunScorer, "score", score)
    config = small(photos, tmp_path / "run", steps=2, score_every=1)
    train(config, Quiet())
    best = config.folder / "best" / "model.safetensors"
    before = best.read_bytes()
    (config.folder / "log.jsonl").unlink()
    train(dataclasses.replace(config, steps=3), notes := Notes())
    assert best.read_bytes() == before
    assert f"best model: step 2, in {config.folder / 'best'}" in notes.lines
    train(dataclasses.replace(config, steps=4), Quiet())
    assert RunFolder(config.folder).best.step == 4
    assert best.read_bytes() != before


def test_lines_of_the_log_that_cannot_be_read_are_told(photos, tmp_path, finished):
    config = small(photos, tmp_path / "run", steps=3)
    train(config, Quiet())
    log = config.folder / "log.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(lines[0] + bytes(20) + b"\n" + lines[2])
    train(dataclasses.replace(config, steps=4), notes := Notes())
    assert f"{log}: lines that cannot be read: 1; kept in {config.folder / 'log.damaged'}" in notes.lines
    assert [line["step"] for line in log_of(config)] == [1, 3, 4]
    assert weights(config) == weights(finished)
