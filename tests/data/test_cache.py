"""A set beyond memory trains from a file, bit for bit as from memory; the file is whole, or it is not taken."""

import json
import os
import resource
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image

from handful.cli import main as cli
from handful.compute.memory import budget, free_memory, most_compared
from handful.compute.processes import ALONE
from handful.config.geometry import Geometry
from handful.config.presets import tiny
from handful.config.train import TrainConfig
from handful.data import cache
from handful.data.dataset import load_folder
from handful.data.prefetch import Prefetcher, batch_reader
from handful.errors import UsageError
from handful.progress import Quiet, shown_on
from handful.training import scoring
from handful.training.loop import train
from handful.training.run import Run
from handful.training.worker import opened

SMALL = Geometry((8, 8))

CPU = torch.device("cpu")
DECODING = "decoding them into"


class Notes(Quiet):
    def __init__(self):
        self.text = ""

    def note(self, text):
        self.text += text + "\n"


@pytest.fixture(scope="session")
def many(tmp_path_factory) -> Path:
    """Enough pictures for some to be held back, and one that cannot be read, so that the file has gaps to close."""
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
    """Open a run, and give what it says."""
    watch = Notes()
    with shown_on(watch), Run.open(config):
        pass
    return watch.text


def test_training_from_the_file_and_resuming_ends_with_the_weights_of_training_from_memory(many, tmp_path):
    scores = {"score_every": 4, "hold_back": 0.1, "score_features": "random"}
    train(small(many, tmp_path / "memory", image_memory=1.0, **scores), Quiet())
    train(small(many, tmp_path / "file", **scores | {"steps": 2}), Quiet())
    resumed = Notes()
    train(small(many, tmp_path / "file", **scores), resumed)
    assert DECODING not in resumed.text
    assert "holding out 4 of them" in resumed.text
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
    assert "skipped, since it cannot be read: 07a.png" in notes_of(small(many, run))
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
    assert DECODING in watch.text
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
    assert DECODING in watch.text


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


# Batches


def test_batches_are_read_ahead_and_are_those_asked_for_whatever_was_expected(many, tmp_path):
    images = cache.load(small(many, tmp_path)).images
    assert cache.mapped_file(images[:30]) == tmp_path / "cache" / "images.uint8"
    draw = batch_reader(images, CPU)
    assert isinstance(draw, Prefetcher)
    asked = [torch.tensor(numbers) for numbers in ([0, 5], [3, 3], [40, 1], [2, 9])]
    for now, coming in zip(asked, [*asked[1:3], asked[0], asked[1]], strict=True):
        assert torch.equal(draw(now, coming), images[now])


def test_images_in_memory_are_drawn_at_once(many):
    images = load_folder(many, SMALL).images
    assert cache.mapped_file(images) is None
    assert not isinstance(batch_reader(images, CPU), Prefetcher)


def test_a_failure_in_the_thread_is_raised_where_the_batch_is_asked_for():
    draw = Prefetcher(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), pinned=False)
    draw(torch.tensor([0]), torch.tensor([9]))
    with pytest.raises(IndexError, match="out of bounds"):
        draw(torch.tensor([9]), torch.tensor([0]))


# Scores


def test_scores_of_a_large_set_look_at_an_even_share_and_say_so(many, tmp_path, monkeypatch):
    monkeypatch.setattr(scoring, "MOST_COMPARED", 20)
    watch = Notes()
    train(small(many, tmp_path, score_every=4, score_features="random"), watch)
    assert "scores compare with 20 of the 39 images, evenly spread" in watch.text


def test_a_part_of_the_images_can_be_asked_for(many):
    dataset = load_folder(many, SMALL, most=4)
    assert (dataset.names, dataset.left_out) == (("00.png", "09.png", "20.png", "30.png"), 38)
    assert load_folder(many, SMALL).left_out == 0


# Room


def system(root: Path, **files: str) -> Path:
    for name, text in files.items():
        file = root / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_the_tightest_of_machine_cgroups_and_limits_counts(tmp_path, monkeypatch):
    gigabyte, free = 2**30, resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda _: (free, free))
    machine = system(tmp_path / "a", proc__meminfo=f"MemTotal: 9 kB\nMemAvailable: {8 * 2**20} kB\n")
    assert free_memory(machine) == 8 * gigabyte
    second = {
        "proc__self__cgroup": "0::/job/step\n",
        "sys__fs__cgroup__job__memory.max": f"{4 * gigabyte}\n",
        "sys__fs__cgroup__job__step__memory.max": "max\n",
        "sys__fs__cgroup__job__memory.stat": f"anon {gigabyte}\nfile {2 * gigabyte}\n",
    }
    assert free_memory(system(machine, **second)) == 3 * gigabyte
    first = {
        "proc__self__cgroup": "4:memory:/docker/x\n0::/\n",
        "sys__fs__cgroup__memory__memory.limit_in_bytes": f"{2 * gigabyte}",
        "sys__fs__cgroup__memory__memory.stat": f"total_rss {gigabyte}\n",
    }
    assert free_memory(system(machine, **first)) == gigabyte
    monkeypatch.setattr(resource, "getrlimit", lambda what: (gigabyte if what == resource.RLIMIT_DATA else free, free))
    system(machine, proc__self__status=f"VmSize: 9 kB\nVmData: {2**19} kB\n")
    assert free_memory(machine) == gigabyte // 2


def test_half_of_what_is_free_or_what_is_asked_for_goes_to_images(monkeypatch):
    monkeypatch.setattr("handful.compute.memory.free_memory", lambda: 4_000_000)
    assert (budget(None), budget(0.5), budget(0.0)) == (2_000_000, 500_000_000, 0)
    assert (most_compared(1_000), most_compared(1)) == (2_000, 50_000)
    monkeypatch.setattr("handful.compute.memory.free_memory", lambda: None)
    assert budget(None) == float("inf")
    assert most_compared(10**6) == 50_000


# Clean


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
    with opened(small(many, tmp_path), ALONE) as run:
        file = cache.mapped_file(run.images)
        assert file is not None
        assert torch.equal(cache.map_images(file, tuple(run.images.shape)), run.images)


def test_a_file_that_is_not_there_is_refused_and_not_made(tmp_path):
    with pytest.raises(
        UsageError, match="is missing or incomplete; several machines need a run folder that they share"
    ):
        cache.map_images(tmp_path / "images.uint8", (2, 3, 8, 8))
    assert list(tmp_path.iterdir()) == []
