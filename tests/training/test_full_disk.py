"""A full disk, quota or file size limit costs no run and no checkpoint, and is told in one line."""

import dataclasses
import errno
import os
import resource
from contextlib import contextmanager
from pathlib import Path

import pytest
from small_runs import log_of, require_same, saved, small, weights

from handful.config.train import TrainConfig
from handful.errors import TrainingError, UsageError
from handful.progress import Quiet
from handful.records.run_folder import RunFolder
from handful.sampling.load import load
from handful.training import room
from handful.training.checkpoint import every
from handful.training.loop import train
from notes import Notes

SCORED = {"steps": 4, "score_every": 2, "checkpoint_every": 2, "sample_every": 2, "log_every": 1}


@pytest.fixture(scope="module")
def finished(photos, tmp_path_factory) -> TrainConfig:
    """A run of four steps that met no full disk."""
    config = small(photos, tmp_path_factory.mktemp("finished") / "run", **SCORED)
    train(config, Quiet())
    return config


@contextmanager
def full(part: str, number: int = errno.ENOSPC):
    """Let no temporary file be renamed whose path has a part, as if the system had refused to write it."""
    real = Path.replace

    def refuse(path, target):
        if part in str(target):
            raise OSError(number, os.strerror(number), str(path))
        return real(path, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        yield


def require_complete(config, finished):
    """Require that a run ended as one that met no full disk."""
    assert weights(config) == weights(finished)
    require_same(saved(config), saved(finished))
    assert [line["step"] for line in log_of(config)] == [1, 2, 3, 4]
    theirs, ours = (RunFolder(run.folder) for run in (finished, config))
    assert [dataclasses.replace(score, score_seconds=0.0) for score in ours.scores] == [
        dataclasses.replace(score, score_seconds=0.0) for score in theirs.scores
    ]
    assert ours.best.step == theirs.best.step
    assert not list(config.folder.rglob(".*.part"))


@pytest.mark.parametrize(
    "number",
    [
        errno.ENOSPC,
        *(pytest.param(number, marks=pytest.mark.slow) for number in (errno.EDQUOT, errno.EFBIG, errno.EIO)),
    ],
)
def test_a_checkpoint_that_cannot_be_written_ends_the_run_with_what_is_safe_and_how_to_go_on(
    photos, tmp_path, finished, number
):
    config = small(photos, tmp_path / "run", **SCORED)
    with full("step-00000004", number), pytest.raises(TrainingError) as error:
        train(config, Quiet())
    text = str(error.value)
    checkpoints = config.folder / "checkpoints"
    assert f"step 4: {checkpoints / 'step-00000004'}: cannot be written ({os.strerror(number).lower()}" in text
    assert "MB" in text
    assert f"the last good checkpoint is {checkpoints / 'step-00000002'}" in text
    assert "run the same command again to resume" in text
    assert "\n" not in text
    train(config, Quiet())
    require_complete(config, finished)


@pytest.mark.parametrize("part", ["samples", "best", "score.json"])
def test_what_a_run_can_do_without_is_told_and_the_run_ends_the_same(photos, tmp_path, finished, part):
    config, notes = small(photos, tmp_path / "run", **SCORED), Notes()
    with full(part):
        train(config, notes)
    assert any("cannot be written (no space left on device" in line and part in line for line in notes.lines)
    assert weights(config) == weights(finished)
    require_same(saved(config), saved(finished))
    assert load(config.folder, "cpu").config.size == 32


def test_a_best_model_that_cannot_be_replaced_stays_with_its_score(photos, tmp_path):
    config = small(photos, tmp_path / "run", **SCORED | {"steps": 2})
    train(config, Quiet())
    best = config.folder / "best"
    before = (best / "model.safetensors").read_bytes(), RunFolder(config.folder).best.step
    with full("best/config.json"), full("best/model.safetensors"):
        train(dataclasses.replace(config, steps=4), Quiet())
    assert (best / "model.safetensors").read_bytes() == before[0]
    kept = RunFolder(config.folder).best
    assert kept is None or kept.step == before[1]


def test_log_lines_that_cannot_be_written_are_written_later(photos, tmp_path, finished, monkeypatch):
    from handful.records import journal

    real, refused = journal.append, []

    def refuse(path, data):
        if b'"step": 2,' in data and len(refused) < 2:
            refused.append(data)
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, data)

    monkeypatch.setattr(journal, "append", refuse)
    config = small(photos, tmp_path / "run", **SCORED | {"score_every": 4, "checkpoint_every": 4})
    train(config, notes := Notes())
    assert len(refused) == 2
    assert [line["step"] for line in log_of(config)] == [1, 2, 3, 4]
    assert sum("it is written later" in line for line in notes.lines) == 2


