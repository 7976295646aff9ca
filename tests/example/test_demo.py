"""What ``handful demo`` says at its end."""

import json

from handful.cli import main as cli
from handful.example.demo import demo_config
from handful.records import layout
from handful.records.run_folder import RunFolder


def test_the_demo_ends_with_the_verdict_on_its_run(tmp_path, monkeypatch, capsys):
    config = demo_config(tmp_path)
    config.folder.mkdir()
    about = {"handful": "0", "fingerprint": "f", "images": 100, "options": config.to_json()}
    (config.folder / layout.CONFIG).write_text(json.dumps(about))
    evaluation = {"step": 0, "samples": 1000, "distance": 5.0, "distance_error": 0.2, "variety": 0.5, "copies": 0.0}
    (config.folder / layout.EVALUATION).write_text(json.dumps(evaluation | {"precision": 0.0, "density": 0.0}))
    monkeypatch.setattr("handful.example.demo.demo", lambda out, **_: out / "side-by-side.png")
    assert cli.main(["demo", "--out", str(tmp_path)]) == 0
    words = capsys.readouterr().out
    assert "side-by-side.png\nverdict: not good yet, far, less varied, no copies found" in words
    assert cli.main(["demo", "--out", str(tmp_path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["verdict"] == RunFolder(config.folder).verdict.to_json()
