"""A run folder as others read it: what a run has written so far, also while it is still training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

from handful.config import budget
from handful.config.train import TrainConfig
from handful.displays import as_html
from handful.errors import UsageError
from handful.files import parse_json, printable
from handful.records import layout
from handful.records.journal import Journal
from handful.records.outlook import warnings
from handful.records.scores import Score, read_best, read_history
from handful.records.settings import Settings, read_settings
from handful.records.verdict import Figures, Verdict, judge


@final
class RunFolder:
    """The folder of a run. Each property reads its file again, so a run that is still training may be followed.

    Args:
        folder: The run folder.

    Raises:
        UsageError: if nobody has trained there.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        if not is_run(self.folder):
            raise UsageError(f"{printable(self.folder)}: is not a run folder; give the folder of --run")

    @classmethod
    def of_model(cls, source: Path) -> RunFolder | None:
        """Return the run that a model folder, or a file in one, belongs to; None if it belongs to none."""
        folders = [source, source.parent] if source.name in (layout.MODEL, layout.BEST) else [source]
        return next((cls(folder) for folder in folders if is_run(folder)), None)

    def __repr__(self) -> str:
        best = self.best
        kept = "" if best is None else f", best {best.step:,} (KID {best.kid:.3f})"
        return f"RunFolder({self.folder}, step {self.step:,} of {self.config.steps:,}{kept})"

    def _repr_html_(self) -> str:
        samples = list(self.samples.values())
        return as_html(f"{self!r}: {self.verdict.summary}", samples[-1].read_bytes() if samples else None)

    @property
    def settings(self) -> Settings:
        """Everything that the run's result depends on."""
        settings = read_settings(self.folder)
        assert settings is not None
        return settings

    @property
    def config(self) -> TrainConfig:
        """The options of the run, with its automatic choices."""
        return self.settings.config

    @property
    def log(self) -> list[dict[str, Any]]:
        """The lines of log.jsonl, oldest first."""
        return Journal(self.folder / layout.LOG).read()

    @property
    def scores(self) -> list[Score]:
        """The scores of the run, oldest first."""
        return read_history(self.log)

    @property
    def step(self) -> int:
        """The newest step in the log; 0 before the first report."""
        log = self.log
        return int(log[-1]["step"]) if log else 0

    @property
    def best(self) -> Score | None:
        """The score of the model in ``best/``; None if none is kept there."""
        return read_best(self.folder / layout.BEST / layout.SCORE)[0]

    @property
    def warnings(self) -> Sequence[str]:
        """What went wrong at the newest score, and what to do about it."""
        return list(warnings(self.scores).values())

    @property
    def best_step(self) -> int:
        """The step of the model that commands draw from: the best one, or else the newest."""
        best = self.best
        return self.step if best is None else best.step

    @property
    def verdict(self) -> Verdict:
        """How close, how varied and how much copied: by the report's scores, or else by the best score of the run."""
        evaluation = self.evaluation
        if evaluation is not None and evaluation["step"] == self.best_step:
            return judge(Figures.read(evaluation))
        score = self.best or next(reversed(self.scores), None)
        if score is None:
            return judge(None)
        about = {"samples": len(budget.current.scored_seeds), "features": self.config.score_features}
        return judge(Figures.read(vars(score) | about))

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """The scores of the report, as ``handful evaluate --json`` prints them, with their step; None without."""
        try:
            found = parse_json((self.folder / layout.EVALUATION).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return found if isinstance(found, dict) and "step" in found else None

    @property
    def samples(self) -> dict[int, Path]:
        """The sample grids, by step."""
        return layout.by_step(self.folder / layout.SAMPLES, ".png")

    @property
    def checkpoints(self) -> dict[int, Path]:
        """The folders of the checkpoints that are kept, by step."""
        return layout.by_step(self.folder / layout.CHECKPOINTS)

    @property
    def report(self) -> Path | None:
        """The run's page, report.html; None before the run ends."""
        path = self.folder / layout.REPORT
        return path if path.is_file() else None


def is_run(folder: Path) -> bool:
    """Return whether a folder holds the options of a run. A model folder also has a config.json."""
    try:
        return "options" in parse_json((folder / layout.CONFIG).read_bytes())
    except (OSError, ValueError, TypeError):
        return False
