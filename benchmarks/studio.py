"""Measure how fast the studio draws: latency and rate of a page that drags, idle, with ten pages, beside training.

    python benchmarks/studio.py [--seconds 5] [--training] [--browser]

Starts a studio of its own with a fresh model at 64 px and plays a page: each wish is sent once the picture before it is
there. Prints median and 95th percentile of the time from a wish to its pixels, and pictures a second. With --browser it
also drags in Chromium, and prints how soon the studio starts and its first page is painted.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import torch
from PIL import Image
from websockets.sync.client import ClientConnection, connect

from handful.config.generator import GeneratorConfig
from handful.networks.calibrate import calibrate
from handful.networks.generator import Generator, initialise
from handful.sampling.model import Model

SIZE, WIDTH = 64, 8

PAGES = 10

NICENESS = 10
"""As the studio starts training with."""


def main() -> None:
    """Measure, and print a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement (default: 5)")
    parser.add_argument("--training", action="store_true", help="also measure beside a training run on all cores")
    parser.add_argument("--browser", action="store_true", help="also drag in Chromium, with its own drawing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder / "runs" / "model")
        since = time.perf_counter()
        studio, address = start_studio(folder)
        print(f"address printed after {time.perf_counter() - since:.2f} s")
        try:
            if arguments.browser:
                drag_in_browser("Chromium, idle", address, arguments.seconds)
            measure("one page, idle", address, 1, arguments.seconds)
            measure(f"{PAGES} pages at once", address, PAGES, arguments.seconds)
            before = memory_mb(studio.pid)
            measure("one page, again", address, 1, 4 * arguments.seconds)
            print(f"memory: {before:,.0f} MB, and {memory_mb(studio.pid):,.0f} MB after that")
            if arguments.training:
                training = start_training(folder)
                try:
                    measure("one page, beside training", address, 1, arguments.seconds)
                    if arguments.browser:
                        drag_in_browser("Chromium, beside training", address, arguments.seconds)
                finally:
                    training.kill()
                    training.wait()
        finally:
            studio.terminate()
            studio.wait()


def write_model(folder: Path) -> None:
    """Write a model whose weights are random; that draws as fast as a trained one."""
    network = Generator(GeneratorConfig(size=SIZE, width=WIDTH))
    initialise(network, torch.Generator().manual_seed(0))
    calibrate(network)
    Model(network).save(folder)


def start_studio(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """Start a studio, and return its process and address."""
    command = [sys.executable, "-m", "handful", "studio", str(folder / "runs"), "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def start_training(folder: Path) -> subprocess.Popen[bytes]:
    """Start a run that keeps all cores busy, and return it once it trains."""
    photos = folder / "photos"
    photos.mkdir()
    for index in range(24):
        Image.new("RGB", (SIZE, SIZE), (10 * index, 128, 255 - 10 * index)).save(photos / f"{index}.png")
    command = ["nice", "-n", str(NICENESS), sys.executable, "-m", "handful", "train", str(photos)]
    run = folder / "run"
    process = subprocess.Popen(
        [*command, "--run", str(run), "--preset", "tiny", "--score-every", "0", "--log-every", "1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not (run / "log.jsonl").exists() and process.poll() is None:
        time.sleep(0.2)
    return process


@contextmanager
def opened(address: str) -> Iterator[ClientConnection]:
    """Open the socket of a page, wait for its first words, and close it at the end."""
    match = re.fullmatch(r"http://([\d.]+:(\d+))/\?token=(\S+)", address)
    assert match is not None
    host, port, token = match.groups()
    headers = {"Cookie": f"handful-studio-{port}={token}"}
    with connect(
        f"ws://{host}/api/draw?source=model", origin=f"http://{host}", additional_headers=headers, compression=None
    ) as page:
        page.recv()  # the directions are found
        yield page


def drag(page: ClientConnection, seconds: float, times: list[float]) -> None:
    """Drag over the pad for so long, and note how long each picture takes."""
    ends = time.monotonic() + seconds
    number = 0
    with suppress(TimeoutError):
        while time.monotonic() < ends:
            number += 1
            at = [number % 97 / 97, number % 89 / 89]
            picture = {"corners": ["0", "1", "2", "3"], "at": at, "moves": {"0": 2.0}}
            since = time.perf_counter()
            page.send(json.dumps({"id": number, "picture": picture}))
            page.recv(30)
            times.append(time.perf_counter() - since)


def measure(name: str, address: str, count: int, seconds: float) -> None:
    """Let so many pages drag at once, and print what each sees."""
    times: list[list[float]] = [[] for _ in range(count)]
    with ExitStack() as stack:
        pages = [stack.enter_context(opened(address)) for _ in range(count)]
        drag(pages[0], 0.5, [])
        threads = [
            threading.Thread(target=drag, args=(page, seconds, found)) for page, found in zip(pages, times, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    all_times = sorted(1000 * value for found in times for value in found)
    high = all_times[int(0.95 * (len(all_times) - 1))]
    rate = len(all_times) / seconds / count
    print(f"{name}: median {statistics.median(all_times):.1f} ms, 95 % {high:.1f} ms, {rate:.0f} pictures/s a page")


def drag_in_browser(name: str, address: str, seconds: float) -> None:
    """Drag over the pad in Chromium, and print what the page measures from a wish to its painted canvas."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(120_000)
        page.goto(address)
        page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
        painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        page.goto(address.split("/?")[0] + "/explore?source=model")
        page.wait_for_selector("#directions input[type=range]")
        page.wait_for_timeout(2_000)  # for the wall
        box = page.locator("#pad").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 5, box["y"] + 5)
        page.mouse.down()
        before, ends = page.evaluate("studioTimes.length"), time.monotonic() + seconds
        while time.monotonic() < ends:
            x, y = 0.5 + 0.4 * math.sin(3 * time.monotonic()), 0.5 + 0.4 * math.cos(2 * time.monotonic())
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        times = sorted(page.evaluate("studioTimes")[before:])
        browser.close()
    high = times[int(0.95 * (len(times) - 1))]
    print(
        f"{name}: median {statistics.median(times):.1f} ms, 95 % {high:.1f} ms, {len(times) / seconds:.0f} pictures/s; "
        f"first paint after {painted:.0f} ms"
    )


def memory_mb(pid: int) -> float:
    """Return the memory of a process, in MB; NaN where the system does not tell."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return float("nan")
    return int(pages) * 4096 / 1e6


if __name__ == "__main__":
    main()
