"""What the studio reads: the folder of runs and allowed folders, also through links."""

import json

import pytest

from handful.errors import UsageError
from handful.studio.places import DEPTH, Places
from studio.conftest import connect, write_run

OUTSIDE = ["..", "../outside", "../../etc/passwd", "/etc/passwd", "flowers/../../outside", "link", "a\0b", "", "."]


@pytest.fixture
def outside(runs, tmp_path, photos):
    """A run beside the folder of runs, and a link to it from within."""
    folder = write_run(tmp_path / "outside", photos)
    (runs / "link").symlink_to(folder)
    return folder


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_name_leads_out_of_the_folder_of_runs(browser, run, outside, name):
    for path in ("/api/run", "/api/run/sample", "/api/run/pairs", "/report"):
        assert browser.get(path, params={"name": name, "step": 4}).status_code == 400
    for action in ("stop", "resume", "delete"):
        assert browser.post(f"/api/run/{action}", json={"name": name}).status_code == 400
    assert (outside / "config.json").exists()


def test_a_run_behind_a_link_out_is_not_listed(browser, run, outside):
    assert [card["name"] for card in browser.get("/api/runs").json()["runs"]] == ["flowers"]


@pytest.mark.parametrize("name", ["..", "../outside", "/etc", "link"])
def test_no_model_is_opened_outside(browser, run, outside, name):
    assert browser.get("/api/model", params={"source": name}).status_code == 400
    with connect(browser, name) as socket:
        assert "lies outside" in socket.receive_json()["error"]


def test_files_of_a_run_that_are_links_out_are_not_shown(browser, run, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    for name in ("report.html", ".output", "samples/step-00000009.png"):
        (run / name).symlink_to(secret)
    assert "the secret" not in browser.get("/api/run?name=flowers").text
    assert browser.get("/report?name=flowers").status_code == 400
    answer = browser.get("/api/run/sample?name=flowers&step=9")
    assert answer.status_code == 400
    assert "secret" not in answer.text


def test_training_images_are_read_in_allowed_folders_only(browser, run, photos, tmp_path):
    query = {"name": "flowers", "file": "00.png"}
    assert browser.get("/api/run/training", params=query).content.startswith(b"\x89PNG")
    for name in ("../outside.png", "/etc/passwd", "nothing.png"):
        assert browser.get("/api/run/training", params=query | {"file": name}).status_code == 400
    config = json.loads((run / "config.json").read_text())
    config["options"]["images"] = "/etc"
    (run / "config.json").write_text(json.dumps(config))
    assert browser.get("/api/run/training", params=query).status_code == 400


def test_runs_are_found_in_folders_of_folders_up_to_a_depth(runs, photos):
    deep = runs.joinpath(*"abcdef"[: DEPTH - 1], "run")
    write_run(deep, photos, model=False)
    write_run(runs.joinpath(*"xyzvwu"[:DEPTH], "too-deep"), photos, model=False)
    write_run(runs / ".hidden" / "run", photos, model=False)
    places = Places(runs)
    assert [places.name_of(path) for path in places.find_runs()] == ["a/b/c/run"]


def test_a_circle_of_links_ends(runs, run):
    (runs / "circle").symlink_to(runs)
    assert len(list(Places(runs).find_runs())) < 10


def test_a_name_of_a_missing_run_says_so(runs):
    with pytest.raises(UsageError, match="there is no such run"):
        Places(runs).run("nothing")


@pytest.mark.parametrize("name", ["../studio.js", "%2e%2e/server.py", "server.py", "home.html", "nothing.css"])
def test_static_files_are_those_that_pages_load(browser, name):
    assert browser.get(f"/static/{name}").status_code == 404
