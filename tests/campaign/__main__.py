"""Carry out the campaign, and print its table."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from campaign.runs import Result
from campaign.shares import PARTS, carry_out, prepare

SHARES = 8
"""Pieces of the longest parts, which several processes carry out."""


def main() -> int:
    """Carry out the parts that were asked for, and return 1 if anything ended otherwise than promised."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="default: all of them")
    parser.add_argument("--short", action="store_true", help="a sample of each part but processes")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="tries at a time")
    asked = parser.parse_args()
    names = asked.parts or [name for name in PARTS if not (asked.short and name == "processes")]
    split = {name: SHARES if name in ("kills", "errors") and not asked.short else 1 for name in names}
    tasks = [(name, share, shares, asked.short) for name, shares in split.items() for share in range(shares)]
    began, results = time.monotonic(), []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1 if asked.short else asked.jobs, context, initializer=prepare) as pool:
        for task, found in zip(tasks, pool.map(carry_out, tasks), strict=True):
            results += found
            for result in found:
                if result.fault is not None:
                    print(f"{result.part}, {result.what}: {result.fault}", file=sys.stderr)
            print(f"{task[0]}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print_table(results)
    return int(any(result.fault for result in results))


def print_table(results: list[Result]) -> None:
    """Print tries and survivals by part."""
    tries, sound = Counter(result.part for result in results), Counter(r.part for r in results if r.fault is None)
    print("| what | tries | as promised |\n|---|---|---|")
    for part, count in tries.items():
        print(f"| {part} | {count:,} | {sound[part]:,} |")


if __name__ == "__main__":
    sys.exit(main())
