"""Write the report of a run, with a model that draws new pictures on the page if that is wanted."""

from __future__ import annotations

from pathlib import Path

from handful.config.checks import checked
from handful.exporting import web
from handful.exporting.export import heading_of
from handful.progress import Progress, shown_on
from handful.reporting.build import write_report
from handful.reporting.page import Explorer
from handful.sampling.load import load


@checked
def report(
    run: Path | str, device: str = "auto", progress: Progress | None = None, with_explorer: bool = False
) -> Path:
    """Write ``report.html`` and ``evaluation.json`` into a run folder, and return the path of the page.

    The page names what is missing and why: the training images may be gone, or a score may need a weight file.

    Args:
        run: A run folder; the run may still be training.
        device: auto, cpu, cuda, cuda:1 or mps.
        progress: Shows progress. Default: the terminal.
        with_explorer: Let the page draw new pictures, as that of handful export --format web does. It then carries the
            model: 7 MB at 64 px.

    Raises:
        UsageError: if this is no run folder, or it has no model yet.
    """
    explorer = None
    if with_explorer:
        with shown_on(progress):
            model = load(run, "cpu")
            explorer = Explorer(web.render(model, heading_of(model, str(run)), framed=True), web.script_hash())
    return write_report(Path(run), device, progress, explorer)
