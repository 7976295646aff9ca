"""Train every variant of a table on every image set with every seed, score each run, and rank the variants.

    python experiments/run.py experiments/default.toml --sets emoji=PHOTOS/emoji cells=PHOTOS/cells --out runs/default

A table is a TOML file (default.toml is one): ``[common]`` has the options that all runs share, ``[variants.NAME]``
those of one. Both are options of ``TrainConfig``, and ``preset`` and ``recipe``. The first variant is what the others
are compared with. With ``minutes`` among the common options the comparison is at equal time, otherwise at equal steps.
``--with steps=8000 width=32`` runs a table with other common options, under another ``--out``.

Each run has a folder of its own, with its scores in ``result.json``. The same command resumes a table that was stopped.
``table.md`` is rewritten after each run. All runs of a seed come before those of the next seed.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import signal
import statistics
import sys
import threading
import tomllib
from concurrent.futures import CancelledError, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handful.config.presets import configure
from handful.config.train import TrainConfig
from handful.files import replacing, write_json

SCORES = ("kid", "squeezenet_kid", "distance", "squeezenet_distance", "variety", "squeezenet_variety", "copies")
SCORES += (
    "fid",
    "precision",
    "recall",
    "density",
    "coverage",
    "spread",
    "novelty",
    "periodicity",
    "unevenness",
    "detail",
)
SHOWN = {"kid": 3, "squeezenet_kid": 2, "distance": 1, "squeezenet_distance": 1, "variety": 2, "squeezenet_variety": 2}
SHOWN |= {"copies": 3, "coverage": 2, "recall": 3, "periodicity": 1, "unevenness": 2, "detail": 1, "seconds": 0}
"""What the table shows, and decimals."""
RATIOS = ("distance", "squeezenet_distance", "squeezenet_variety")
"""Compared with the first variant; a change counts where both networks agree on the distance."""


@dataclass(frozen=True)
class Cell:
    """One run of the table."""

    variant: str
    images: Path
    set: str
    seed: int
    folder: Path
    options: dict[str, Any]
    features: str

    def config(self) -> TrainConfig:
        """Give the options of the run."""
        return configure(self.images, run=self.folder, seed=self.seed, **self.options)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, help="TOML file with the variants")
    parser.add_argument("--sets", nargs="+", required=True, metavar="NAME=FOLDER", help="image sets to train on")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs and the tables")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="variants to run; the others are left out")
    parser.add_argument(
        "--with", nargs="+", default=[], metavar="OPTION=VALUE", dest="changes", help="common options to change"
    )
    parser.add_argument("--features", default="efficientnet", help="what scores look through, as in handful evaluate")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, each with its share of the processors")
    given = parser.parse_args(arguments)
    cells = plan(given.table, given.sets, given.out, given.seeds, given.only, given.features, given.changes)
    failed = 0
    threads = max(1, (os.cpu_count() or 1) // given.jobs)
    spawn = multiprocessing.get_context("spawn")  # a fork would share what torch has set up
    with ProcessPoolExecutor(given.jobs, spawn, initializer=prepare, initargs=(threads,)) as pool:
        waiting = {pool.submit(run, cell): cell for cell in cells}
        for done, future in enumerate(as_completed(waiting), 1):
            cell = waiting[future]
            try:
                outcome = f"KID {future.result()['kid']:.4f}"
            except CancelledError:
                continue
            except InterruptedError as error:  # someone wants an end of it
                pool.shutdown(wait=False, cancel_futures=True)
                failed += 1
                outcome = str(error)
            except Exception as error:  # the other runs are to go on
                failed += 1
                outcome = f"failed: {error!r}"
            print(f"{done} of {len(cells)}: {cell.set} {cell.variant} {cell.seed}: {outcome}", file=sys.stderr)
            write_table(given.out, cells)
    print((given.out / "table.md").read_text(encoding="utf-8"))
    return 1 if failed else 0


def plan(
    table: Path,
    sets: list[str],
    out: Path,
    seeds: list[int],
    only: list[str] | None,
    features: str,
    changes: list[str],
) -> list[Cell]:
    """List the runs in the order of their doing.

    Raises:
        SystemExit: if the table or an argument makes no sense; before anything is done.
    """
    read = tomllib.loads(table.read_text(encoding="utf-8"))
    common, variants = read.get("common", {}) | dict(map(changed, changes)), read["variants"]
    unknown = sorted(set(only or ()) - variants.keys())
    if unknown:
        raise SystemExit(f"--only {' '.join(unknown)}: {table} has {', '.join(variants)}")
    folders = dict(entry.partition("=")[::2] for entry in sets)
    for name, folder in folders.items():
        if not Path(folder).is_dir():
            raise SystemExit(f"--sets {name}={folder}: there is no such folder")
    cells = []
    for seed in seeds:
        for name, folder in folders.items():
            for variant, options in variants.items():
                if only and variant not in only:
                    continue
                place = out / name / variant / f"seed-{seed}"
                cell = Cell(variant, Path(folder), name, seed, place, common | options, features)
                try:
                    cell.config()  # a wrong option is found before hours have gone by
                except ValueError as error:
                    raise SystemExit(f"{table}, {variant}: {error}") from None
                cells.append(cell)
    return cells


def changed(words: str) -> tuple[str, Any]:
    """Read ``OPTION=VALUE``, where a value is as in a table; a word needs no quotes."""
    name, sign, value = words.partition("=")
    if not sign:
        raise SystemExit(f"--with {words}: write OPTION=VALUE")
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name, value


def prepare(threads: int) -> None:
    """Give a process its share of the processors, and let it end with the one that started it."""
    import torch

    torch.set_num_threads(threads)
    threading.Thread(target=leave_with_parent, daemon=True).start()


def leave_with_parent() -> None:
    """Wait until the process that started this one is gone, then stop the run, which saves, and leave."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def run(cell: Cell) -> dict[str, Any]:
    """Train and score one cell, unless that is done."""
    result = cell.folder / "result.json"
    if result.exists():
        known: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        if known["options"] != cell.options:
            raise ValueError(f"{result} is of other options; delete its folder or use another --out")
        return known
    import handful
    from handful.progress import Quiet

    progress, config = Quiet(), cell.config()
    handful.train(config, progress)
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        os._exit(1)  # an error would only bring the next run
    last = json.loads((cell.folder / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    due = last["step"] >= config.steps or last["seconds"] >= 60 * (config.minutes or math.inf)
    if not due and config.stop_when == "never":
        raise InterruptedError(f"stopped at step {last['step']:,}; the same command goes on from there")
    scores = handful.evaluate(cell.folder, cell.images, features=cell.features, progress=progress).to_json()
    known = {"set": cell.set, "variant": cell.variant, "seed": cell.seed, "options": cell.options}
    known |= {"steps": last["step"], "seconds": last["seconds"], **{name: scores[name] for name in SCORES}}
    write_json(result, known)
    return known


def write_table(out: Path, cells: list[Cell]) -> None:
    """Write what is known so far, ranked, as ``table.md`` and, one object a run, ``results.json``."""
    paths = [cell.folder / "result.json" for cell in cells]
    results = [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]
    write_json(out / "results.json", results)
    first = cells[0].variant
    lines = ["Mean and standard deviation over seeds.", ""]
    for name in dict.fromkeys(cell.set for cell in cells):
        mine = [result for result in results if result["set"] == name]
        lines += [f"### {name}", "", *header("variant", "seeds", *SHOWN)]
        groups = grouped(mine)
        for variant in sorted(groups, key=lambda variant: mean(groups[variant], "distance")):
            rows = groups[variant]
            lines.append(line(variant, len(rows), *(spread(rows, key, digits) for key, digits in SHOWN.items())))
        lines.append("")
    lines += [f"### Against {first}", "", "Over all sets, each run beside that of the same set and seed.", ""]
    lines += header(
        "variant",
        "pairs",
        "distance, times",
        "SqueezeNet distance, times",
        "nearer in both",
        "variety, times",
        "copies, more by",
    )
    lines += [line(*row) for row in comparison(results, first)]
    with replacing(out / "table.md") as file:
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def comparison(results: list[dict[str, Any]], first: str) -> list[tuple[object, ...]]:
    """Return a row for each variant: how it compares with the first one, the best by the network that likes it less."""
    against = {(result["set"], result["seed"]): result for result in results if result["variant"] == first}
    rows = []
    for variant, runs in grouped(results).items():
        pairs = [(run, against[run["set"], run["seed"]]) for run in runs if (run["set"], run["seed"]) in against]
        if not pairs:
            continue
        logs = {
            key: [math.log(run[key] / base[key]) for run, base in pairs if run[key] and base[key]] for key in RATIOS
        }
        networks = [logs[key] for key in RATIOS[:2] if len(logs[key]) == len(pairs)]
        nearer = sum(max(ratios) < 0 for ratios in zip(*networks, strict=True))
        times = {key: f"{math.exp(statistics.mean(ratios)):.2f}" if ratios else "-" for key, ratios in logs.items()}
        copies = statistics.mean(run["copies"] - base["copies"] for run, base in pairs)
        worst = max((statistics.mean(ratios) for ratios in networks), default=0.0)
        rows.append(
            (
                worst,
                (variant, len(pairs), times[RATIOS[0]], times[RATIOS[1]], nearer, times[RATIOS[2]], f"{copies:+.3f}"),
            )
        )
    return [row for _, row in sorted(rows, key=lambda entry: entry[0])]


def grouped(results: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Part results by variant."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        groups.setdefault(result["variant"], []).append(result)
    return groups


def mean(rows: list[dict[str, Any]], key: str) -> float:
    """Average one score."""
    return statistics.mean(row[key] for row in rows)


def spread(rows: list[dict[str, Any]], key: str, digits: int) -> str:
    """Write the mean of one score, with its standard deviation where there are several; a dash where there is none."""
    known = [row[key] for row in rows if row.get(key) is not None]
    if not known:
        return "-"
    words = f"{statistics.mean(known):.{digits}f}"
    return words + (f" ± {statistics.stdev(known):.{digits}f}" if len(known) > 1 else "")


def header(*names: str) -> list[str]:
    """Write the head of a Markdown table."""
    return [line(*names), line(*("---" for _ in names))]


def line(*cells: object) -> str:
    """Write a row of a Markdown table."""
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    sys.exit(main())
