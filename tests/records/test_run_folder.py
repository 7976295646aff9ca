"""A run folder as others read it: small files written here, and no training."""

import dataclasses
import json

import pytest

from handful.config import budget
from handful.config.presets import tiny
from handful.errors import UsageError
from handful.records import layout
from handful.records.run_folder import RunFolder, is_run
from handful.records.scores import Score

SCORE = Score(
    step=500,
    kid=0.12345,
    kid_error=0.01,
    copies=0.0,
    copies_among_training=0.0,
    novelty=1.0,
    spread=0.9,
    accuracy_seen=None,
    accuracy_unseen=None,
    score_seconds=1.0,
)


@pytest.fixture
def folder(tmp_path):
    """A run of 1,000 steps that has logged 600 of them."""
    folder = tmp_path / "run"
    config = tiny("photos", run=str(folder), steps=1000)
    (folder / layout.SAMPLES).mkdir(parents=True)
    about = {"handful": "0", "fingerprint": "f", "images": 40, "options": config.to_json()}
    (folder / layout.CONFIG).write_text(json.dumps(about))
    lines = [{"step": 500, **dataclasses.asdict(SCORE)}, {"step": 600}]
    (folder / layout.LOG).write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 7')
    for step in (500, 1500, 600):
        (folder / layout.SAMPLES / f"{layout.step_name(step)}.png").write_bytes(b"png %d" % step)
    for name in (layout.MODEL, layout.BEST):
        (folder / name).mkdir()
        (folder / name / layout.CONFIG).write_text('{"size": 64}')
    return folder


def test_it_has_what_the_run_has_written_so_far(folder):
    run = RunFolder(folder)
    assert run.config.steps == 1000
    assert run.settings.images == 40
    assert [line["step"] for line in run.log] == [500, 600]
    assert run.step == 600
    assert run.scores == [SCORE]
    assert list(run.samples) == [500, 600, 1500]
    assert (run.best, run.report, run.checkpoints, run.warnings) == (None, None, {}, [])


def test_the_best_score_and_the_report_are_there_once_they_are_written(folder):
    run = RunFolder(folder)
    (folder / layout.BEST / layout.SCORE).write_text(json.dumps(dataclasses.asdict(SCORE) | {"later": 1}))
    (folder / layout.REPORT).touch()
    (folder / layout.CHECKPOINTS / layout.step_name(500)).mkdir(parents=True)
    assert run.best == SCORE
    assert run.report == folder / layout.REPORT
    assert run.checkpoints == {500: folder / layout.CHECKPOINTS / "step-00000500"}
    assert repr(run) == f"RunFolder({folder}, step 600 of 1,000, best 500 (KID 0.123))"


def test_the_verdict_is_by_the_report_where_that_is_of_the_kept_model_and_by_its_score_otherwise(folder):
    run = RunFolder(folder)
    assert run.evaluation is None
    assert run.verdict.copied.sentence.startswith(f"Among {len(budget.current.scored_seeds)} images")
    kept = dataclasses.replace(SCORE, copies=0.5, distance=6.0)
    (folder / layout.BEST / layout.SCORE).write_text(json.dumps(dataclasses.asdict(kept)))
    assert (run.verdict.close.value, run.verdict.copied.value) == (6.0, 0.5)
    evaluation = {"step": 500, "samples": 1000, "features": "efficientnet", "distance": 3.0, "copies": 0.01}
    (folder / layout.EVALUATION).write_text(json.dumps(evaluation))
    assert (run.verdict.close.value, run.verdict.copied.value) == (3.0, 0.01)
    (folder / layout.EVALUATION).write_text(json.dumps(evaluation | {"step": 400}))  # of a model that was best before
    assert run.verdict.close.value == 6.0


def test_a_run_without_a_score_has_a_verdict_that_says_so(folder):
    (folder / layout.LOG).unlink()
    assert RunFolder(folder).verdict.summary == "not scored"


def test_a_notebook_shows_its_newest_samples(folder):
    html = RunFolder(folder)._repr_html_()
    assert "step 600 of 1,000" in html
    assert "data:image/png;base64,cG5nIDE1MDA=" in html  # "png 1500"


def test_a_model_knows_its_run_and_others_have_none(folder, tmp_path):
    for source in (folder / layout.MODEL, folder / layout.BEST, folder):
        run = RunFolder.of_model(source)
        assert run is not None
        assert run.folder == folder
    assert RunFolder.of_model(tmp_path) is None
    assert RunFolder.of_model(folder / layout.MODEL / "model.safetensors") is None


def test_what_is_no_run_is_refused(folder, tmp_path):
    assert not is_run(folder / layout.MODEL)
    (tmp_path / layout.CONFIG).write_text("[1")
    for other in (tmp_path, tmp_path / "nowhere", folder / layout.MODEL):
        with pytest.raises(UsageError, match="is not a run folder; give the folder of run"):
            RunFolder(other)
