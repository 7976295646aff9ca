"""What is too much: uploads, files, pixels, and the memory of a long session."""

import asyncio
import itertools
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from urllib.parse import urlencode

import pytest

from handful.studio import pictures
from studio.conftest import HOST, TOKEN, search_path
from studio.test_new_runs import drop, dropped, finished, picture  # noqa: F401 - dropped is a fixture

MB = 1_000_000

PART = bytes(MB)


def resident_mb() -> float:
    """Return the memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MB


def send_parts(app, name: str, file: str, declared: int | None) -> tuple[int, int]:
    """Upload a file that never ends; return the answer's status and how many parts of 1 MB were read."""
    headers = {"host": HOST, "origin": f"http://{HOST}", "cookie": f"handful-studio-8765={TOKEN}"}
    if declared is not None:
        headers["content-length"] = str(declared)
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/api/upload",
        "raw_path": b"/api/upload",
        "query_string": urlencode({"set": name, "file": file}).encode(),
        "headers": [(key.encode(), value.encode()) for key, value in headers.items()],
    }
    read, statuses = itertools.count(), []

    async def receive() -> dict:
        next(read)
        return {"type": "http.request", "body": PART, "more_body": True}

    async def send(message: dict) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    asyncio.run(app(scope, receive, send))
    return statuses[0], next(read)


def test_an_upload_that_says_that_it_is_too_large_is_refused_before_it_is_read(browser, dropped):  # noqa: F811
    for file, declared in (("a.png", 101 * MB), ("a.zip", 2_001 * MB), ("a.zip", 10**30)):
        assert send_parts(browser.app, dropped, file, declared) == (400, 0)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from Linux")
def test_an_upload_without_an_end_is_cut_off_and_fills_neither_memory_nor_disk(browser, dropped, runs):  # noqa: F811
    before = resident_mb()
    status, read = send_parts(browser.app, dropped, "a.png", None)
    assert status == 400
    assert read == pictures.MAX_FILE_BYTES // MB + 1
    assert resident_mb() - before < 30
    assert list((runs / pictures.SETS / dropped).iterdir()) == []


def test_ten_thousand_files_are_too_many(browser, dropped, runs):  # noqa: F811
    folder = runs / pictures.SETS / dropped
    for index in range(pictures.MAX_FILES):
        (folder / f"{index}.png").touch()
    answer = drop(browser, dropped, "one-more.png", picture())
    assert answer.status_code == 400
    assert "put them in a folder" in answer.json()["error"]
    assert len(list(folder.iterdir())) == pictures.MAX_FILES


def bomb() -> bytes:
    """A PNG of 3.6 thousand million pixels in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def test_a_bomb_among_pictures_is_a_finding(browser, dropped):  # noqa: F811
    for index in range(2):
        source = drop(browser, dropped, f"{index}.png", picture()).json()["source"]
    drop(browser, dropped, "bomb.png", bomb())
    task = browser.post("/api/check", json={"source": source, "options": {"size": 32}}).json()
    found = finished(browser, task)["result"]
    assert found["images"] == 2
    assert any("bomb.png" in file["name"] for fault in found["findings"] for file in fault["files"])


def test_a_bomb_as_a_photo_or_among_the_samples_of_a_run_is_refused(browser, run):
    answer = browser.post("/api/project?source=flowers&file=bomb.png", content=bomb())
    assert "bomb.png" in finished(browser, answer.json())["error"]
    for content in (bomb(), b"no picture", b"\x89PNG\r\n\x1a\n"):
        (run / "samples" / "step-00000004.png").write_bytes(content)
        answer = browser.get("/api/run/sample?name=flowers&step=4&width=20")
        assert answer.status_code == 400
        assert "step-00000004.png" in answer.json()["error"]


def test_a_bomb_in_an_archive_is_passed_over(browser, dropped, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr("handful.data.archives.MAX_UNPACKED_BYTES", 50 * MB)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for index in range(2):
            archive.writestr(f"{index}.png", picture())
        with archive.open("bomb.png", "w", force_zip64=True) as file:
            for _ in range(51):
                file.write(PART)
    before = resident_mb()
    source = drop(browser, dropped, "bomb.zip", path.read_bytes()).json()["source"]
    task = finished(browser, browser.post("/api/check", json={"source": source, "options": {"size": 32}}).json())
    assert task["result"]["images"] == 2
    assert resident_mb() - before < 30


DRAG = """
import gc, os, random
from pathlib import Path
from handful.studio.engine import Engine
from handful.studio.explorer import framed
from handful.studio.recipe import Recipe
from support.models import made

engine, chance = Engine(Path(), made()), random.Random(0)
for _ in range(2):
    for _ in range(200):
        recipe = Recipe(tuple(str(chance.randrange(50)) for _ in range(4)), (chance.random(), chance.random()))
        framed(1, engine.thread.submit(engine.draw, recipe).result())
    gc.collect()
    print(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from Linux")
def test_an_hour_of_dragging_in_short_does_not_fill_the_memory():
    """An hour draws 100,000 pictures: 1 kB left of each would be 100 MB. The script is not checked for types."""
    environment = os.environ | {"PYTHONPATH": search_path()}
    done = subprocess.run([sys.executable, "-c", DRAG], capture_output=True, text=True, check=True, env=environment)
    before, after = map(int, done.stdout.split())
    assert after - before < 200 * 1000
