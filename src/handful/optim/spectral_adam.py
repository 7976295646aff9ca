"""Adam over a network whose convolutions are kept at spectral norm one, renewed once per step for the whole network.

The networks compute with plain convolutions. Their weights are written here, ``W / sigma(W)``, from master weights
``W`` that only the optimiser sees. So however often a network is run between two steps, its weights are normalised
once; an averaged or saved network has nothing to fold; and the weights stay where they are in memory. The masters are
float32 whatever precision the network computes in.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from jaxtyping import Float
from torch import Tensor, nn

from handful.compute import shared_batch as shares
from handful.compute.compiling import side_by_side
from handful.optim.spectral_norm import approach, as_matrix, divide, listed, master_of, outputs_first, pull, unit_vector

WARM_UP = 15
"""Power iterations before the first step, which start from random vectors."""


class SpectralAdam:
    """Adam on the master weights of a network's convolutions, and on its other parameters as they are.

    Each step: bring the gradients of the normalised weights back to the masters, let Adam step, renew ``sigma`` by
    one power iteration, write ``W / sigma`` into the network. The network's weights must be initialised before.
    Nothing in a step waits for a GPU or changes where a tensor lies, so a step can be captured.

    With ``precision`` float16, the loss is scaled up before the backward pass and a step whose gradients overflow is
    left out, which halves the scale; 2,000 good steps double it.

    Source: Spectral normalisation (Miyato et al. 2018), section 2.1 and algorithm 1; Adam (Kingma and Ba 2015); loss
    scaling (Micikevicius et al. 2018), section 3.2. The released FastGAN renews ``sigma`` at every forward pass in
    training, so three times a step in its discriminator.
    """

    def __init__(
        self,
        network: nn.Module,
        learning_rate: float,
        betas: tuple[float, float],
        random: torch.Generator,
        precision: torch.dtype = torch.float32,
    ) -> None:
        self.network = network
        self.layers = {
            name: layer for name, layer in network.named_modules() if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))
        }
        device = next(network.parameters()).device
        self.masters = {name: master_of(layer, precision) for name, layer in self.layers.items()}
        self.matrices = {name: as_matrix(master) for name, master in self.masters.items()}
        self.u = {name: unit_vector(len(matrix), random).to(matrix) for name, matrix in self.matrices.items()}
        self.v = {name: torch.empty_like(matrix[0]) for name, matrix in self.matrices.items()}
        self.sigma = {name: torch.empty_like(matrix[0, 0]) for name, matrix in self.matrices.items()}
        self.kinds = self.matrices, self.u, self.v, self.sigma
        self.normalised = {f"{name}.weight" for name in self.layers}
        self.others = {name: value for name, value in network.named_parameters() if name not in self.normalised}
        for name, layer in self.layers.items():
            layer.weight.data = outputs_first(layer, self.masters[name].to(precision, copy=True))
        self.learned = [*(master.requires_grad_() for master in self.masters.values()), *self.others.values()]
        self.rate = torch.tensor(learning_rate, device=device)
        """Step size; a tensor, so that a captured step reads it anew."""
        self.adam = torch.optim.Adam(self.learned, self.rate, betas, fused=True, capturable=device.type == "cuda")
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == torch.float16)
        self.keep, self.pull, self.approach, self.divide = keep, pull, approach, divide
        self.prepare()
        self.settle()

    def minimise(self, loss: Float[Tensor, ""]) -> None:
        """Take one step down the gradient of ``loss``."""
        self.accumulate_grads(loss)
        self.step()

    def accumulate_grads(self, loss: Float[Tensor, ""], *, more: bool = False) -> None:
        """Keep the gradient of ``loss`` for the next step; ``more``: add it to what is kept. Changes nothing else.

        Gradients of convolutions are added up in float32, whatever the network computes in.
        """
        learning = {name: value for name, value in self.network.named_parameters() if value.requires_grad}
        # Not gathered by autograd itself, which would bring each to the layout of its parameter first.
        gradients = torch.autograd.grad(self.scaler.scale(loss), [*learning.values()], allow_unused=True)
        kept, found = [], []
        for (name, parameter), gradient in zip(learning.items(), gradients, strict=True):
            layer = self.layers.get(name.removesuffix(".weight"))
            learned = parameter if layer is None else self.masters[name.removesuffix(".weight")]
            if gradient is None:  # no part of the loss, as the generator's small image where nobody judges it
                learned.grad = learned.grad if more else None
                continue
            if learned.grad is None:
                learned.grad = torch.zeros_like(learned)
            kept.append(learned.grad)
            found.append(gradient if layer is None else outputs_first(layer, gradient))
        self.keep(kept, found, more)

    def step(self) -> None:
        """Take one step down the gradients that were gathered."""
        self.pull_gradients()
        shares.average_gradients(self.learned)
        self.scaler.step(self.adam)
        self.scaler.update()
        # Of a layer that is held still nothing may move, its estimated norm neither.
        self.iterate([name for name, layer in self.layers.items() if layer.weight.requires_grad])
        self.write()

    @torch.no_grad()
    def pull_gradients(self) -> None:
        """Turn the gradients by the normalised weights, as gathered, into those by the masters (``pull``)."""
        gradients = {name: as_matrix(master.grad) for name, master in self.masters.items() if master.grad is not None}
        self.pull([*gradients.values()], *(listed(kind, gradients) for kind in self.kinds))

    def settle(self) -> None:
        """Find the singular vectors and values of weights that were just given, of those held still too."""
        for _ in range(WARM_UP):
            self.iterate(self.layers)
        self.write()

    @torch.no_grad()
    def load(self, values: dict[str, Tensor], vectors: dict[str, Tensor]) -> None:
        """Take over parameters, and first singular vectors of layers, by their names in the network."""
        for name, value in values.items():
            layer = name.removesuffix(".weight")
            if name in self.normalised:
                self.masters[layer].copy_(outputs_first(self.layers[layer], value))
            else:
                self.others[name].copy_(value)
        for layer, vector in vectors.items():
            self.u[layer].copy_(vector)
        self.settle()

    @torch.no_grad()
    def iterate(self, names: Collection[str]) -> None:
        """Bring the singular vectors and values of these layers one power iteration nearer to the largest ones."""
        self.approach(*(listed(kind, names) for kind in self.kinds))

    @torch.no_grad()
    def write(self) -> None:
        """Write the normalised weights into the network, in place."""
        weights = [outputs_first(layer, layer.weight.detach()) for layer in self.layers.values()]
        self.divide(weights, listed(self.masters, self.layers), [*self.sigma.values()])

    @torch.no_grad()
    def precise(self) -> list[Tensor]:
        """Give what the network computes with before it is rounded to its precision, in the order of its parameters."""
        exact = {
            f"{name}.weight": outputs_first(layer, self.masters[name] / self.sigma[name])
            for name, layer in self.layers.items()
        }
        return [exact.get(name, value) for name, value in self.network.named_parameters()]

    def compile(self) -> None:
        """Compile all but Adam, with the layers of a network side by side: one by one they are too little for a GPU."""
        self.keep, self.pull = side_by_side(keep), side_by_side(pull)
        self.approach, self.divide = side_by_side(approach), side_by_side(divide)

    def state(self) -> dict[str, Tensor]:
        """Give by name all that the next step depends on beside the network itself: the living tensors, not copies."""
        kinds = {"master": self.masters, "u": self.u, "v": self.v, "sigma": self.sigma}
        state = {f"{kind}.{name}": value for kind, values in kinds.items() for name, value in values.items()}
        for name, learned in {**self.masters, **self.others}.items():
            state |= {f"{key}.{name}": value for key, value in self.adam.state[learned].items()}
        if self.scaler.is_enabled():
            scale, good_steps = self.scaler._scale, self.scaler._growth_tracker
            assert scale is not None
            assert good_steps is not None
            state |= {"scale": scale, "good_steps": good_steps}
        return state

    def prepare(self) -> None:
        """Make room for Adam's moments and the scale, else made at the first step, so that ``state`` is complete."""
        for learned in self.learned:
            self.adam.state[learned] = {
                "step": torch.zeros((), device=learned.device),
                "exp_avg": torch.zeros_like(learned),
                "exp_avg_sq": torch.zeros_like(learned),
            }
        self.scaler.scale(torch.zeros((), device=self.learned[0].device))


def keep(kept: list[Tensor], found: list[Tensor], more: bool) -> None:
    """Keep the gradients that were found, or add them to those that are kept."""
    for mine, new in zip(kept, found, strict=True):
        (mine.add_ if more else mine.copy_)(new)
