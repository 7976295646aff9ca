"""Try a part that handful does not have: the logistic loss of the generator in place of the hinge loss.

    python experiments/part.py photos runs/part --steps 2000

Trains with and without it, with the same seed, and prints the three numbers of both.
"""

import argparse

import torch.nn.functional as F
from torch import Tensor

import handful
from handful.objective import losses


def logistic(fake: Tensor) -> Tensor:
    """Return ``mean(log(1 + exp(-fake)))``: unlike the hinge loss, it lets go of images that pass as real."""
    return F.softplus(-fake).mean()


def main(arguments: list[str] | None = None) -> None:
    """Train both, and print how they compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images")
    parser.add_argument("out")
    parser.add_argument("--steps", type=int, default=2000)
    given = parser.parse_args(arguments)
    for name, loss in {"hinge": losses.generator_loss, "logistic": logistic}.items():
        losses.generator_loss = loss
        config = handful.tiny(given.images, run=f"{given.out}/{name}", steps=given.steps, compile="off")
        handful.train(config)
        print(name, *handful.evaluate(config.folder, given.images).verdict.lines(), sep="\n  ")


if __name__ == "__main__":
    main()
