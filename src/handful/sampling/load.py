"""Load a trained generator from a run folder, a model folder or a file."""

from __future__ import annotations

from pathlib import Path

from handful.compute.device import choose_device, prepare_device
from handful.config.checks import checked
from handful.config.choices import SamplingPrecision
from handful.config.text import HUB
from handful.errors import UsageError
from handful.networks.generator import Generator
from handful.records.layout import WEIGHTS
from handful.sampling.model import Model
from handful.sampling.model_files import find_weights, read_model


@checked
def load(
    source: Path | str, device: str = "auto", precision: SamplingPrecision = "fp32", compile: bool = False
) -> Model:
    """Load a generator from a run folder, a model folder, a ``.safetensors`` file or the Hub.

    From a run folder it loads the best model by the run's scores, or the newest one if no best was kept. Sets the
    number of threads and other numerical settings of this process (``compute.device.prepare``).

    Args:
        source: A run folder, a model folder, a ``.safetensors`` file, or a model of the Hub: ``hf:owner/name``.
        device: auto, cpu, cuda, cuda:1 or mps.
        precision: See ``Model``.
        compile: See ``Model``.

    Raises:
        UsageError: if there is no model, or the file is not one of ours, or as ``Model``.
    """
    source = Path(source)
    path = find_weights(source)
    if path is None and str(source).startswith(HUB):
        raise UsageError(
            f"{source}: the Hub has no such model with a {WEIGHTS}; check the name, and for a private model run: "
            "hf auth login"
        )
    if path is None:
        if not source.exists():
            kinds = "a run folder, a model folder, a .safetensors file or hf:owner/name"
            raise UsageError(f"{source}: does not exist; give {kinds}")
        raise UsageError(f"{source}: has no {WEIGHTS}; if it is a run folder, it has not written its first model yet")
    chosen = choose_device(device)
    prepare_device(chosen)
    config, weights = read_model(path)
    network = Generator(config).to(chosen)
    network.load_state_dict(weights)
    return Model(network, precision, compile, path.parent if path.name == WEIGHTS else path)
