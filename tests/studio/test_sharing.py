"""Sharing from the page of a run: report, exports, the Hub."""

import json
from pathlib import Path

import pytest

from handful.errors import UsageError
from handful.progress import advance
from handful.studio import sharing, web_share
from studio.test_new_runs import finished

PUSH = {"source": "flowers", "repository": "me/birds"}


@pytest.fixture
def logged_in(monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_secret")


def test_a_report_is_written_with_progress_and_can_be_opened(browser, run, monkeypatch):
    def report(folder: Path, with_explorer: bool) -> None:
        advance("writing the page", 1, 2)
        (folder / "report.html").write_text(f"<h1>flowers</h1>{with_explorer}")

    monkeypatch.setattr(web_share, "report", report)
    task = finished(browser, browser.post("/api/share/report", json={"name": "flowers", "with_explorer": True}).json())
    assert (task["error"], task["what"], task["done"], task["total"]) == (None, "writing the page", 1, 2)
    assert browser.get("/report", params={"name": task["result"]["report"]}).text == "<h1>flowers</h1>True"


def test_a_web_page_is_exported_looked_at_and_downloaded(browser, run, monkeypatch):
    def export(source: Path, format: str, out: Path, license: str) -> None:
        out.write_text(f"{source.name} {format} {license}")

    monkeypatch.setattr(sharing, "export", export)
    body = {"source": "flowers", "ending": ".html", "license": "cc0-1.0"}
    task = finished(browser, browser.post("/api/share/export", json=body).json())
    assert task["error"] is None
    assert task["result"] == {"file": "flowers.html"}
    saved = browser.get("/api/task/file", params={"name": task["name"]})
    assert 'filename="flowers.html"' in saved.headers["content-disposition"]
    assert saved.text == "flowers web cc0-1.0"
    shown = browser.get("/exported", params={"name": task["name"]})
    assert shown.text == saved.text
    policy = shown.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts")
    assert "allow-same-origin" not in policy
    assert "default-src 'none'" in policy


def test_an_onnx_file_is_exported(browser, run):
    task = finished(browser, browser.post("/api/share/export", json={"source": "flowers", "ending": ".onnx"}).json())
    assert task["error"] is None
    assert b"handful" in browser.get("/api/task/file", params={"name": task["name"]}).content
    assert browser.get("/exported", params={"name": task["name"]}).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        {"ending": ".py"},
        {"ending": ".html", "license": "x" * 200},
        {"ending": ".html", "license": ["a"]},
        {"ending": ".html", "source": "../flowers"},
        {},
    ],
)
def test_an_export_that_makes_no_sense_is_not_begun(browser, run, body):
    assert browser.post("/api/share/export", json={"source": "flowers"} | body).status_code == 400


def test_a_run_without_a_model_says_so(browser, run):
    (run / "model" / "model.safetensors").unlink()
    task = finished(browser, browser.post("/api/share/export", json={"source": "flowers", "ending": ".html"}).json())
    assert "has not written its first model yet" in task["error"]


def test_a_push_is_private_unless_that_was_asked_for(browser, run, logged_in, monkeypatch):
    pushed = []

    def push(*arguments: object) -> str:
        pushed.append(arguments)
        return "https://hub/me/birds"

    monkeypatch.setattr(sharing, "push", push)
    task = finished(browser, browser.post("/api/share/push", json=PUSH).json())
    assert task["result"] == {"address": "https://hub/me/birds"}
    open_to_all = PUSH | {"public": True, "license": "mit", "pictures": False}
    finished(browser, browser.post("/api/share/push", json=open_to_all).json())
    assert pushed == [(run, "me/birds", False, None, True), (run, "me/birds", True, "mit", False)]


@pytest.mark.parametrize(
    ("change", "words"),
    [({"repository": "birds"}, "owner/name"), ({"public": True}, "licence"), ({"source": "nothing"}, "not there")],
)
def test_a_push_that_the_hub_would_refuse_is_not_begun(browser, run, logged_in, change, words):
    answer = browser.post("/api/share/push", json=PUSH | change)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_a_machine_that_is_not_logged_in_says_how_to(browser, run, monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    assert browser.get("/api/share").json()["logged_in"] is False
    assert "hf auth login" in browser.post("/api/share/push", json=PUSH).json()["error"]


def test_what_the_hub_says_reaches_the_page_and_the_token_does_not(browser, run, logged_in, monkeypatch):
    def refuse(*arguments: object) -> str:
        raise UsageError("me/birds: the Hub did not take it (403); check the name")

    monkeypatch.setattr(sharing, "push", refuse)
    assert "hf_secret" not in browser.get("/api/share").text
    task = finished(browser, browser.post("/api/share/push", json=PUSH).json())
    assert "the Hub did not take it" in task["error"]
    assert "hf_secret" not in json.dumps(task)


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr(sharing, "find_spec", lambda name: None)
    assert sharing.ways() == {
        "lacking": {"onnx": ["onnx", "onnxruntime"], "web": [], "hub": ["huggingface_hub", "onnx", "onnxruntime"]},
        "logged_in": False,
    }
