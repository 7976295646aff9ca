"""What test_ranks.py runs in each of two processes: python two_ranks.py FOLDER PORTS, with torchrun's environment.

Goes through FOLDER/scenarios.json and leaves what this process ends with in FOLDER/NAME.RANK.safetensors, or the error
in FOLDER/NAME.RANK.error; of a command line, the exit code and what was said in FOLDER/NAME.RANK.json.
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
from handful.compute.shared_batch import average_gradients, share, sharing
from handful.config.train import TrainConfig
from handful.errors import TrainingError
from handful.networks.layers import BatchNorm
from handful.networks.pretrained import lpips as perceptual
from handful.networks.pretrained.efficientnet import EfficientNet
from handful.networks.pretrained.lpips import Perceptual
from handful.objective import controls, losses
from handful.progress import Quiet
from handful.training.loop import train
from handful.training.state import State

THIN = ((4, 1), (8, 1), (8, 1), (16, 1), (16, 1))
HURRY = {
    (losses, "LECAM_START"): 2,
    (controls, "CHAIN_SPEED"): 0.3,
    (controls, "CHAIN_TARGET"): -1,
    (controls, "NICE_TARGET"): -1,
    (controls, "NICE_IMAGES"): 40,
    (perceptual, "BLOCKS"): THIN,
}
"""Constants with which a run of a few steps comes to have every part, and a VGG16 with few channels."""


def lpips(*_, **__) -> Perceptual:
    """Stands in for the published weights, which only the lead is to look for."""
    assert os.environ.get("RANK", "0") == "0"
    return Perceptual(seed=3)


def trunk(*_, **__) -> EfficientNet:
    """Stands in for Google's weights in the same way."""
    assert os.environ.get("RANK", "0") == "0"
    return EfficientNet(seed=3)


def penalty(rank: int, count: int) -> dict[str, torch.Tensor]:
    """Give the gradient of a gradient's square through BatchNorm, as a gradient penalty has it."""
    random = torch.Generator().manual_seed(0)
    layer = BatchNorm(3).double()
    whole = torch.randn(4, 3, 5, 5, generator=random, dtype=torch.float64) + 3
    x = whole.chunk(count)[rank].requires_grad_()
    (slope,) = torch.autograd.grad(layer(x).pow(3).sum(), x, create_graph=True)
    (slope.square().sum() / len(x)).backward()
    average_gradients(layer.parameters())
    return {"slope": slope.detach(), "x": x.grad / count, "weight": layer.weight.grad}


def main(folder: Path, ports: list[str]) -> None:
    spend_little()
    for (module, name), value in HURRY.items():
        setattr(module, name, value)
    Perceptual.pretrained = lpips
    EfficientNet.pretrained = trunk
    rank, states = int(os.environ["RANK"]), []
    usual, usual_loss = State.take_over, losses.discriminator_loss

    def take_over(state, ranks):
        states.append(state)
        usual(state, ranks)

    def spoiled(*arguments):
        return usual_loss(*arguments) * float("nan")

    State.take_over = take_over
    for name, options in json.loads((folder / "scenarios.json").read_text()).items():
        os.environ["MASTER_PORT"] = ports.pop()
        result = folder / f"{name}.{rank}.safetensors"
        if options is None:
            with join() as ranks, sharing(ranks):
                made = penalty(rank, 2)
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
    assert share(torch.arange(4)).tolist() == [0, 1, 2, 3]  # alone again


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2].split(","))
