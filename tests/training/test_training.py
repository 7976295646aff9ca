"""Training: exact to the bit whatever interrupts it, and clear about what it refuses."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from handful.config.presets import tiny
from handful.config.train import TrainConfig
from handful.data.order import batch_indices
from handful.errors import TrainingError, UsageError, WeightsError
from handful.networks.pretrained.lpips import Perceptual
from handful.objective import losses
from handful.progress import Quiet
from handful.training import step as step_module
from handful.training.checkpoint import every
from handful.training.loop import train
from handful.training.state import State
from notes import Notes
from parts import EVERY_PART

MODEL = Path("model/model.safetensors")


def small(photos: Path, run: Path, **options) -> TrainConfig:
    short = {"size": 32, "width": 8, "steps": 6, "batch": 4, "log_every": 2, "sample_every": 100, "device": "cpu"}
    short |= {"report": False, "precision": "fp32"}
    return tiny(photos, run=run, **short | options)


def weights(config: TrainConfig) -> bytes:
    return (config.folder / MODEL).read_bytes()


@pytest.fixture(scope="session")
def finished(photos, tmp_path_factory) -> TrainConfig:
    """A run of six steps that was never stopped."""
    config = small(photos, tmp_path_factory.mktemp("finished") / "run", checkpoint_every=2, keep=2)
    run = train(config, Quiet()).run
    assert run is not None
    assert run.folder == config.folder
    return config


def test_a_run_folder_holds_what_the_readme_says(finished):
    folder = finished.folder
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) == [
        "checkpoints",
        "config.json",
        "log.jsonl",
        "model",
        "samples",
    ]
    settings = json.loads((folder / "config.json").read_text())
    assert settings["options"]["device"] == "cpu"
    assert settings["images"] == 12
    assert len(settings["fingerprint"]) == 64
    assert [path.name for path in (folder / "samples").iterdir()] == ["step-00000006.png"]
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert lines[0].keys() >= {"seconds", "images_per_second", "discriminator", "generator", "reconstruction"}
    assert lines[0].keys() >= {"accuracy_real", "accuracy_fake", "peak_memory_mb", "seconds_left"}
    assert all(line["reconstruction"] > 0 for line in lines)


def test_only_the_newest_checkpoints_are_kept(finished):
    assert [path.name for path in every(finished.folder / "checkpoints")] == ["step-00000004", "step-00000006"]


def test_the_same_options_give_the_same_weights_and_another_seed_gives_others(photos, tmp_path, finished):
    again, other = small(photos, tmp_path / "again"), small(photos, tmp_path / "other", seed=1)
    train(again, Quiet())
    train(other, Quiet())
    assert weights(again) == weights(finished)
    assert weights(other) != weights(finished)


def test_logs_samples_and_checkpoints_do_not_change_the_weights(photos, tmp_path, finished):
    config = small(photos, tmp_path / "run", log_every=1, sample_every=1, checkpoint_every=1, keep=1)
    train(config, Quiet())
    assert weights(config) == weights(finished)


def test_a_longer_run_is_the_same_run_going_on(photos, tmp_path, finished):
    short = small(photos, tmp_path / "run", steps=3)
    train(short, Quiet())
    assert weights(short) != weights(finished)
    notes = Notes()
    train(dataclasses.replace(short, steps=6), notes)
    assert weights(short) == weights(finished)
    assert any("going on from step 3 of 6" in line for line in notes.lines)


@pytest.mark.parametrize(
    "options", [{"precision": "bf16"}, {"precision": "fp16"}, {"precision": "fp32", "recompute": True}]
)
def test_a_longer_run_is_the_same_run_going_on_in_every_mode(photos, tmp_path, options):
    whole, parts = (small(photos, tmp_path / name, steps=3, **options) for name in ("whole", "parts"))
    train(whole, Quiet())
    train(dataclasses.replace(parts, steps=1), Quiet())
    train(dataclasses.replace(parts, precision="auto"), Quiet())
    assert weights(parts) == weights(whole)


def test_a_resume_refuses_another_precision(photos, tmp_path):
    config = small(photos, tmp_path / "run", steps=1, precision="bf16")
    train(config, Quiet())
    with pytest.raises(UsageError, match="precision was bf16 and is now fp32"):
        train(dataclasses.replace(config, precision="fp32", steps=2), Quiet())


def test_a_state_goes_through_a_checkpoint_bit_for_bit(photos, finished):
    config = dataclasses.replace(finished, precision="fp16", channels=3)  # the one with most to keep
    state, fresh = (State.fresh(config, torch.device("cpu")) for _ in range(2))
    for player in ("generator", "discriminator"):
        optimizer = getattr(state, f"{player}_optimizer")
        optimizer.accumulate_grads(sum(parameter.square().sum() for parameter in optimizer.network.parameters()))
        optimizer.step()
    assert not all(torch.equal(value, fresh.tensors()[name]) for name, value in state.tensors().items())
    fresh.load({name: value.clone() for name, value in state.tensors().items()})
    for player in ("generator", "average", "discriminator"):
        for name, value in getattr(state, player).state_dict().items():
            assert torch.equal(value, getattr(fresh, player).state_dict()[name]), name
    assert state.generator_optimizer.scaler.get_scale() == fresh.generator_optimizer.scaler.get_scale()


def start(config: TrainConfig) -> subprocess.Popen:
    """Train in a process of its own, as a user would."""
    options = ["--preset", "tiny", "--size", "32", "--width", "8", "--batch", "4", "--device", "cpu"]
    options += ["--precision", "fp32", "--no-report", "--sample-every", "100"]
    options += ["--run", config.folder, "--steps", config.steps, "--checkpoint-every", config.checkpoint_every]
    command = [sys.executable, "-m", "handful", "train", config.images, *options, "--log-every", "5"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([str(part) for part in command], env=environment, stderr=subprocess.PIPE, text=True)


def wait_for(config: TrainConfig, checkpoint: str, process: subprocess.Popen) -> None:
    for _ in range(1200):
        if (config.folder / "checkpoints" / checkpoint).exists():
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    raise TimeoutError(checkpoint)


def test_a_killed_run_that_is_started_again_ends_with_the_same_weights(photos, tmp_path):
    whole = small(photos, tmp_path / "whole", steps=18)
    train(whole, Quiet())
    config = small(photos, tmp_path / "killed", steps=18, checkpoint_every=6)
    for checkpoint, delay in (("step-00000006", 0.15), ("step-00000012", 0.0)):
        process = start(config)
        wait_for(config, checkpoint, process)
        time.sleep(delay)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    notes = Notes()
    train(config, notes)
    assert any("going on from step" in line for line in notes.lines)
    assert weights(config) == weights(whole)
    steps = [json.loads(line)["step"] for line in (config.folder / "log.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps))
    assert steps[-1] == 18


def test_a_resume_with_every_part_ends_with_the_same_weights(photos, tmp_path):
    whole = small(photos, tmp_path / "whole", steps=4, **EVERY_PART)
    train(whole, Quiet())
    parted = small(photos, tmp_path / "parted", steps=2, **EVERY_PART)
    train(parted, Quiet())
    train(dataclasses.replace(parted, steps=4), Quiet())
    assert weights(parted) == weights(whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_holds_its_folder_until_a_signal_has_it_saved_and_left(photos, tmp_path, number):
    config = small(photos, tmp_path / "run", steps=100_000, checkpoint_every=3)
    process = start(config)
    wait_for(config, "step-00000003", process)
    with pytest.raises(UsageError, match="another process is training in this folder"):
        train(dataclasses.replace(config, log_every=5), Quiet())
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "the same command goes on from there" in errors
    stopped = int(errors.split("stopped at step ")[1].split(" of")[0].replace(",", ""))
    assert every(config.folder / "checkpoints")[-1].name == f"step-{stopped:08d}"
    # Where a checkpoint was due at that very step there is nothing more to be saved, and no grid.
    assert stopped % 3 == 0 or (config.folder / "samples" / f"step-{stopped:08d}.png").exists()
    assert (config.folder / MODEL).exists()


def test_what_a_dying_process_left_half_written_is_passed_over(photos, tmp_path, finished):
    config = small(photos, tmp_path / "run", steps=3)
    train(config, Quiet())
    half = config.folder / "checkpoints" / ".step-00000005.123.part"
    half.mkdir()
    (half / "state.safetensors").write_bytes(b"half")
    with (config.folder / "log.jsonl").open("a") as log:
        log.write('{"step": 5, "disc')
    train(dataclasses.replace(config, steps=6), Quiet())
    assert weights(config) == weights(finished)
    assert not list(config.folder.rglob(".*.part"))  # else each kill could cost the size of a checkpoint for good


def test_a_damaged_checkpoint_is_named_with_the_remedy(photos, tmp_path):
    config = small(photos, tmp_path / "run", steps=2)
    train(config, Quiet())
    file = every(config.folder / "checkpoints")[-1] / "state.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UsageError, match=r"step-00000002: cannot be read .* delete this folder to go on"):
        train(dataclasses.replace(config, steps=4), Quiet())


def test_a_resume_refuses_other_options_with_name_old_and_new_value(photos, finished):
    before = weights(finished)
    changed = dataclasses.replace(finished, size=64, sle=False, augment=("color",))
    with pytest.raises(UsageError) as error:
        train(changed, Quiet())
    for text in ("size was 32 and is now 64", "sle was True and is now False", "choose another run"):
        assert text in str(error.value)
    assert "augment was color translation and is now color" in str(error.value)
    assert weights(finished) == before


def test_a_run_refuses_other_images(photos, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for file in sorted(photos.iterdir())[:4]:
        (folder / file.name).write_bytes(file.read_bytes())
    config = small(folder, tmp_path / "run", steps=2)
    train(config, Quiet())
    (folder / "00.png").write_bytes((folder / "01.png").read_bytes())
    with pytest.raises(UsageError, match="was trained on other images"):
        train(dataclasses.replace(config, steps=4), Quiet())


def test_a_moved_image_folder_is_still_the_same_images(photos, tmp_path):
    config = small(photos, tmp_path / "run", steps=2)
    train(config, Quiet())
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in photos.iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    train(dataclasses.replace(config, images=moved, steps=3), Quiet())
    assert every(config.folder / "checkpoints")[-1].name == "step-00000003"


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(photos, tmp_path, monkeypatch):
    config = small(photos, tmp_path / "run", steps=50, checkpoint_every=4, log_every=10)
    usual, calls = losses.discriminator_loss, []

    def spoiled(*arguments):
        calls.append(None)
        return usual(*arguments) * (float("nan") if len(calls) == 6 else 1)

    monkeypatch.setattr(losses, "discriminator_loss", spoiled)
    with pytest.raises(TrainingError, match=r"step 6: the discriminator loss is nan; .*step-00000004") as error:
        train(config, Quiet())
    assert "learning_rate" in str(error.value)
    assert [path.name for path in every(config.folder / "checkpoints")] == ["step-00000004"]
    assert len(calls) == 8  # found when the next checkpoint was due, not at the next report


def test_weights_that_are_not_finite_never_reach_a_checkpoint(photos, tmp_path, monkeypatch):
    config = small(photos, tmp_path / "run", steps=4, checkpoint_every=2)
    monkeypatch.setattr(step_module, "blend", lambda average, *rest: average[-1].fill_(float("inf")))
    with pytest.raises(TrainingError, match=r"step 2: average.to_image.weight is no longer finite"):
        train(config, Quiet())
    assert not (config.folder / MODEL).exists()


def test_a_run_without_reconstruction_goes_on_with_its_own_options(photos, tmp_path):
    config = small(photos, tmp_path / "run", steps=2, reconstruction=False, perceptual="vgg16")
    notes = Notes()
    train(config, notes)
    assert "--perceptual vgg16 has no effect with --no-reconstruction" in notes.lines
    train(dataclasses.replace(config, steps=3), Quiet())
    assert every(config.folder / "checkpoints")[-1].name == "step-00000003"


@pytest.mark.parametrize(
    "options",
    [
        {"sle": False},
        {"reconstruction": False},
        {"augment": ()},
        {"mirror": False},
        {"augment_schedule": "constant", "augment_probability": 1.0},
        {"augment": ("translation",), "augment_probability": 0.5},
        {"smooth_discriminator": False, "sharpen": 0.0},
        {"spectrum_penalty": 0.0, "lattice_penalty": 0.0},
    ],
)
def test_each_switch_trains(photos, tmp_path, options):
    config = small(photos, tmp_path / "run", steps=2, **options)
    train(config, Quiet())
    line = json.loads((config.folder / "log.jsonl").read_text().splitlines()[0])
    assert (line["reconstruction"] > 0) is options.get("reconstruction", True)


def test_a_finished_run_says_so_and_gives_its_model(finished):
    notes = Notes()
    model = train(finished, notes)
    assert any("is trained for 6 steps; a higher --steps goes on" in line for line in notes.lines)
    assert model.sample([0]).shape == (1, 3, 32, 32)


def test_vgg16_without_its_files_is_an_error_and_auto_says_what_it_took(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    monkeypatch.delenv("HANDFUL_WEIGHTS", raising=False)
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: (_ for _ in ()).throw(OSError("no network")))
    with pytest.raises(WeightsError, match="for the perceptual loss"):
        train(small(photos, tmp_path / "run", perceptual="vgg16"), Quiet())
    assert not (tmp_path / "run").exists()
    notes = Notes()
    train(small(photos, tmp_path / "run", perceptual="auto", steps=2), notes)
    assert any(line.startswith("--perceptual auto: taking none") for line in notes.lines)
    options = json.loads((tmp_path / "run" / "config.json").read_text())["options"]
    assert (options["perceptual"], options["reconstruction_weight"]) == ("none", 2)
    # A resume with auto stays with what was taken, whatever is there by then.
    train(small(photos, tmp_path / "run", perceptual="auto", steps=3), Quiet())


def test_reconstructions_are_judged_by_vgg16_where_its_files_are(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(Perceptual, "pretrained", lambda *_, **__: Perceptual(seed=1))
    runs = [small(photos, tmp_path / name, steps=2, perceptual=name) for name in ("auto", "none")]
    for config in runs:
        train(config, Quiet())
    options = json.loads((tmp_path / "auto" / "config.json").read_text())["options"]
    assert (options["perceptual"], options["reconstruction_weight"]) == ("vgg16", 8)
    losses = [json.loads((c.folder / "log.jsonl").read_text().splitlines()[0])["reconstruction"] for c in runs]
    assert losses[0] > 0
    assert losses[0] != pytest.approx(losses[1])
    assert weights(runs[0]) != weights(runs[1])


def test_every_image_is_seen_once_before_any_is_seen_again():
    seen = [index for step in range(9) for index in batch_indices(0, step, 4, [range(12)])]
    for epoch in range(3):
        assert sorted(seen[12 * epoch : 12 * epoch + 12]) == list(range(12))
    assert seen[:12] != seen[12:24]
    assert batch_indices(1, 0, 4, [range(12)]) != batch_indices(0, 0, 4, [range(12)])


def test_training_goes_on_with_the_good_files_and_names_the_others(photos, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for file in sorted(photos.iterdir())[:3]:
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "cut [1].png").write_bytes((folder / "00.png").read_bytes()[:60])
    (folder / "text.jpg").write_text("not an image")
    (folder / "gone.png").symlink_to(tmp_path / "nowhere")
    (folder / "IMG_1.HEIC").write_bytes(b"?")
    Image.new("RGB", (3, 500)).save(folder / "strip.png")
    notes = Notes()
    train(small(folder, tmp_path / "run", steps=2), notes)
    text = "\n".join(notes.lines)
    assert "4 images from" in text
    for name in ("cut [1].png", "text.jpg", "gone.png"):
        assert f"skipped, since it cannot be read: {name}: " in text
    assert "enlarged, since it is smaller than 32 x 32 px: strip.png" in text
    assert "not looked at, by ending: 1 .heic" in text


def test_training_works_outside_the_main_thread(photos, tmp_path):
    config = small(photos, tmp_path / "run", steps=2)
    thread = threading.Thread(target=train, args=(config, Quiet()))
    thread.start()
    thread.join()
    assert (config.folder / MODEL).exists()
