"""The log survives whatever a line of it holds."""

import json
import math

import pytest

from handful.errors import UsageError
from handful.records.journal import Journal
from handful.records.run_folder import RunFolder
from handful.records.scores import Score, read_best, read_history, to_json

SOUND = [{"step": step, "steps": 9, "seconds": 1.5 * step, "generator": 0.5} for step in (1, 2, 3)]

BAD = [
    b'{"step": 2, "gen',
    bytes(100),
    b"\xff\xfe\x00{",
    b"17",
    b"null",
    b"[1, 2]",
    b'"step"',
    b"{}",
    b'{"step": "2"}',
    b'{"step": 2.5}',
    b'{"step": true}',
    b'{"step": -1}',
    b'{"step": 2, "generator": "high"}',
    b'{"step": 2, "kid": [1]}',
    b'{"step": 2, "seconds": 1e999}',
    b"[" * 100_000,
    b'{"step": ' + b"9" * 5000 + b"}",
]


def journal(path, *lines):
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return Journal(path)


@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
def test_a_line_that_cannot_be_read_is_kept_aside_and_the_others_stay(tmp_path, bad):
    first, second, third = (json.dumps(entry).encode() for entry in SOUND)
    log = journal(tmp_path / "log.jsonl", first, bad, second, third)
    assert log.read() == SOUND
    assert log.cut(2) == 1
    assert log.read() == SOUND[:2]
    assert (tmp_path / "log.damaged").read_bytes() == bad + b"\n"
    assert log.cut(2) == 0


def test_blank_lines_and_a_last_line_that_is_cut_are_nothing_to_tell_of(tmp_path):
    path = tmp_path / "log.jsonl"
    log = journal(path, json.dumps(SOUND[0]).encode(), b"", b"  ")
    with path.open("ab") as file:
        file.write(b'{"step": 2, "gen')
    assert log.read() == SOUND[:1]
    assert log.cut(9) == 0
    assert not (tmp_path / "log.damaged").exists()
    assert path.read_bytes() == json.dumps(SOUND[0]).encode() + b"\n"


def test_fields_of_other_versions_stay(tmp_path):
    entry = {"step": 1, "at_once": 4, "colour": "red", "extra": {"a": [1]}}
    log = journal(tmp_path / "log.jsonl", json.dumps(entry).encode())
    assert log.read() == [entry]


def test_infinity_is_null_in_the_log_and_an_older_one_is_read(tmp_path):
    log = journal(tmp_path / "log.jsonl", b'{"step": 1, "novelty": Infinity}')
    assert log.read() == [{"step": 1, "novelty": None}]
    log.write({"step": 2, "spread": math.inf, "kid": math.nan})
    assert log.path.read_bytes().splitlines()[1] == b'{"step": 2, "spread": null, "kid": null}'


def test_an_entry_is_amended_in_its_place(tmp_path):
    log = journal(tmp_path / "log.jsonl", *(json.dumps(entry).encode() for entry in SOUND[:2]))
    log.amend(SOUND[1] | {"kid": 0.5})
    log.write(SOUND[2])
    assert log.read() == [SOUND[0], SOUND[1] | {"kid": 0.5}, SOUND[2]]


SCORE = Score(3, 0.1, 0.01, 0.0, 0.0, math.inf, 0.9, None, None, 1.0)


def test_a_score_comes_back_from_json(tmp_path):
    text = json.dumps(to_json(SCORE) | {"history": [to_json(SCORE)]}, allow_nan=False)
    (tmp_path / "score.json").write_text(text)
    assert read_best(tmp_path / "score.json") == (SCORE, [SCORE])
    assert read_best(tmp_path / "missing" / "score.json") == (None, [])


@pytest.mark.parametrize(
    "change", [{"kid": None}, {"kid": "low"}, {"step": 1.5}, {"copies": math.nan}, {"spread": True}]
)
def test_scores_that_lack_a_number_are_passed_over(change):
    assert read_history([vars(SCORE) | change, vars(SCORE)]) == [SCORE]


@pytest.mark.parametrize("text", ["", "null", "[]", "3", "{}", '{"step": 1}', "{" * 100_000, '{"history": 3}'])
def test_a_damaged_score_is_named(tmp_path, text):
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "score.json").write_text(text)
    (tmp_path / "config.json").write_text('{"options": {}}')
    with pytest.raises(UsageError, match=r"score.json: (cannot be read|holds no score)"):
        _ = RunFolder(tmp_path).best
