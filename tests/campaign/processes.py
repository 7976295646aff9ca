"""Two processes that ``torchrun`` started: one is killed or stopped, or their agent is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from campaign.runs import Bench, Result
from campaign.tries import train

SECONDS = 600
"""After so long a run of ten steps is taken to hang: a stopped process is noticed after five minutes."""


def start(bench: Bench, run: Path) -> subprocess.Popen[bytes]:
    """Start two processes that train ten steps, and may be restarted twice."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["--max-restarts", "2", "-m", "--", "handful", *train(bench.photos, run, steps=10)]
    with run.with_suffix(".out").open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=output)


def workers(agent: int) -> list[int]:
    """Return the processes that an agent has started, in order of rank."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == agent and fields[0] != "Z":
            found.append(int(path.parent.name))
    return sorted(found)


def processes(bench: Bench) -> Iterator[Result]:
    """Kill and stop each rank, and kill the agent."""
    cases = [(rank, number) for number in (signal.SIGKILL, signal.SIGSTOP) for rank in (0, 1)]
    for rank, number in [*cases, (None, signal.SIGKILL)]:
        run = bench.fresh()
        agent = start(bench, run)
        until = time.monotonic() + 120
        while not (run / "checkpoints" / "step-00000004").exists() and time.monotonic() < until:
            time.sleep(0.05)
        started = workers(agent.pid)
        fault = None if len(started) == 2 else "did not start"
        if rank is None:
            agent.kill()
            agent.wait()
            left = outlive(started)
            fault = fault or (f"processes outlive their agent: {left}" if left else None)
        elif fault is None:
            os.kill(started[rank], number)
            fault = await_end(agent, run)
        what = "agent" if rank is None else f"rank {rank}"
        yield Result("two processes under torchrun", f"{number.name} to the {what}", fault)


def outlive(started: list[int]) -> list[int]:
    """Return the processes that have not saved and ended within a minute."""
    until, left = time.monotonic() + 60, started
    while left and time.monotonic() < until:
        time.sleep(0.5)
        left = [pid for pid in left if Path(f"/proc/{pid}/exe").exists()]
    return left


def await_end(agent: subprocess.Popen[bytes], run: Path) -> str | None:
    """Wait until the restarted processes have trained to the end."""
    try:
        code = agent.wait(SECONDS)
    except subprocess.TimeoutExpired:
        agent.terminate()
        return "hangs"
    if code != 0:
        return f"exit code {code}"
    return None if (run / "checkpoints" / "step-00000010").exists() else "did not train to the end"
