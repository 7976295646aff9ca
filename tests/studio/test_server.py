"""The studio as it starts: its address first, torch later."""

import asyncio
import logging
import subprocess
import sys

from handful.studio.server import is_news

FIRST_PAGE = """
import sys
from pathlib import Path
from starlette.testclient import TestClient
from handful.studio.places import Places
from handful.studio.server import build
with TestClient(build(Places(Path(sys.argv[1])), "token", "127.0.0.1", 80), base_url="http://127.0.0.1:80") as client:
    for path in ("/?token=token", "/", "/static/home.js", "/api/runs", "/api/models"):
        assert client.get(path, headers={"host": "127.0.0.1:80"}).status_code == 200, path
assert not {"torch", "numpy"} & set(sys.modules)
"""


def test_the_first_page_and_its_runs_wait_for_neither_torch_nor_numpy(tmp_path):
    subprocess.run([sys.executable, "-W", "ignore", "-c", FIRST_PAGE, str(tmp_path)], check=True)


def test_ctrl_c_is_no_error_and_a_bug_is():
    def record(text: str, error: BaseException | None) -> logging.LogRecord:
        info = None if error is None else (type(error), error, None)
        return logging.LogRecord("uvicorn.error", logging.ERROR, "", 0, text, (), info)

    assert not is_news(record("Exception in ASGI application", asyncio.CancelledError()))
    assert not is_news(record("Cancel 1 running task(s), timeout graceful shutdown exceeded", None))
    assert is_news(record("Exception in ASGI application", ValueError()))
