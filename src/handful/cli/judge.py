"""Commands that judge a generator: evaluate, neighbours, report."""

from __future__ import annotations

from pathlib import Path

from handful.cli.command import Answer, Call, command


@command("Judge", "metrics.evaluation:evaluate", example="handful evaluate runs/photos photos")
def evaluate(call: Call, compare: tuple[Path, ...] = ()) -> Answer:
    """Score a generator against its training images.

    Also scores a folder of images that any tool made.

    Args:
        compare: More sources to score in the same way, side by side.
    """
    from handful.metrics.table import table

    scores = [call(source=source) for source in (call["source"], *compare)]
    data, *others = [score.to_json() for score in scores]
    return Answer(data | ({"compare": others} if others else {}), list(table(scores)))


@command("Judge", "explore.neighbours:neighbours", example="handful neighbours runs/photos photos")
def neighbours(call: Call) -> Answer:
    """Show pictures beside the training images nearest to them.

    Chosen seeds, or the most copied of many.
    """
    found = call()
    words = (
        f"{found.copies:.1%} of {found.samples:,} pictures are copies (among the training images: "
        f"{found.copies_among_training:.1%}); median distance {found.novelty:.2f} (among the training images: "
        f"{found.novelty_among_training:.2f}); {len(found.rows)} of them in {call['out']}"
    )
    return Answer(found.to_json() | {"file": str(call["out"])}, words)


@command("Judge", "exporting.report:report", example="handful report runs/photos")
def report(call: Call) -> Answer:
    """Write report.html of a run.

    One page with scores, pictures, curves and copies. Works while the run trains.
    """
    from handful.records.run_folder import RunFolder

    page = call()
    verdict = RunFolder(call["run"]).verdict
    words = f"report in {page}\nverdict: {verdict.headline}, {verdict.summary}"
    return Answer({"report": str(page), "verdict": verdict.to_json()}, words)
