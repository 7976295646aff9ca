"""Image sets larger than memory train from a file, bit for bit as from memory, and only if the file is complete."""

import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image

from handful.cli import main as cli
from handful.config.geometry import Geometry
from handful.config.presets import tiny
from handful.config.train import TrainConfig
from handful.data import cache
from handful.errors import UsageError
from handful.progress import Quiet, shown_on
from handful.training import scoring
from handful.training.loop import train
from handful.training.run import open_run
from notes import Notes

DECODING = "decoding them into"


@pytest.fixture(scope="session")
def many(tmp_path_factory) -> Path:
    """Enough pictures for some to be held out, and one that cannot be read, so that there is a gap to close."""
    folder = tmp_path_factory.mktemp("many")
    random = np.random.default_rng(0)
    for index in range(41):
        Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / f"{index:02d}.png")
    (folder / "07a.png").write_bytes(b"no picture")
    return folder


def small(images: Path, run: Path, **options) -> TrainConfig:
    short = {"size": 32, "width": 8, "steps": 4, "batch": 4, "device": "cpu", "report": False, "score_every": 0}
    short |= {"image_memory": 0.0, "compile": "off", "precision": "fp32", "channels": 3}
    return tiny(images, run=run, **short | options)


def notes_of(config: TrainConfig) -> str:
    """Open a run and return its notes."""
    watch = Notes()
    with shown_on(watch), open_run(config):
        pass
    return "\n".join(watch.lines)


@pytest.mark.slow
def test_training_from_the_file_and_resuming_ends_with_the_weights_of_training_from_memory(many, tmp_path):
    scores = {"score_every": 4, "hold_back": 0.1, "score_features": "random"}
    train(small(many, tmp_path / "memory", image_memory=1.0, **scores), Quiet())
    train(small(many, tmp_path / "file", **scores | {"steps": 2}), Quiet())
    resumed = Notes()
    train(small(many, tmp_path / "file", **scores), resumed)
    assert not any(DECODING in line for line in resumed.lines)
    assert any("holding out 4 images" in line for line in resumed.lines)
    weights, lines = [], []
    for name in ("memory", "file"):
        weights.append((tmp_path / name / "model" / "model.safetensors").read_bytes())
        line = json.loads((tmp_path / name / "log.jsonl").read_text().splitlines()[-1])
        lines.append({key: line[key] for key in ("kid", "copies", "novelty", "accuracy_seen", "accuracy_unseen")})
    assert weights[0] == weights[1]
    assert lines[0] == lines[1]
    assert not (tmp_path / "memory" / "cache").exists()


def test_a_set_that_fits_stays_in_memory_and_one_that_does_not_is_decoded_once(many, tmp_path):
    run = tmp_path / "run"
    assert DECODING not in notes_of(small(many, run, image_memory=None))
    assert "skipped: 07a.png" in notes_of(small(many, run))
    assert DECODING not in notes_of(small(many, run))
    assert (run / "cache" / "images.uint8").stat().st_size == 41 * 3 * 32 * 32


def test_a_limit_of_the_process_sends_the_images_to_the_file(many, tmp_path, monkeypatch):
    monkeypatch.setattr(Geometry, "bytes_per_image", 1_000_000_000)
    monkeypatch.setattr("handful.compute.memory.free_memory", lambda: 50_000_000_000)
    assert not cache.fits_in_memory(small(many, tmp_path, image_memory=None))
    assert cache.fits_in_memory(small(many, tmp_path, image_memory=43.0))


@pytest.mark.parametrize("change", ["cut", "flip", "about", "new", "touched", "fit"])
def test_a_file_that_is_damaged_or_of_other_images_is_made_anew(many, tmp_path, change):
    images, run = shutil.copytree(many, tmp_path / "images"), tmp_path / "run"
    config = small(images, run)
    (run / "cache").mkdir(parents=True)
    first = cache.load(config)
    before, pixels = first.fingerprint, first.images.clone()
    file = run / "cache" / "images.uint8"
    if change == "cut":
        os.truncate(file, 1_000)
    elif change == "flip":
        content = bytearray(file.read_bytes())
        content[777] ^= 1
        file.write_bytes(bytes(content))
    elif change == "about":
        (run / "cache" / "about.json").write_text("{")
    elif change == "new":
        shutil.copy(images / "00.png", images / "99.png")
    elif change == "touched":
        os.utime(images / "00.png", (1, 1))
    else:
        config = small(images, run, fit="squash")
    watch = Notes()
    with shown_on(watch):
        again = cache.load(config)
    assert any(DECODING in line for line in watch.lines)
    assert len(again.images) == 41 + (change == "new")
    if change != "new":
        assert again.fingerprint == before
        assert torch.equal(again.images, pixels)


