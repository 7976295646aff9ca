"""What test_processes.py runs in each of two processes, with torchrun's environment.

    python two_processes.py FOLDER PORTS

Runs each scenario of FOLDER/scenarios.json. Writes this process's final state to FOLDER/NAME.RANK.safetensors, or the
error to FOLDER/NAME.RANK.error; for a command line, its exit code and output to FOLDER/NAME.RANK.json.
"""

import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import torch
from safetensors.torch import save_file

from few import spend_little
from handful.cli import main as cli
from handful.compute.processes import join
from handful.compute.shared_batch import average_gradients, local_slice, shared_among
from handful.config.train import TrainConfig
from handful.errors import TrainingError
from handful.networks.layers import BatchNorm
from handful.networks.pretrained import lpips as lpips_module
from handful.networks.pretrained.efficientnet import EfficientNet
from handful.networks.pretrained.lpips import Perceptual
from handful.objective import losses
from handful.progress import Quiet
from handful.training.loop import train
from handful.training.state import State

THIN = ((4, 1), (8, 1), (8, 1), (16, 1), (16, 1))
"""Blocks of a VGG16 with few channels."""


def lpips(*_, **__) -> Perceptual:
    """Stands in for the published weights, which only the main process may load."""
    assert os.environ.get("RANK", "0") == "0"
    return Perceptual(seed=3)


def backbone(*_, **__) -> EfficientNet:
    """Stands in for Google's weights, which only the main process may load."""
    assert os.environ.get("RANK", "0") == "0"
    return EfficientNet(seed=3)


def normalised(rank: int, count: int) -> dict[str, torch.Tensor]:
    """Return BatchNorm's output for this process's slice of a batch, and the gradients of a loss."""
    random = torch.Generator().manual_seed(0)
    layer = BatchNorm(3).double()
    whole = torch.randn(4, 3, 5, 5, generator=random, dtype=torch.float64) + 3
    x = whole.chunk(count)[rank].requires_grad_()
    y = layer(x)
    (y.pow(3).sum() / len(x)).backward()
    average_gradients(layer.parameters())
    return {"y": y.detach(), "x": x.grad / count, "weight": layer.weight.grad}


def main(folder: Path, ports: list[str]) -> None:
    spend_little()
    lpips_module.BLOCKS = THIN
    Perceptual.pretrained = lpips
    EfficientNet.pretrained = backbone
    rank, states = int(os.environ["RANK"]), []
    usual, usual_loss = State.broadcast, losses.discriminator_loss

    def broadcast(state, ranks):
        states.append(state)
        usual(state, ranks)

    def spoiled(*arguments):
        return usual_loss(*arguments) * float("nan")

    State.broadcast = broadcast
    for name, options in json.loads((folder / "scenarios.json").read_text()).items():
        os.environ["MASTER_PORT"] = ports.pop()
        result = folder / f"{name}.{rank}.safetensors"
        if options is None:
            with join() as ranks, shared_among(ranks):
                made = normalised(rank, 2)
        elif isinstance(options, list):
            with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
                code = cli.main(options)
            (folder / f"{name}.{rank}.json").write_text(json.dumps([code, out.getvalue(), err.getvalue()]))
            continue
        else:
            losses.discriminator_loss = spoiled if name == "spoiled" and rank == 1 else usual_loss
            try:
                model = train(TrainConfig.from_options(options), Quiet())
            except TrainingError as error:
                (folder / f"{name}.{rank}.error").write_text(str(error))
                continue
            made = {f"model.{key}": value for key, value in model.network.state_dict().items()}
            made |= states[-1].tensors() | {"step": torch.tensor(states[-1].step)}
        save_file({key: value.detach().contiguous().clone() for key, value in made.items()}, result)
    assert local_slice(torch.arange(4)).tolist() == [0, 1, 2, 3]  # alone again


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2].split(","))
