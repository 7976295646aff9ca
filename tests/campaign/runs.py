"""Faults that meet a run: kills, errors of the system, signals, damaged files."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from campaign.faults import KILLED, Fault
from campaign.tries import attempt, difference, held, train

ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EDQUOT)

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")

DAMAGES = ("cut", "empty", "zeros", "one bit", "other", "missing")


@dataclass(frozen=True)
class Result:
    """A try, and what went wrong; None if it ended as promised."""

    part: str
    what: str
    fault: str | None


@dataclass(frozen=True)
class Bench:
    """What all tries start from."""

    folder: Path
    photos: Path
    whole: Path
    """A run of four steps that met no fault."""
    expected: dict[str, str]
    operations: list[str]
    """The file operations of that run."""
    short: bool
    share: int = 0
    shares: int = 1

    def sample(self, count: int, few: int) -> list[int]:
        """Return numbers from 1 to ``count``: every one of this share, or ``few`` in the short form."""
        numbers = range(1 + self.share, count + 1, self.shares)
        return [*numbers] if not self.short else sorted(random.Random(0).sample(numbers, min(few, count)))

    def fresh(self) -> Path:
        """Return an empty run folder."""
        shutil.rmtree(self.folder / "run", ignore_errors=True)
        return self.folder / "run"

    def copy(self) -> Path:
        """Return a copy of the whole run."""
        run = self.fresh()
        shutil.copytree(self.whole, run)
        return run


def build(folder: Path, photos: Path, short: bool) -> Bench:
    """Train the run that the others are compared with, and list its file operations."""
    whole, counted = folder / "whole", folder / "operations.json"

    def count() -> None:
        fault = Fault(whole)
        fault.install()
        real = os._exit

        def leave(code: int) -> None:
            with counted.open("w") as file:
                json.dump(fault.names, file)
            real(code)

        os._exit = leave

    done = attempt(train(photos, whole), count)
    assert done.code == 0, done.text
    return Bench(folder, photos, whole, held(whole), json.loads(counted.read_text()), short)


def kills(bench: Bench) -> Iterator[Result]:
    """Kill a run at every file operation, and resume it."""
    for number in bench.sample(len(bench.operations), 2):
        run = bench.fresh()
        what = f"killed at {bench.operations[number - 1]}"
        died = attempt(train(bench.photos, run), Fault(run, number).install)
        fault = None if died.code == KILLED else f"exit code {died.code}"
        yield Result("kills at a file operation", what, fault or resumed(bench, run))


def resumed(bench: Bench, run: Path) -> str | None:
    """Resume a run, and return how it differs from one that met no fault; None if it does not."""
    done = attempt(train(bench.photos, run))
    if done.code != 0:
        return done.fault or f"does not resume: {done.text.strip()[-200:]}"
    return difference(run, bench.expected)


def errors(bench: Bench) -> Iterator[Result]:
    """Let every file operation fail with every errno, by turns once and from then on; then resume."""
    for number in bench.sample(len(bench.operations), 2):
        for index in [number % len(ERRORS)] if bench.short else range(len(ERRORS)):
            error, lasting = ERRORS[index], bool((number // len(ERRORS) + index) % 2)
            run = bench.fresh()
            what = f"{errno.errorcode[error]}{' from then on' if lasting else ''} at {bench.operations[number - 1]}"
            ended = attempt(train(bench.photos, run), Fault(run, number, error, lasting).install)
            fault = ended.fault
            if fault is None and ended.code != 0 and len(ended.text.strip().splitlines()[-1]) > 500:
                fault = "more than a line of error"
            yield Result("errors of the system at a file operation", what, fault or completed(bench, run))


def completed(bench: Bench, run: Path) -> str | None:
    """As ``resumed``, but files that the fault kept from being written once may be missing if they can be spared."""
    done = attempt(train(bench.photos, run))
    if done.code != 0:
        return done.fault or f"does not resume: {done.text.strip()[-200:]}"
    own = held(run)
    spared = {name: own.get(name) for name in bench.expected if name.startswith(("samples/", "log ", "best/"))}
    expected = {name: value for name, value in bench.expected.items() if name not in spared}
    expected |= {name: value for name, value in spared.items() if value is not None}
    return difference(run, expected)


def signals(bench: Bench) -> Iterator[Result]:
    """Send every signal at some moment after the first checkpoint, and resume."""
    for index, name in enumerate(SIGNALS[:: 4 if bench.short else 1]):
        run = bench.fresh()

        def send(child: int, run: Path = run, name: str = name, index: int = index) -> None:
            until = time.monotonic() + 60
            while not (run / "checkpoints" / "step-00000002").exists() and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(0.03 * index)
            os.kill(child, getattr(signal, name))

        def usual() -> None:
            for other in SIGNALS:
                signal.signal(getattr(signal, other), signal.SIG_DFL)

        ended = attempt(train(bench.photos, run, steps=100_000), usual, send)
        fault = ended.fault or (None if ended.code == 0 else f"exit code {ended.code}")
        steps = [int(path.name[5:]) for path in run.glob("checkpoints/step-*")]
        logged = json.loads((run / "log.jsonl").read_text().splitlines()[-1])["step"] if fault is None else 0
        if fault is None and max(steps) != logged:
            fault = f"saved step {max(steps)} of {logged}"
        yield Result("signals", name, fault)


def damage(path: Path, how: str) -> None:
    """Damage a file."""
    data = path.read_bytes()
    match how:
        case "cut":
            path.write_bytes(data[: len(data) * 2 // 3])
        case "empty":
            path.write_bytes(b"")
        case "zeros":
            path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
        case "one bit":
            middle = len(data) * 3 // 5
            path.write_bytes(data[:middle] + bytes([data[middle] ^ 8]) + data[middle + 1 :])
        case "other":
            path.write_bytes(b'[{"a": null}, 3]\n')
        case "missing":
            path.unlink()


def damages(bench: Bench) -> Iterator[Result]:
    """Damage every file of a run, and resume it, draw from it, report and evaluate it."""
    files = sorted(str(path.relative_to(bench.whole)) for path in bench.whole.rglob("*") if path.is_file())
    cases = [(name, how) for name in files if not name.startswith(".") for how in DAMAGES]
    for name, how in random.Random(1).sample(cases, 2) if bench.short else cases:
        out = bench.folder / "out"
        for command in ("train", "generate", "report", "evaluate"):
            # Nothing but training reads a checkpoint or a grid.
            if command != "train" and (bench.short or name.startswith(("checkpoints/", "samples/"))):
                continue
            run = bench.copy()
            shutil.rmtree(out, ignore_errors=True)
            damage(run / name, how)
            arguments = {
                "train": train(bench.photos, run),
                "generate": ["generate", str(run), "--seeds", "0-1", "--out", str(out), "--device", "cpu"],
                "report": ["report", str(run), "--device", "cpu"],
                "evaluate": ["evaluate", str(run), str(bench.photos), "--device", "cpu"],
            }[command]
            ended = attempt(arguments)
            fault = ended.fault
            if fault is None and ended.code == 0 and command == "train":
                kept = {
                    key: value for key, value in bench.expected.items() if not key.startswith("log ") and key != name
                }
                own = held(run)
                wrong = [key for key, value in kept.items() if key in own and own[key] != value]
                fault = f"differs: {wrong}" if wrong else None
            yield Result("damaged files of a run", f"{command} with {name}: {how}", fault)
