"""One try: a command in a process of its own, forked from one that has imported all, and what a run then holds."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from handful.cli.main import main

CRASHED = 70
"""Exit code for an exception that no one expected."""

HUNG = 124


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    text: str
    """What it printed."""

    @property
    def fault(self) -> str | None:
        """What no command may do, whatever it is given; None if it did not."""
        if self.code == HUNG:
            return "did not end"
        if self.code == CRASHED or "Traceback" in self.text:
            return f"traceback: {self.text.strip().splitlines()[-1][:200]}"
        if self.code < 0:
            return f"ended by signal {-self.code}"
        return None


def attempt(
    arguments: list[str],
    prepare: Callable[[], None] = lambda: None,
    during: Callable[[int], None] = lambda child: None,
    seconds: float = 120.0,
) -> Outcome:
    """Carry out a command in a child process.

    Args:
        arguments: The command line.
        prepare: Called in the child first, as to install a fault.
        during: Called in this process with the child's id, as to send a signal.
        seconds: After so long the command is taken to hang.
    """
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            for descriptor in (1, 2):
                os.dup2(output.fileno(), descriptor)
            code = CRASHED
            try:
                prepare()
                code = main(arguments)
            except SystemExit as error:
                code = error.code if isinstance(error.code, int) else 1
            except BaseException:
                traceback.print_exc()
            os._exit(code)
        during(child)
        code = wait(child, seconds)
        output.seek(0)
        return Outcome(code, output.read().decode(errors="replace"))


def wait(child: int, seconds: float) -> int:
    """Return a child's exit code, negative for a signal."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return HUNG


def train(photos: Path, run: Path, steps: int = 4, **options: object) -> list[str]:
    """Return the command line of a tiny run, without projected heads, which take most of its time."""
    given = {"preset": "tiny", "size": 32, "width": 8, "channels": 3, "batch": 2, "device": "cpu", "precision": "fp32"}
    given |= {"compile": "off", "steps": steps, "checkpoint-every": 2, "log-every": 1, "sample-every": 2}
    given |= {"score-every": 2, "score-features": "random", "projected-weight": 0, "run": run} | options
    return [
        "train",
        str(photos),
        "--no-report",
        *(str(part) for pair in given.items() for part in (f"--{pair[0]}", pair[1])),
    ]


def held(run: Path) -> dict[str, str]:
    """Return hashes of all that a run must end with: weights, optimisers, grids, losses and scores."""
    found = {}
    for path in sorted([*run.glob("checkpoints/step-*/*"), *run.glob("model/*"), *run.glob("best/*.safetensors")]):
        if path.suffix == ".safetensors" and ".damaged" not in str(path):
            found[str(path.relative_to(run))] = digest_of(path)
    for path in sorted(run.glob("samples/*.png")):
        found[str(path.relative_to(run))] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    timed = ("seconds", "seconds_left", "images_per_second", "peak_memory_mb", "score_seconds")
    log = run / "log.jsonl"
    for line in log.read_text().splitlines() if log.exists() else []:
        entry = {name: value for name, value in json.loads(line).items() if name not in timed}
        found[f"log {entry['step']}"] = json.dumps(entry, sort_keys=True)
    return found


def digest_of(path: Path) -> str:
    """Return a hash of a file's tensors, or that it cannot be read."""
    try:
        tensors = load_file(path)
    except SafetensorError:
        return "cannot be read"
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + bytes(tensors[name].contiguous().view(-1).numpy().data))
    return digest.hexdigest()[:16]


def difference(run: Path, expected: dict[str, str]) -> str | None:
    """Return how a run differs from one that met no fault; None if it does not."""
    left = [str(path.relative_to(run)) for path in run.rglob(".*.part")]
    if left:
        return f"left behind: {', '.join(left)}"
    try:
        own = held(run)
    except (OSError, ValueError) as error:
        return f"cannot be read: {error}"
    names = sorted(name for name in own.keys() | expected.keys() if own.get(name) != expected.get(name))
    return f"differs: {', '.join(names[:5])}" if names else None
