"""Pictures from this machine or dropped, examined, and a run started on them."""

import io
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from handful.studio import new_runs, pictures
from handful.studio.places import Places
from handful.studio.processes import NICENESS, Processes, lower_priority, spelled


def finished(browser, task: dict) -> dict:
    """Wait for a piece of work."""
    while not task["is_over"]:
        time.sleep(0.01)
        task = browser.get("/api/task", params={"name": task["name"]}).json()
    return task


@pytest.fixture
def dropped(browser) -> str:
    """The name of a set that is about to be dropped."""
    return browser.post("/api/set", json={"name": "my photos"}).json()["set"]


def drop(browser, name: str, file: str, content: bytes):
    """Drop a file."""
    return browser.post("/api/upload", params={"set": name, "file": file}, content=content)


def picture(colour: str = "teal") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 40), colour).save(file, "PNG")
    return file.getvalue()


def test_the_browser_of_folders_shows_allowed_ones_only(browser, runs, photos, tmp_path):
    top = browser.get("/api/folders").json()["folders"]
    assert [folder["path"] for folder in top] == [str(runs), str(photos)]
    shown = browser.get("/api/folders", params={"path": str(photos)}).json()
    assert shown["pictures"] == 12
    assert [parent["path"] for parent in shown["parents"]] == [str(photos)]
    (runs / "link").symlink_to(tmp_path)
    assert browser.get("/api/folders", params={"path": str(runs)}).json()["folders"] == []
    for path in ("/", "/etc", str(tmp_path), str(runs / "link"), str(photos / ".."), str(photos / "00.png")):
        assert browser.get("/api/folders", params={"path": path}).status_code == 400


def test_pictures_that_are_dropped_lie_in_a_set_of_their_own(browser, dropped, runs):
    answer = drop(browser, dropped, "one.PNG", picture())
    assert answer.json()["source"] == str(runs / pictures.SETS / "my photos")
    assert (runs / pictures.SETS / "my photos" / "one.png").read_bytes() == picture()
    assert browser.post("/api/set", json={"name": "my photos"}).json()["set"] == "my photos 2"
    assert browser.get("/api/runs").json()["runs"] == []


@pytest.mark.parametrize(
    "name",
    ["../../evil.png", "/etc/evil.png", "..\\evil.png", "\0.png", "..png", " .png", "a\x1b[2J.png", "x" * 300 + ".png"],
)
def test_no_name_of_a_file_leads_out_of_the_set(browser, dropped, runs, tmp_path, name):
    before = set(tmp_path.rglob("*"))
    answer = drop(browser, dropped, name, picture())
    made = set(tmp_path.rglob("*")) - before
    folder = runs / pictures.SETS / dropped
    assert answer.status_code == (200 if made else 400)
    assert all(path.parent == folder and path.name.isprintable() and path.name[0] != "." for path in made)


@pytest.mark.parametrize("name", ["page.html", "model.safetensors", "script.py", "nothing", ".png"])
def test_other_files_are_refused(browser, dropped, name):
    answer = drop(browser, dropped, name, b"x")
    assert answer.status_code == 400
    assert "no picture and no zip" in answer.json()["error"]


@pytest.mark.parametrize("name", ["..", "../runs", "nothing", "/etc", ".hidden"])
def test_nothing_is_stored_elsewhere(browser, runs, name):
    assert drop(browser, name, "a.png", picture()).status_code == 400


