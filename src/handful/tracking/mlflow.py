"""MLflow, in the store that MLflow's own settings name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import final

from PIL import Image

from handful.config.train import TrainConfig
from handful.progress import note
from handful.records.layout import step_name
from handful.tracking.identity import read_identity, write_identity
from handful.tracking.tracker import PROJECT, facts


@final
class MlflowRun:
    """One run of MLflow."""

    def __init__(self, config: TrainConfig, step: int) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param

        self.client, self.metric = MlflowClient(), Metric
        identity = read_identity(config.folder, "mlflow")
        if identity is None:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
            experiment = self.client.get_experiment_by_name(name)
            number = experiment.experiment_id if experiment is not None else self.client.create_experiment(name)
            identity = self.client.create_run(number, run_name=config.folder.resolve().name).info.run_id
            params = [Param(name, str(value)) for name, value in facts(config).items()]
            self.client.log_batch(identity, params=params)
            write_identity(config.folder, "mlflow", identity)
        else:
            self.client.update_run(identity, status="RUNNING")
        self.identity = identity
        note(f"mlflow: run {identity}")  # the address of a store may have a password

    def write_numbers(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write the numbers. Their time is the step's, so that a resumed run writes no point twice."""
        metrics = [self.metric(name, value, timestamp=step, step=step) for name, value in numbers.items()]
        self.client.log_batch(self.identity, metrics=metrics)

    def write_picture(self, step: int, picture: Image.Image) -> None:
        """Write the picture as a file of the run."""
        self.client.log_image(self.identity, picture, f"samples/{step_name(step)}.png")

    def close(self) -> None:
        """End the run."""
        self.client.set_terminated(self.identity)


open_tracker = MlflowRun
