"""Model files that are dropped on the studio, or lie in a folder of the machine."""

import pytest

from handful.studio import opened
from studio.conftest import connect
from support.models import made


@pytest.fixture
def content(tmp_path) -> bytes:
    made().save(tmp_path / "away")
    return (tmp_path / "away" / "model.safetensors").read_bytes()


def drop(browser, name: str, content: bytes):
    return browser.post("/api/models/drop", params={"file": name}, content=content)


def test_a_model_that_is_dropped_is_explored_like_a_run_s_and_deleted(browser, runs, content):
    source = drop(browser, "my birds.safetensors", content).json()["source"]
    assert browser.get("/api/model", params={"source": source}).json()["title"] == "my birds"
    with connect(browser, source) as socket:
        assert "directions" in socket.receive_json()
    assert [model["name"] for model in browser.get("/api/models").json()["models"]] == ["my birds"]
    assert browser.get("/api/runs").json()["runs"] == []
    assert drop(browser, "my birds.safetensors", content).json()["source"] != source
    assert browser.post("/api/models/delete", json={"source": source}).status_code == 200
    assert len(browser.get("/api/models").json()["models"]) == 1


@pytest.mark.parametrize("content", [b"", b"no model", b"\xff" * 64, (2**40).to_bytes(8, "little") + b"{}"])
def test_a_file_that_is_no_model_is_refused_and_not_kept(browser, runs, content):
    answer = drop(browser, "model.safetensors", content)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert list((runs / opened.MODELS).iterdir()) == []


@pytest.mark.parametrize("name", ["model.pkl", "model.pt", "model", "../../model.py"])
def test_other_endings_are_refused(browser, runs, content, name):
    assert "safetensors" in drop(browser, name, content).json()["error"]
    assert not (runs / opened.MODELS).exists()


@pytest.mark.parametrize("stem", ["../../out", "/etc/out", "a\x1b[2J", "."])
def test_no_name_leads_out_of_the_folder_of_models(browser, runs, tmp_path, content, stem):
    before = set(tmp_path.rglob("*"))
    drop(browser, f"{stem}.safetensors", content)
    made = set(tmp_path.rglob("*")) - before
    assert all(path.is_relative_to(runs / opened.MODELS) or path == runs / opened.MODELS for path in made)
    assert all(path.name.isprintable() for path in made)


def test_a_model_that_is_too_large_is_refused_and_not_kept(browser, runs, content, monkeypatch):
    monkeypatch.setattr(opened, "MAX_BYTES", 10)
    assert "too large" in drop(browser, "model.safetensors", content).json()["error"]
    assert list((runs / opened.MODELS).iterdir()) == []


@pytest.mark.parametrize("source", ["flowers", "..", ".models", ".models/nothing", "/etc"])
def test_nothing_else_is_deleted_as_a_model(browser, run, runs, source):
    (runs / opened.MODELS).mkdir()
    assert browser.post("/api/models/delete", json={"source": source}).status_code == 400
    assert run.exists()


def test_the_browser_of_folders_shows_models(browser, run, runs):
    shown = browser.get("/api/folders", params={"path": str(runs), "models": "1"}).json()
    assert [(folder["name"], folder["is_model"]) for folder in shown["folders"]] == [("flowers", True)]
    inside = browser.get("/api/folders", params={"path": str(run / "model"), "models": "1"}).json()
    assert inside["is_model"]
    assert [folder["name"] for folder in inside["folders"]] == ["model.safetensors"]
    weights = inside["folders"][0]["path"]
    assert browser.get("/api/model", params={"source": weights}).json()["width"] == 32
