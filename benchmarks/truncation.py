"""What truncation gives and takes: scores of one generator at several truncations, as a table and a curve.

python benchmarks/truncation.py runs/photos photos --curve docs/images/truncation.svg
"""

from __future__ import annotations

import argparse
from pathlib import Path

from handful import Evaluation, evaluate
from handful.progress import Quiet
from handful.reporting.charts import Curve, Series, chart

TRUNCATIONS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.2, 0.0)
SHOWN = ("precision", "recall", "density", "coverage")
STYLE = """
<style>
.chart { font: 11px sans-serif; fill: #555; background: #fff; }
.chart path, .chart line { fill: none; }
.chart .grid { stroke: #ddd; }
.chart .base { stroke: #999; }
.chart .line path { stroke: var(--c); stroke-width: 1.75; }
.chart .line circle, .chart .key { fill: var(--c); }
.chart .value, .chart .cursor, .chart .at { display: none; }
.s1 { --c: #2a6fb0; } .s2 { --c: #c2571a; } .s3 { --c: #3d8a4a; } .s4 { --c: #8a5aa8; }
</style>"""
"""Of the page that a report is, as far as a chart needs it."""


def main() -> None:
    """Score, and print and draw."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("source", type=Path, help="a run folder or a model")
    options.add_argument("images", type=Path, help="the folder of training images")
    options.add_argument("--features", default=None, help="what evaluate looks through; default: as its protocol")
    options.add_argument("--curve", type=Path, default=None, help="file for the curve (SVG)")
    given = options.parse_args()
    print("| truncation | KID | precision | recall | density | coverage | copies |")
    print("|---|---|---|---|---|---|---|")
    found = []
    for truncation in TRUNCATIONS:
        how = {"features": given.features, "truncation": truncation, "progress": Quiet()}
        evaluation = evaluate(given.source, given.images, **how)
        found.append(evaluation)
        scores = evaluation.scores
        shown = " | ".join(f"{getattr(scores, name):.2f}" for name in SHOWN)
        print(
            f"| {truncation:g} | {scores.kid:.3f} ± {scores.kid_error:.3f} | {shown} | {scores.copies:.0%} |",
            flush=True,
        )
    if given.curve is not None:
        given.curve.write_text(drawn(found), encoding="utf-8")


def drawn(found: list[Evaluation]) -> str:
    """Draw the scores over the truncation as one SVG file."""
    rising = found[::-1]
    series = [
        Series(name, [(100 * each.setup.truncation, getattr(each.scores, name)) for each in rising]) for name in SHOWN
    ]
    svg = str(chart(Curve("Scores by truncation", "", "", series)))
    head, rest = svg.split(">", 1)
    return f'{head} xmlns="http://www.w3.org/2000/svg">{STYLE}{rest}\n'


if __name__ == "__main__":
    main()
