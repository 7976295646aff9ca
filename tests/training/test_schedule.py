"""When a run is scored and when it ends: by default scores stay cheap, and the end is always scored."""

import dataclasses
import json

import pytest
from small_runs import log_of, small

from handful.config.presets import paper, tiny
from handful.errors import UsageError
from handful.progress import Quiet
from handful.records import scores
from handful.records.scores import Score
from handful.training.loop import train
from handful.training.schedule import score_is_due, steps_to_come
from handful.training.scoring import RunScorer
from notes import Notes


@pytest.fixture
def impatient(monkeypatch):
    """Two scores without a better one are a plateau."""
    monkeypatch.setattr(scores, "PLATEAU_SCORES", 2)


def give(monkeypatch, kids: list[float], **changes) -> None:
    """Replace the scores of the next steps."""
    given = iter(kids)

    def score(self, model, discriminator, step, since, probability):
        known = {"kid_error": 0.001, "copies_among_training": 0.0, "novelty": 0.9, "score_seconds": 0.01}
        seen = {"copies": 0.0, "spread": 0.9, "accuracy_seen": None, "accuracy_unseen": None}
        return Score(step=step, kid=next(given), **known | seen | changes)

    monkeypatch.setattr(RunScorer, "score", score)


def test_a_run_stops_where_nothing_improves_and_says_so(photos, tmp_path, monkeypatch, impatient):
    give(monkeypatch, [0.5, 0.1] + [0.2] * 4)
    config = small(photos, tmp_path / "run", steps=50, score_every=1, stop_when="plateau")
    notes = Notes()
    train(config, notes)
    # Step 2 was the best; two scores later, and as many steps again, is step 4.
    assert log_of(config)[-1]["step"] == 4
    assert any("stopped at step 4: scores no longer improve" in line for line in notes.lines)
    assert json.loads((config.folder / "best" / "score.json").read_text())["step"] == 2
    assert (config.folder / "checkpoints" / "step-00000004").is_dir()
    assert [line for line in notes.lines if "no better score since step 2" in line]


def test_a_run_goes_on_over_a_plateau_unless_told_to_stop_and_warns_once(photos, tmp_path, monkeypatch, impatient):
    give(monkeypatch, [0.1] + [0.2] * 6)
    config = small(photos, tmp_path / "run", steps=5, score_every=1)
    notes = Notes()
    train(config, notes)
    assert log_of(config)[-1]["step"] == 5
    assert sum("no better score" in line for line in notes.lines) == 1
    resumed = Notes()
    train(dataclasses.replace(config, steps=6), resumed)
    assert not any("no better score" in line for line in resumed.lines)


def test_a_copying_checkpoint_does_not_take_the_place_of_the_best(photos, tmp_path, monkeypatch):
    give(monkeypatch, [0.1])
    config = small(photos, tmp_path / "run", steps=1, score_every=1)
    train(config, Quiet())
    kept = (config.folder / "best" / "model.safetensors").read_bytes()
    give(monkeypatch, [0.0], copies=0.5)
    notes = Notes()
    train(dataclasses.replace(config, steps=2), notes)
    assert (config.folder / "best" / "model.safetensors").read_bytes() == kept
    assert any("50% of the images copy training images" in line for line in notes.lines)
    assert log_of(config)[-1]["refused"] == "50% of its images are copies"


def test_a_resumed_run_holds_new_scores_against_old_ones(photos, tmp_path, monkeypatch):
    give(monkeypatch, [0.1, 0.2])
    config = small(photos, tmp_path / "run", steps=1, score_every=1)
    train(config, Quiet())
    train(dataclasses.replace(config, steps=2), Quiet())
    assert json.loads((config.folder / "best" / "score.json").read_text())["step"] == 1


def test_minutes_end_a_run(photos, tmp_path):
    config = small(photos, tmp_path / "run", steps=10_000, minutes=0.001)
    notes = Notes()
    train(config, notes)
    assert 1 <= log_of(config)[-1]["step"] < 100
    assert any("after --minutes 0.001" in line for line in notes.lines)
    before = log_of(config)[-1]["step"]
    train(config, Quiet())  # the time of all sittings counts
    assert log_of(config)[-1]["step"] == before


@pytest.mark.parametrize(
    ("options", "step", "seconds", "expected"),
    [
        ({"steps": 1_000}, 400, 999.0, 600),
        ({"steps": 1_000}, 1_200, 0.0, 0),
        ({"steps": 1_000, "minutes": 10}, 400, 500.0, 50),
        ({"steps": 1_000, "minutes": 10}, 980, 500.0, 20),
        ({"steps": 1_000, "minutes": 10}, 400, 700.0, 0),
    ],
)
def test_a_run_takes_the_steps_that_its_steps_and_minutes_leave(options, step, seconds, expected):
    assert steps_to_come(tiny("-", **options), step, seconds, seconds_per_step=2.0) == expected


def test_the_time_left_is_that_of_minutes_where_they_end_a_run_first(photos, tmp_path):
    class Bar(Quiet):
        def advance(self, task, done, total):
            self.total = total

    config, bar = small(photos, tmp_path / "run", steps=1_000_000, minutes=0.05, score_every=0, log_every=2), Bar()
    train(config, bar)
    lines = log_of(config)
    assert len(lines) > 1
    assert all(entry["seconds_left"] < 10 for entry in lines)
    assert bar.total < 1_000


def scores_that_cost(*seconds: float) -> list[Score]:
    numbers = {field.name: 0.0 for field in dataclasses.fields(Score)}
    return [Score(**numbers | {"step": 500, "score_seconds": cost}) for cost in seconds]


@pytest.mark.parametrize(
    ("step", "spent", "due"),
    [(499, [], False), (500, [], True), (750, [], False), (1500, [20.0, 12.0], False), (1500, [20.0, 10.0], True)],
)
def test_by_default_scores_and_that_of_the_last_step_take_less_than_a_twentieth_of_the_time(step, spent, due):
    history = scores_that_cost(*spent)
    assert score_is_due(tiny("-"), step, minutes=1000 / 60, history=history, last=False) is due


@pytest.mark.parametrize(
    ("step", "spent", "options", "due"),
    [
        (777, [], {}, True),
        (777, [400.0], {}, True),
        (77, [], {}, False),
        (77, [], {"score_every": 50}, True),
        (77, [], {"score_every": 0}, False),
    ],
)
def test_the_end_is_scored_unless_the_run_is_short_or_has_no_scores(step, spent, options, due):
    history = scores_that_cost(*spent)
    assert score_is_due(tiny("-", **options), step, minutes=1000 / 60, history=history, last=True) is due


def test_the_published_recipe_trains_on_all_images():
    assert paper("-").hold_back == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score_every": -1}, "score_every -1"),
        ({"hold_back": 0.9}, "hold_back 0.9"),
        ({"minutes": 0.0}, "minutes 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        tiny("-", **options)
