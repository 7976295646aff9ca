"""handful report: what it takes from a run folder, and what it says where something is missing."""

import dataclasses
import html
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handful.cli import main as cli
from handful.config.presets import tiny
from handful.config.train import TrainConfig
from handful.errors import UsageError
from handful.exporting.report import report
from handful.progress import Quiet
from handful.records.outlook import outlook
from handful.records.run_folder import RunFolder
from handful.reporting.curves import curves
from handful.reporting.facts import Redactor
from handful.training.loop import train
from notes import Notes


@pytest.fixture(scope="module")
def told() -> Notes:
    """What the user is told while the run trains."""
    return Notes()


@pytest.fixture(scope="module")
def trained(tmp_path_factory, told) -> TrainConfig:
    folder = tmp_path_factory.mktemp("trained") / "a <b> & 'c'"
    folder.mkdir()
    random = np.random.default_rng(0)
    for index in range(44):
        pixels = np.zeros((32, 32, 3), np.uint8) + random.integers(0, 255, 3, np.uint8)
        pixels[10:30, 10:30] = random.integers(0, 255, 3, np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:02d}.png")
    (folder / "damaged<script>.png").write_bytes(b"no image")
    config = tiny(folder, run=folder.parent / "run", size=32, steps=4, batch=4, score_every=2, sample_every=2)
    train(dataclasses.replace(config, device="cpu", log_every=2, score_features="random"), told)
    return config


