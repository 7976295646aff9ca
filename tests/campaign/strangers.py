"""What strangers and users give: files of models and latents, command lines, arguments of functions."""

from __future__ import annotations

import inspect
import json
import math
import random
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import handful
from campaign.runs import Bench, Result
from campaign.tries import attempt
from handful.cli.command import COMMANDS
from handful.compute.tensor_files import write_tensors
from handful.config.train import TrainConfig, kinds
from handful.errors import HandfulError
from handful.sampling.latents import load_latents
from handful.sampling.load import load

WORDS = [
    "",
    "0",
    "-1",
    "1e999",
    "nan",
    "9" * 5000,
    "auto",
    "nowhere",
    "\x1b[2J",
    "猫",
    "a,b",
    "1-",
    "=",
    "--",
    "None",
    "[]",
]

VALUES = [
    None, True, 0, -1, 1.5, math.nan, math.inf, 10**400, "", "auto", "x" * 5000, b"x", [], [None], {}, (), (1, 2),
    object(), Path("nowhere"), np.int64(3), np.float32(0.5), np.zeros(2), len, int, 1j, range(3), set(),
    "\x1b[2J", "\0",
]  # fmt: skip

JSON = [None, True, -1, 0, 7, 1.5, 10**18, "", "x", "512", [], [1], {}, "\x1b[2J", "9" * 400]


def files(bench: Bench) -> Iterator[Result]:
    """Load models and latents whose bytes, header or options are not ours, with a limit on memory."""
    draw = random.Random(2)
    model = load(bench.whole / "model", "cpu")
    latents = bench.folder / "own.safetensors"
    model.latents(2).save(latents, model)
    sound = {"model": bench.whole / "model" / "model.safetensors", "latents": latents}
    tries = 12 if bench.short else 400
    for number in range(tries):
        kind = draw.choice(["model", "latents"])
        data = bytearray(sound[kind].read_bytes())
        path = bench.folder / f"odd-{kind}.safetensors"
        what = draw.choice(["bits", "cut", "header", "options", "noise"])
        spoil(data, what, draw)
        path.write_bytes(data)
        fault = None
        try:
            given = load(path, "cpu") if kind == "model" else load_latents(path, model)
            same = model.fingerprint == given.fingerprint if kind == "model" else len(given) == 2
            fault = None if same and what != "noise" else "was read, and is another"
        except HandfulError as error:
            if str(path) not in str(error) or not str(error).isprintable():
                fault = f"does not name the file: {error}"
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
        yield Result("strangers' models and latents", f"{kind} {number}: {what}", fault)
    yield from claims(bench)


def spoil(data: bytearray, what: str, draw: random.Random) -> None:
    """Change the bytes of a safetensors file in place."""
    (size,) = struct.unpack("<Q", data[:8])
    if what == "bits":
        position = draw.randrange(len(data) * 8)
        data[position // 8] ^= 1 << position % 8
    elif what == "cut":
        del data[draw.randrange(len(data)) :]
    elif what == "noise":
        data[:] = draw.randbytes(draw.randrange(2000))
    else:
        table = json.loads(data[8 : 8 + size])
        if what == "header":
            entry = table[draw.choice([name for name in table if name != "__metadata__"])]
            entry[draw.choice([*entry])] = draw.choice(JSON)
        else:
            own = json.loads(table["__metadata__"]["handful"])
            own[draw.choice([*own])] = draw.choice(JSON)
            table["__metadata__"]["handful"] = json.dumps(own)
        start = json.dumps(table).encode()
        data[: 8 + size] = struct.pack("<Q", len(start)) + start


def claims(bench: Bench) -> Iterator[Result]:
    """Load small files that claim huge networks, with a sound checksum."""
    for width, size, latent in (
        (4096, 1024, 256),
        (512, 512, 8192),
        (10**9, 256, 256),
        (64, 10**6, 256),
        (8, 32, 10**12),
    ):
        path = bench.folder / "claim.safetensors"
        options = {"size": size, "channels": 3, "width": width, "sle": True, "latent": latent, "classes": []}
        write_tensors(path, {}, "handful generator", options)
        fault = "was read"
        try:
            load(path, "cpu")
        except HandfulError as error:
            fault = None if str(path) in str(error) else "does not name the file"
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
        yield Result("strangers' models and latents", f"claims width {width}, size {size}", fault)


def command_lines(bench: Bench) -> Iterator[Result]:
    """Give commands random options and values. Sources do not exist, so none works for long."""
    draw = random.Random(3)
    # The first three need no source, the studio ends only when it is stopped, and a push reaches out.
    names = [name for name in COMMANDS if name not in ("demo", "bench", "completion", "studio", "push")]
    for number in range(6 if bench.short else 500):
        name = draw.choice(names)
        options = list(COMMANDS[name].options)
        line = [name, *draw.choices(WORDS, k=draw.randrange(3))]
        for _ in range(draw.randrange(4)):
            line.append(f"--{draw.choice(options).replace('_', '-')}")
            line += draw.choices(WORDS, k=draw.randrange(2))
        line = [word.replace("\0", "") for word in line]
        shutil.rmtree(bench.folder / "empty", ignore_errors=True)
        ended = attempt(line, seconds=60)
        fault = ended.fault
        if fault is None and ended.code not in (0, 1, 2):
            fault = f"exit code {ended.code}"
        if fault is None and "\x1b[2J" in ended.text:
            fault = "an escape reached the terminal"
        yield Result("random command lines", f"{number}: {' '.join(word[:20] for word in line)!r}", fault)


def arguments(bench: Bench) -> Iterator[Result]:
    """Give public functions and options of a run random values."""
    draw = random.Random(4)
    functions = [name for name in handful.__all__ if inspect.isfunction(getattr(handful, name))]
    functions = [name for name in functions if name not in ("bench", "default", "paper", "tiny")]
    for number in range(60 if bench.short else 2000):
        if number % 2:
            name = "TrainConfig"
            given = {"images": "nowhere"} | {key: draw.choice(VALUES) for key in draw.sample([*kinds()], 2)}
        else:
            name = draw.choice(functions)
            known = [*inspect.signature(getattr(handful, name)).parameters]
            given = {key: draw.choice(VALUES) for key in known if draw.random() < 0.5}
            given |= {key: "nowhere" for key in ("source", "images", "run") if key in known}
        fault = None
        try:
            TrainConfig(**given) if name == "TrainConfig" else getattr(handful, name)(**given)
        except HandfulError as error:
            if not str(error).isprintable() or len(str(error)) > 1000:
                fault = f"message of {len(str(error))} letters"
        except TypeError as error:
            # Python's own word for an argument that is missing.
            fault = None if "missing a required argument" in str(error) else f"TypeError: {error}"
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
        yield Result("random arguments of Python functions", f"{number}: {name}({', '.join(given)})", fault)


PARTS = (files, command_lines, arguments)
