"""How large a step of the optimisers is, as a run goes."""

from __future__ import annotations

from handful.config import TrainConfig


def learning_rate(config: TrainConfig, done: float) -> float:
    """Give Adam's step size where a share ``done`` of the run, 0 to 1, is behind.

    It is ``config.step_size`` until ``config.learning_rate_fall`` of the run is left, and from there on in
    proportion to what is left.

    Source: linear decay to zero, as in CycleGAN (Zhu et al. 2017), appendix 7.1.
    """
    if not config.learning_rate_fall:
        return config.step_size
    return config.step_size * min(1.0, max(0.0, 1 - done) / config.learning_rate_fall)