def words(page: Path) -> str:
    """The text of a page, without its marks."""
    source = re.sub(r"<(script|style).*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return " ".join(re.sub("<[^>]*>", " ", source).split())


def test_what_only_some_runs_have_is_drawn_where_there_is_some():
    plain = {"step": 1, "discriminator": 1.0, "generator": 0.0, "reconstruction": 1.0}
    plain |= {"accuracy_real": 0.5, "accuracy_fake": 0.5}
    titles = [curve.title for curve in curves([plain], [], "efficientnet")]
    assert titles == ["Losses", "Discriminator in training"]
    *_, strength, penalties = curves(
        [plain | {"augment_probability": 0.25, "spectrum": 0.5, "lattice": 0.125}], [], "efficientnet"
    )
    assert [(series.name, series.points) for series in strength.series] == [("augment probability", [(1, 0.25)])]
    assert [series.name for series in penalties.series] == ["spectrum", "lattice"]


def test_training_ends_with_a_page(trained):
    text = words(trained.folder / "report.html")
    assert "a <b> & 'c': 44 images, 32 px" in html.unescape(text)
    assert "32 x 32 px" in text
    assert "44" in text
    assert "protocol quick: 24 samples, seeds 0-23" in text
    for part in ("KID", "Copies", "Novelty", "Losses", "held-out images", "--reconstruction-weight", "step 4"):
        assert part in text, part
    assert "no scores" not in text


def test_the_page_names_no_other_place_and_escapes_what_the_user_wrote(trained):
    source = (trained.folder / "report.html").read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="(?!data:|#)', source)
    assert "damaged<script>" not in source
    assert "damaged&lt;script&gt;.png" in source


def test_training_ends_with_the_verdict_of_the_page(trained, told):
    run = RunFolder(trained.folder)
    first = told.lines.index(f"verdict: {run.verdict.headline}")
    assert told.lines[first + 1 : first + 4] == [f"  {line}" for line in run.verdict.lines()]
    assert told.lines[first + 4] == f"  {' '.join(outlook(run.scores))}"
    assert len(told.lines) == first + 5


def test_terminal_report_json_and_python_give_one_verdict(trained, capsys):
    source, images = str(trained.folder), str(trained.images)
    verdict = RunFolder(trained.folder).verdict
    text = html.unescape(words(trained.folder / "report.html"))
    for finding in verdict.findings.values():
        assert " ".join([finding.question, finding.word, finding.figure, finding.sentence]).replace("  ", " ") in text
    assert cli.main(["evaluate", source, images, "--features", "random", "--device", "cpu"]) == 0
    terminal = " ".join(capsys.readouterr().out.split())
    assert verdict.headline in terminal
    assert all(f"{finding.word} {finding.figure}".strip() in terminal for finding in verdict.findings.values())
    assert cli.main(["evaluate", source, images, "--features", "random", "--device", "cpu", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    kept = json.loads((trained.folder / "evaluation.json").read_text())
    assert answer["verdict"] == kept["verdict"] == verdict.to_json()
    assert kept["step"] == RunFolder(trained.folder).best_step
    assert cli.main(["train", images, "--run", source, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == verdict.to_json()


def test_the_command_makes_the_same_page_again(trained, capsys):
    page = trained.folder / "report.html"
    page.unlink()
    assert cli.main(["report", str(trained.folder), "--device", "cpu"]) == 0
    assert str(page) in capsys.readouterr().out
    assert "protocol quick" in words(page)


@pytest.mark.parametrize("images_are_there", [True, False])
def test_the_page_names_no_folder_of_its_author(trained, tmp_path, monkeypatch, images_are_there):
    home = tmp_path / "home" / "secretname"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TORCH_HOME", str(home / "torch"))
    shutil.copytree(trained.folder, home / "private" / "run")
    shutil.copytree(trained.images, home / "private" / "photos")
    (home / "private" / "weights").mkdir()
    path = home / "private" / "run" / "config.json"
    saved = json.loads(path.read_text())
    saved["options"] |= {name: str(home / "private" / name) for name in ("run", "weights", "from_")}
    saved["options"]["images"] = str(home / "private" / ("photos" if images_are_there else "gone"))
    path.write_text(json.dumps(saved))
    page = report(home / "private" / "run", "cpu", Quiet()).read_text(encoding="utf-8")
    assert "secretname" not in page
    assert "private" not in page
    assert ("vgg16" in page) == images_are_there  # the reason why diversity is missing names a folder too


def test_paths_are_shortened_and_words_that_only_look_alike_are_not(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    short = Redactor([Path("/home/ann/my photos"), Path("photos"), None, Path("/")])
    assert short("all of /home/ann/my photos, see /home/ann/x/y or /home/anna/z") == (
        "all of my photos, see ~/x/y or /home/anna/z"
    )
    assert short("photos/1.png") == "photos/1.png"


def test_each_stage_of_a_report_shows_its_progress(trained):
    tasks = {}

    class Stages(Quiet):
        def advance(self, task, done, total):
            tasks[task] = done == total

    report(trained.folder, "cpu", Stages())
    assert all(tasks.values())
    for words in ("reading the training images", "measuring samples", "drawing images", "walks", "pairs", "writing"):
        assert any(words in task for task in tasks), words


def test_without_the_training_images_the_page_says_what_is_missing(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained.folder, run)
    config = (run / "config.json").read_text().replace(str(trained.images), str(tmp_path / "gone"))
    (run / "config.json").write_text(config)
    text = words(report(run, "cpu", Quiet()))
    assert "training images: image folder" in text
    assert "gone" in text
    assert "Losses" in text


def test_the_page_names_the_hardware_of_the_run_and_not_of_the_machine_that_makes_the_page(trained, tmp_path):
    assert "1 thread" in words(trained.folder / "report.html")
    run = tmp_path / "run"
    shutil.copytree(trained.folder, run)
    config = (run / "config.json").read_text()
    (run / "config.json").write_text(re.sub('"hardware": "[^"]*"', '"hardware": "an abacus"', config))
    assert "an abacus" in words(report(run, "cpu", Quiet()))


def test_a_folder_that_changed_since_is_named(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained.folder, run)
    config = (run / "config.json").read_text()
    (run / "config.json").write_text(re.sub('"fingerprint": "[^"]*"', '"fingerprint": "another"', config))
    assert "has changed since the run" in words(report(run, "cpu", Quiet()))


def test_no_report_is_made_of_what_is_not_a_run(tmp_path):
    with pytest.raises(UsageError, match="is not a run folder"):
        report(tmp_path, "cpu", Quiet())
    assert not (tmp_path / "report.html").exists()


def test_a_run_without_a_model_yet_is_refused_and_keeps_its_old_page(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained.folder, run)
    shutil.rmtree(run / "best")
    shutil.rmtree(run / "model")
    (run / "report.html").write_text("old")
    with pytest.raises(UsageError, match="has not written its first model"):
        report(run, "cpu", Quiet())
    assert (run / "report.html").read_text() == "old"


@pytest.mark.slow
def test_an_interrupted_run_leaves_no_page_but_one_can_be_asked_for(trained, tmp_path, monkeypatch):
    config = dataclasses.replace(trained, run=tmp_path / "run", steps=1000, device="cpu", score_every=0)

    class Impatient(Quiet):
        def advance(self, task, done, total):
            if task == "training" and done == 2:
                import signal

                signal.raise_signal(signal.SIGINT)

    train(config, Impatient())
    assert not (config.folder / "report.html").exists()
    assert "was not scored while it trained" in words(report(config.folder, "cpu", Quiet()))