def test_a_decoding_that_is_interrupted_leaves_no_file_and_the_next_starts_anew(many, tmp_path):
    class Interrupted(Quiet):
        def advance(self, task, done, total):
            if task == "reading images" and done == 20:
                raise KeyboardInterrupt

    with shown_on(Interrupted()), pytest.raises(KeyboardInterrupt):
        cache.load(small(many, tmp_path))
    assert list((tmp_path / "cache").iterdir()) == []
    assert len(cache.load(small(many, tmp_path)).images) == 41


def test_a_file_that_a_dying_process_left_is_not_taken(many, tmp_path):
    cache.load(small(many, tmp_path))
    (tmp_path / "cache" / "about.json").unlink()  # written last
    watch = Notes()
    with shown_on(watch):
        cache.load(small(many, tmp_path))
    assert any(DECODING in line for line in watch.lines)


def test_a_disk_without_the_room_is_refused_before_anything_is_decoded(many, tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(cache.RESERVED_BYTES))
    monkeypatch.setattr(cache, "load_folder", None)
    with pytest.raises(UsageError, match=r"which take 0\.00 GB \(1\.00 GB is free, .*image_memory"):
        cache.load(small(many, tmp_path))
    assert not (tmp_path / "cache" / "images.uint8").exists()


def test_a_disk_that_is_full_after_all_is_refused_too(many, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(UsageError, match=r"\(no space left on device\); free some"):
        cache.load(small(many, tmp_path))
    assert list((tmp_path / "cache").iterdir()) == []


def test_images_that_do_not_do_are_refused_as_in_memory(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "one.png")
    with pytest.raises(UsageError, match="holds 1 usable picture; training needs at least 2"):
        notes_of(small(tmp_path / "images", tmp_path / "run"))


def test_scores_of_a_large_set_look_at_an_even_share_and_say_so(many, tmp_path, monkeypatch):
    monkeypatch.setattr(scoring, "MAX_COMPARED_IMAGES", 20)
    watch = Notes()
    train(small(many, tmp_path, score_every=4, score_features="random"), watch)
    assert any("scores compare with 20 of 39 images, evenly spaced" in line for line in watch.lines)


def test_clean_removes_the_file_and_nothing_else(many, tmp_path, capsys):
    run = tmp_path / "run"
    train(small(many, run), Quiet())
    (run / "cache" / ".images.uint8.1.part").write_bytes(b"left by a process that died")
    before = {file for file in run.rglob("*") if "cache" not in file.parts}
    assert cli.main(["clean", str(run)]) == 0
    assert capsys.readouterr().out == f"removed {run / 'cache'}: 0 MB\n"
    assert {*run.rglob("*")} == before
    assert cli.main(["clean", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"run": str(run), "bytes": 0}
    assert DECODING in notes_of(small(many, run))


def test_clean_leaves_files_of_others_in_the_folder(many, tmp_path):
    cache.load(small(many, tmp_path))
    (tmp_path / "cache" / "mine.txt").write_text("keep")
    assert cache.clean(tmp_path) > 41 * 3 * 32 * 32
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["mine.txt"]


def test_clean_refuses_a_folder_that_is_no_run_and_a_run_that_trains(tmp_path):
    with pytest.raises(UsageError, match="is not a run folder; give the run of handful train"):
        cache.clean(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "cache").mkdir()
    with FileLock(tmp_path / ".lock"), pytest.raises(UsageError, match="a process is training in this folder"):
        cache.clean(tmp_path)


def test_those_beside_the_lead_map_the_same_file(many, tmp_path):
    with open_run(small(many, tmp_path)) as run:
        file = cache.mapped_file(run.setup.images)
        assert file is not None
        assert torch.equal(cache.map_images(file, tuple(run.setup.images.shape)), run.setup.images)


def test_a_file_that_is_not_there_is_refused_and_not_made(tmp_path):
    with pytest.raises(
        UsageError, match="is missing or incomplete; several machines need a run folder that they share"
    ):
        cache.map_images(tmp_path / "images.uint8", (2, 3, 8, 8))
    assert list(tmp_path.iterdir()) == []
