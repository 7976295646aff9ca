"""Few pictures beside the steps: in runs as short as those of the tests, most of the time would go there."""

import pkgutil

FEW = {
    "handful.networks.calibrate.CALIBRATION_IMAGES": 16,
    "handful.sampling.truncation.CALIBRATION_IMAGES": 16,
    "handful.training.run.SAMPLES": range(2),
    "handful.training.scoring.SAMPLES": range(12),
    "handful.reporting.build.SAMPLES": range(2),
    "handful.reporting.build.WALK_STEPS": 2,
}
"""What is drawn at each save, in each grid, for each score and on the page."""
QUICK = {"samples": 24, "pairs": 20, "paths": 2, "features": "random"}
"""What protocol quick looks at, and through; a trained network takes 50 ms an image."""


def draw_few() -> None:
    """Draw few in all of this process, which is not that of the tests."""
    for name, value in FEW.items():
        module, _, constant = name.rpartition(".")
        setattr(pkgutil.resolve_name(module), constant, value)