def test_a_file_size_limit_is_told_and_not_a_traceback(photos, tmp_path):
    config = small(photos, tmp_path / "run", **SCORED)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(TrainingError, match=r"step 2: .*cannot be written \(file too large"):
            train(config, Quiet())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(config.folder.rglob(".*.part"))


def test_a_disk_without_room_for_the_run_is_refused_before_the_first_step(photos, tmp_path, monkeypatch):
    usage = room.shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: usage)
    config = small(photos, tmp_path / "run", **SCORED)
    with pytest.raises(UsageError, match=r"checkpoints and models will take \d+ MB more, and 1 MB is free"):
        train(config, Quiet())
    assert not (config.folder / "log.jsonl").exists()


def test_the_room_that_is_asked_for_is_what_a_run_takes(photos, tmp_path, monkeypatch):
    config = small(photos, tmp_path / "run", **SCORED | {"keep": 3})
    asked = []
    real = room.bytes_to_write
    monkeypatch.setattr(room, "bytes_to_write", lambda *arguments: asked.append(real(*arguments)) or asked[-1])
    train(config, Quiet())
    taken = sum(path.stat().st_size for path in config.folder.rglob("*.safetensors"))
    assert taken * 0.95 < asked[0] < taken * 1.3


def test_an_old_checkpoint_that_cannot_be_deleted_is_told(photos, tmp_path, monkeypatch):
    from handful.training import checkpoint

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(checkpoint, "remove", refuse)
    config, notes = small(photos, tmp_path / "run", steps=3, checkpoint_every=1, keep=1), Notes()
    train(config, notes)
    assert len(every(config.folder / "checkpoints")) == 3
    assert any(
        "step-00000001: this old checkpoint cannot be deleted (Permission denied)" in line for line in notes.lines
    )


def test_a_run_whose_folder_is_renamed_tells_and_continues(photos, tmp_path, finished, monkeypatch):
    from handful.training.writer import RunWriter

    config, notes = small(photos, tmp_path / "run", **SCORED), Notes()
    real = RunWriter.write_checkpoint

    def move_first(writer, model, state):
        if state.step == 4:
            config.folder.rename(tmp_path / "moved")
        real(writer, model, state)

    monkeypatch.setattr(RunWriter, "write_checkpoint", move_first)
    train(config, notes)
    assert any("run: was moved or deleted; the run continues in a new folder" in line for line in notes.lines)
    assert weights(config) == weights(finished)
    assert every(tmp_path / "moved" / "checkpoints")[-1].name == "step-00000002"
    train(config, Quiet())


def test_a_run_that_died_while_it_was_scored_is_scored_when_it_resumes(photos, tmp_path, finished, monkeypatch):
    from handful.training.scoring import RunScorer

    config = small(photos, tmp_path / "run", **SCORED)

    def die(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunScorer, "score", die)
        with pytest.raises(KeyboardInterrupt):
            train(config, Quiet())
    assert [path.name for path in every(config.folder / "checkpoints")] == ["step-00000002"]
    train(config, Quiet())
    require_complete(config, finished)


def test_a_checkpoint_is_written_before_the_first_score(photos, tmp_path, monkeypatch):
    from handful.training.scoring import RunScorer

    def die(*arguments):
        raise MemoryError

    monkeypatch.setattr(RunScorer, "score", die)
    config = small(photos, tmp_path / "run", steps=4, score_every=2)
    with pytest.raises(MemoryError):
        train(config, Quiet())
    assert [path.name for path in every(config.folder / "checkpoints")] == ["step-00000002"]


def test_a_full_home_costs_no_score(photos, tmp_path, monkeypatch):
    (tmp_path / "home").write_text("not a folder")
    monkeypatch.setenv("HANDFUL_CACHE", str(tmp_path / "home"))
    config = small(photos, tmp_path / "run", steps=2, score_every=2)
    train(config, Quiet())
    assert len(RunFolder(config.folder).scores) == 1
