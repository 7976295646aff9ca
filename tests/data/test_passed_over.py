"""What no image lies in is passed over, and what handful made is never trained on, wherever it lies."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from handful.config.presets import tiny
from handful.config.train import TrainConfig
from handful.data.checkup.examine import check
from handful.data.dataset import decode_files, load_folder
from handful.data.sources import open_photos
from handful.errors import UsageError
from handful.images.grid import write_png, write_webp
from handful.images.video import write_video
from handful.progress import Quiet
from handful.training.loop import train
from pictures import GREEN, SMALL, paint, reasons


@pytest.fixture
def folder(tmp_path):
    """Three pictures in two folders."""
    for name in ("a.png", "b/c.png", "b/d.png"):
        paint(tmp_path / "photos" / name, GREEN, (64, 64))
    return tmp_path / "photos"


def packed(folder: Path) -> Path:
    return Path(shutil.make_archive(str(folder), "zip", folder))


NAMES = ("a.png", "b/c.png", "b/d.png")


@pytest.mark.parametrize("name", ["@eaDir", "__MACOSX", ".thumbnails", "#recycle", "$RECYCLE.BIN"])
def test_folders_of_systems_are_passed_over_in_silence(folder, name):
    paint(folder / "b" / name / "c.png")
    for source in (folder, packed(folder)):
        dataset = load_folder(source, SMALL)
        assert (dataset.names, dataset.passed_over, dataset.ignored) == (NAMES, (), {})
        assert len(check(source, 32).folder.files) == 3


@pytest.mark.parametrize("name", ["thumbnails", "Thumbs", "_thumbs"])
def test_thumbnails_are_passed_over_and_the_user_is_told(folder, name):
    paint(folder / "b" / name / "c.png")
    for source in (folder, packed(folder)):
        dataset = load_folder(source, SMALL)
        assert dataset.names == NAMES
        assert [str(passed) for passed in dataset.passed_over] == [f"b/{name}: thumbnails"]
        (finding,) = (finding for finding in check(source, 32).findings if finding.kind == "passed-over")
        assert finding.severity == "note"
        assert finding.cases[0].files == (f"b/{name}",)


def test_a_folder_of_thumbnails_that_is_asked_for_is_read(folder):
    shutil.move(folder, folder.with_name("thumbs"))
    assert load_folder(folder.with_name("thumbs"), SMALL).names == NAMES


RUN, MODEL = {"handful": "0.1.0", "options": {}}, {"format": "handful generator 2"}


@pytest.mark.parametrize(("config", "reason"), [(RUN, "a run of handful"), (MODEL, "a model of handful")])
def test_runs_and_models_are_passed_over_and_the_user_is_told(folder, config, reason):
    paint(folder / "b" / "out" / "samples" / "step-00000002.png")
    (folder / "b" / "out" / "config.json").write_text(json.dumps(config))
    for source in (folder, packed(folder)):
        dataset = load_folder(source, SMALL)
        assert dataset.names == NAMES
        assert [str(passed) for passed in dataset.passed_over] == [f"b/out: {reason}"]


def test_a_run_is_known_without_its_options(folder):
    paint(folder / "out" / "samples" / "step-00000002.png")
    (folder / "out" / "checkpoints").mkdir()
    for name in ("config.json", "log.jsonl", "checkpoints/x"):
        (folder / "out" / name).write_text("{{{")
    for source in (folder, packed(folder)):
        assert load_folder(source, SMALL).names == NAMES


@pytest.mark.parametrize("text", ["[]", "{}", "null", "{" * 99_999, '{"options": {}}', '{"format": "other"}', "\x00"])
def test_the_config_of_another_program_hides_no_pictures(folder, text):
    (folder / "b" / "config.json").write_text(text)
    for source in (folder, packed(folder)):
        assert load_folder(source, SMALL).names == NAMES


def test_pictures_in_a_folder_that_was_made_a_run_are_read_without_its_own(folder):
    (folder / "config.json").write_text(json.dumps(RUN))
    for name in ("samples/step-00000002.png", "best/x.png", "model/x.png", "cache/x.png", "checkpoints/x.png"):
        paint(folder / name)
    for source in (folder, packed(folder)):
        assert load_folder(source, SMALL).names == NAMES


def test_pictures_and_films_that_handful_wrote_are_not_trained_on(folder):
    image = Image.new("RGB", (16, 16))
    write_png(folder / "grid.png", image)
    write_png(folder / "b" / "seed-000000.png", image.convert("RGBA"))
    write_webp(folder / "seed-000000.webp", image)
    for name in ("walk.webp", "walk.gif", "frames"):
        write_video(folder / name, iter([image, image.point(lambda value: 255)]), 24.0)
    own = {"grid.png", "b/seed-000000.png", "seed-000000.webp", "walk.webp", "walk.gif"}
    own |= {"frames/frame-000000.png", "frames/frame-000001.png"}
    dataset = load_folder(folder, SMALL)
    assert dataset.names == NAMES
    assert reasons(dataset) == dict.fromkeys(own, "made by handful: generated pictures are never trained on")
    assert {file.name for file in check(folder, 32).folder.skipped} == own


def test_pictures_that_handful_wrote_can_be_scored_and_projected(tmp_path):
    for name in ("a.png", "b.png"):
        write_png(tmp_path / name, Image.new("RGB", (16, 16)))
    photos = open_photos(tmp_path)
    _, results = decode_files(photos, photos.files, SMALL)
    assert [result.name for result in results] == ["a.png", "b.png"]
    assert load_folder(tmp_path, SMALL, generated=True).names == ("a.png", "b.png")
    with pytest.raises(UsageError, match=r"0 usable pictures.*\n  a\.png: made by handful"):
        load_folder(tmp_path, SMALL)
    paint(tmp_path / "real.png")
    paint(tmp_path / "true.png")
    assert load_folder(tmp_path, SMALL, generated=True).names == ("real.png", "true.png")


@pytest.mark.parametrize("run", [None, "out", "b/out"])
def test_training_in_the_folder_of_the_photos_resumes(photos, tmp_path, monkeypatch, run):
    images = shutil.copytree(photos, tmp_path / "photos")
    (images / "b").mkdir()
    monkeypatch.chdir(images)
    short = {"size": 32, "width": 8, "batch": 4, "device": "cpu", "report": False, "score_every": 0, "compile": "off"}
    where = {} if run is None else {"run": Path(run)}
    for steps in (1, 2):
        config: TrainConfig = tiny(Path(), steps=steps, **short | where)
        train(config, Quiet())
        write_png(images / f"{steps}.png", Image.new("RGB", (32, 32)))
    assert (config.folder / "samples" / "step-00000002.png").is_file()
    assert json.loads((config.folder / "config.json").read_text())["images"] == len(list(photos.iterdir()))


def test_an_archive_of_a_damaged_config_is_read(folder):
    (folder / "b" / "config.json").write_text('{"handful": 1, "options": {}}')
    archive = packed(folder)
    with zipfile.ZipFile(archive) as opened:
        place = opened.getinfo("b/config.json").header_offset
    data = bytearray(archive.read_bytes())
    data[place + 30 + len("b/config.json")] ^= 0xFF
    archive.write_bytes(bytes(data))
    assert load_folder(archive, SMALL).names == NAMES