def test_what_is_dropped_is_bounded_in_size_and_count(browser, dropped, runs, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_FILE_BYTES", 1_000)
    folder = runs / pictures.SETS / dropped
    answer = drop(browser, dropped, "large.png", b"x" * 1_001)
    assert answer.status_code == 400
    assert "too large" in answer.json()["error"]
    assert list(folder.iterdir()) == []
    monkeypatch.setattr(pictures, "MAX_FILES", 2)
    answers = [drop(browser, dropped, f"{index}.png", picture()).status_code for index in range(3)]
    assert answers == [200, 200, 400]
    monkeypatch.setattr(pictures, "MAX_SET_BYTES", 1)
    assert drop(browser, dropped, "0.png", picture()).status_code == 400
    assert (folder / "0.png").read_bytes() == picture()


def test_a_checkup_is_shown_with_pictures_and_copies_can_be_left_out(browser, photos, runs, tmp_path):
    folder = runs / "twice"
    shutil.copytree(photos, folder)
    shutil.copyfile(photos / "00.png", folder / "again.png")
    (folder / "broken.png").write_bytes(b"no picture")
    task = browser.post("/api/check", json={"source": "twice", "options": {"size": 32}}).json()
    found = finished(browser, task)["result"]
    assert found["images"] == 13
    assert len(found["sheet"]) == 13
    copies = next(fault for fault in found["findings"] if "exact cop" in fault["what"])
    assert copies["extra"] == ["again.png"] or copies["extra"] == ["00.png"]
    assert copies["files"][0]["picture"].startswith("data:image/png")
    made = browser.post("/api/leave-out", json={"source": "twice", "files": copies["extra"]}).json()["source"]
    again = finished(browser, browser.post("/api/check", json={"source": made, "options": {"size": 32}}).json())[
        "result"
    ]
    assert again["images"] == 12
    assert len(list(folder.iterdir())) == 14


def test_an_archive_is_checked_like_a_folder(browser, dropped, photos):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for path in photos.iterdir():
            archive.write(path, path.name)
        archive.writestr("../out.png", picture())
    source = drop(browser, dropped, "all.zip", file.getvalue()).json()["source"]
    found = finished(browser, browser.post("/api/check", json={"source": source, "options": {"size": 32}}).json())
    assert found["result"]["images"] >= 12


def test_pictures_of_an_archive_can_be_left_out_and_none_is_unpacked_elsewhere(browser, dropped, runs, tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("birds/a.png", "birds/b.png", "../out.png", "/etc/out.png"):
            archive.writestr(name, picture())
    source = drop(browser, dropped, "all.zip", file.getvalue()).json()["source"]
    before = set(tmp_path.rglob("*"))
    made = browser.post("/api/leave-out", json={"source": source, "files": ["birds/a.png"]}).json()["source"]
    files = {path for path in set(tmp_path.rglob("*")) - before if path.is_file()}
    assert {path.relative_to(made).as_posix() for path in files} == {"birds/b.png", "etc/out.png"}
    assert all(path.read_bytes() == picture() for path in files)


@pytest.mark.parametrize("limit", ["MAX_FILES", "MAX_FILE_BYTES", "MAX_SET_BYTES"])
def test_an_archive_that_holds_too_much_is_not_unpacked(browser, dropped, runs, monkeypatch, limit):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for index in range(4):
            archive.writestr(f"{index}.png", picture())
    source = drop(browser, dropped, "all.zip", file.getvalue()).json()["source"]
    before = set(runs.rglob("*"))
    monkeypatch.setattr(pictures, limit, 2)
    answer = browser.post("/api/leave-out", json={"source": source, "files": ["0.png"]})
    assert answer.status_code == 400
    assert "unpack" in answer.json()["error"]
    assert set(runs.rglob("*")) == before


def test_work_that_fails_says_why(browser, dropped, runs):
    source = str(runs / pictures.SETS / dropped)
    found = finished(browser, browser.post("/api/check", json={"source": source, "options": {"size": "odd"}}).json())
    assert "--size" in found["error"]


def test_a_new_run_is_a_command_of_its_own(browser, runs, photos, monkeypatch):
    started = []
    monkeypatch.setattr(Processes, "train", lambda self, *arguments: started.append(arguments))
    body = {"source": str(photos), "name": "first", "options": {"preset": "tiny", "steps": 4, "mirror": False}}
    assert browser.post("/api/start", json=body).json() == {"name": "first"}
    assert started == [(photos, runs / "first", ["--preset", "tiny", "--steps", "4", "--no-mirror"])]


@pytest.mark.parametrize(
    "options",
    [
        {"weights": "/etc"},
        {"from_": "/etc"},
        {"run": "/tmp"},
        {"images": "/"},
        {"steps": "--help"},
        {"steps": 0},
        {"size": [1]},
        {"preset": "huge"},
        {"--steps": 3},
    ],
)
def test_options_that_make_no_sense_start_nothing(browser, photos, runs, options):
    body = {"source": str(photos), "options": options}
    assert browser.post("/api/start", json=body).status_code == 400
    assert list(runs.iterdir()) == []


@pytest.mark.parametrize("name", ["..", "../a", "a/b", ".hidden", "a\0", "a\nb", "x" * 200])
def test_names_of_runs_are_plain(browser, photos, runs, name):
    answer = browser.post("/api/start", json={"source": str(photos), "name": name, "options": {}})
    assert answer.status_code == 400
    assert list(runs.iterdir()) == []


def test_a_name_that_is_taken_is_refused_and_one_is_made_where_none_is_given(run, runs, photos):
    places = Places(runs, [photos])
    with pytest.raises(ValueError, match="choose another"):
        new_runs.new_folder(places, photos, "flowers")
    assert new_runs.new_folder(places, photos, "").name == "photos"
    (runs / "photos").mkdir()
    assert new_runs.new_folder(places, photos, "").name == "photos 2"


def test_flags_and_values_are_spelled_as_the_command_line_takes_them():
    assert spelled({"mirror": True, "stop_when": "plateau", "minutes": 1.5}) == [
        "--mirror",
        "--stop-when",
        "plateau",
        "--minutes",
        "1.5",
    ]


def test_a_run_is_resumed_on_its_own_images(browser, run, photos, monkeypatch):
    started = []
    monkeypatch.setattr(Processes, "train", lambda self, *arguments: started.append(arguments))
    assert browser.post("/api/run/resume", json={"name": "flowers", "steps": 8}).status_code == 200
    assert started == [(photos, run, ["--steps", "8"])]
    config = json.loads((run / "config.json").read_text())
    config["options"]["images"] = "/nothing/here"
    (run / "config.json").write_text(json.dumps(config))
    answer = browser.post("/api/run/resume", json={"name": "flowers"})
    assert "no longer there" in answer.json()["error"]


@pytest.mark.processes
def test_a_run_is_a_process_that_can_be_stopped_and_resumed(browser, photos, runs, little):
    options = {"preset": "tiny", "size": 32, "steps": 100_000, "batch": 4, "score_every": 0}
    assert (
        browser.post("/api/start", json={"source": str(photos), "name": "live", "options": options}).status_code == 200
    )

    (card,) = browser.get("/api/runs").json()["runs"]
    assert (card["name"], card["state"]) == ("live", "preparing")

    def told() -> dict:
        return browser.get("/api/run?name=live").json()

    def wait_for(state: str) -> dict:
        for _ in range(1200):
            if (now := told())["state"] == state:
                return now
            time.sleep(0.1)
        raise AssertionError(told())

    wait_for("training")
    assert browser.post("/api/run/stop", json={"name": "live"}).status_code == 200
    stopped = wait_for("stopped")
    assert stopped["step"] > 0
    assert "stopping" in stopped["output"]
    steps = {"name": "live", "steps": stopped["step"] + 1}
    assert browser.post("/api/run/resume", json=steps).status_code == 200
    assert wait_for("finished")["step"] == stopped["step"] + 1


@pytest.mark.skipif(sys.platform != "linux", reason="sessions are scheduled as groups on Linux")
def test_the_priority_of_a_session_is_lowered_as_a_group():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as process:
        lower_priority(process.pid)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == NICENESS
        group = Path(f"/proc/{process.pid}/autogroup")
        assert not group.exists() or group.read_text().split()[-1] == str(NICENESS)
        process.communicate(b"\n")
