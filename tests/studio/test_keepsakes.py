"""Films, neighbours and photos: work that takes long."""

import io
import os
import shutil
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from handful.errors import UsageError
from handful.explore.project import Effort, project
from handful.progress import advance
from handful.studio import keepsakes, tasks
from handful.studio.tasks import Tasks
from studio.test_new_runs import finished, picture
from support.models import made

SEED_1 = {"corners": ["1"]}


def test_a_film_walks_from_picture_to_picture(browser, run, monkeypatch):
    monkeypatch.setattr("handful.studio.keepsakes.FPS", 4)
    monkeypatch.setattr("handful.studio.keepsakes.find_spec", lambda name: None)
    body = {"source": "flowers", "pictures": [SEED_1, {"corners": ["2"]}], "seconds": 1}
    task = finished(browser, browser.post("/api/film", json=body).json())
    assert task["error"] is None
    assert task["done"] == task["total"] == 5
    answer = browser.get("/api/task/file", params={"name": task["name"]})
    assert "attachment" in answer.headers["content-disposition"]
    assert Image.open(io.BytesIO(answer.content)).n_frames == 5


@pytest.mark.parametrize(
    "body", [{"pictures": [SEED_1]}, {"pictures": [SEED_1] * 2, "seconds": 1e9}, {"pictures": "all"}]
)
def test_a_film_that_makes_no_sense_is_not_begun(browser, run, body):
    assert browser.post("/api/film", json={"source": "flowers"} | body).status_code == 400


def test_a_grid_has_its_pictures_at_full_size(browser, run):
    body = {"source": "flowers", "pictures": [{"corners": [str(seed)]} for seed in range(4)]}
    task = finished(browser, browser.post("/api/grid", json=body).json())
    grid = Image.open(io.BytesIO(browser.get("/api/task/file", params={"name": task["name"]}).content))
    assert grid.size == (66, 66)
    own = made().images([3])[0].convert("RGB")
    assert grid.crop((34, 34, 66, 66)).tobytes() == own.tobytes()


def test_a_grid_too_large_for_the_memory_is_not_begun(browser, run, monkeypatch):
    monkeypatch.setattr(keepsakes, "MAX_GRID_PIXELS", 2_000)
    body = {"source": "flowers", "pictures": [SEED_1] * 2}
    assert "choose fewer" in browser.post("/api/grid", json=body).json()["error"]


def test_files_of_work_are_deleted_once_it_is_forgotten_and_when_the_studio_closes(monkeypatch):
    monkeypatch.setattr(tasks, "MAX_KEPT", 1)
    work = Tasks()
    files = []
    for number in range(3):
        task = work.add_file("writing", f"{number}.png", lambda path: path.write_bytes(b"x"))
        while not task.is_over:
            time.sleep(0.01)
        files.append(task.result.path)
    assert [file.exists() for file in files] == [False, False, True]
    work.close()
    assert not work.folder.exists()


def test_the_folder_of_a_studio_that_was_killed_is_deleted_and_that_of_one_that_lives_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    living, foreign = Tasks(), tmp_path / "handful-studio-mine"
    killed = Path(shutil.copytree(living.folder, tmp_path / "handful-studio-killed"))
    fresh = Path(shutil.copytree(living.folder, tmp_path / "handful-studio-fresh"))
    foreign.mkdir()
    for folder in (living.folder, killed):
        os.utime(folder / tasks.LOCK, (0, 0))
    tasks.remove_left_over()
    assert set(tmp_path.iterdir()) == {living.folder, foreign, fresh}
    living.close()


def test_neighbours_are_training_images_with_their_distance(browser, run):
    body = {"source": "flowers", "picture": SEED_1}
    found = finished(browser, browser.post("/api/neighbours", json=body).json())["result"]
    assert len(found["neighbours"]) == 4
    ratios = [near["ratio"] for near in found["neighbours"]]
    assert ratios == sorted(ratios)
    assert found["neighbours"][0]["picture"].startswith("data:image/png;base64,")
    assert found["copy"] is False


def test_a_photo_becomes_latents_to_go_on_from(browser, run, monkeypatch):
    monkeypatch.setattr("handful.studio.likeness.project", partial(project, effort=Effort(2, 1, 0, 1, 1)))
    answer = browser.post("/api/project?source=flowers&file=../my face.jpg", content=picture())
    task = finished(browser, answer.json())
    assert task["error"] is None
    assert task["result"]["name"] == "my face"
    drawn = browser.get("/api/picture", params={"source": "flowers", "picture": '{"corners": ["my face"]}'})
    assert drawn.content.startswith(b"\x89PNG")


def test_a_photo_that_is_none_is_told_by_its_name(browser, run):
    answer = browser.post("/api/project?source=flowers&file=face.jpg", content=b"no picture")
    error = finished(browser, answer.json())["error"]
    assert "face.jpg" in error
    assert "/tmp" not in error


def test_work_shows_its_progress_and_waits_in_a_bounded_line(monkeypatch):
    monkeypatch.setattr(tasks, "MAX_WAITING", 2)
    work, go = Tasks(), threading.Event()

    def first() -> str:
        advance("counting", 1, 3)
        go.wait(10)
        return "done"

    task = work.add("beginning", first)
    while task.total == 0:
        time.sleep(0.01)
    assert (task.what, task.done, task.total) == ("counting", 1, 3)
    work.add("next", lambda: None)
    with pytest.raises(UsageError, match="wait already"):
        work.add("one too many", lambda: None)
    go.set()
    while not task.is_over:
        time.sleep(0.01)
    assert task.result == "done"
    work.thread.shutdown()


def test_work_that_is_not_known_says_what_to_do(browser):
    answer = browser.get("/api/task?name=nothing")
    assert answer.status_code == 400
    assert "start it again" in answer.json()["error"]
