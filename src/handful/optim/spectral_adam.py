"""Adam for a network whose convolutions have spectral norm one, renewed once per step for the whole network.

The network computes with plain convolutions. Their weights are ``W / sigma(W)``, written here from master weights ``W``
that only the optimiser sees. So weights are normalised once a step, however often the network runs in it; an averaged
or saved network has no spectral norm to fold; and weights keep their place in memory. Masters are float32, whatever
the network computes in.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from jaxtyping import Float
from torch import Tensor, nn

from handful.compute.compiling import compile_fused
from handful.compute.shared_batch import average_gradients
from handful.optim.spectral_norm import (
    as_matrix,
    grads_to_masters,
    master_of,
    outputs_first,
    power_iteration,
    select,
    unit_vector,
    write_normalised,
)

INITIAL_POWER_ITERATIONS = 15
"""Power iterations before the first step, from random vectors."""


class SpectralAdam:
    """Adam on the master weights of a network's convolutions, and on its other parameters as they are.

    Each step: turn the gradients by the normalised weights into those by the masters, take Adam's step, renew ``sigma``
    by one power iteration, write ``W / sigma`` into the network. Initialise the network's weights before. A step never
    waits for the GPU and keeps every tensor's place in memory, so it can be captured.

    In float16 the loss is scaled up before the backward pass. A step whose gradients overflow is skipped and halves the
    scale; 2,000 good steps double it.

    Source: Spectral normalisation (Miyato et al. 2018), section 2.1 and algorithm 1; Adam (Kingma and Ba 2015); loss
    scaling (Micikevicius et al. 2018), section 3.2. The released FastGAN renews ``sigma`` at every forward pass in
    training, three times a step in its discriminator.
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
        normalised = {f"{name}.weight" for name in self.layers}
        self.others = {name: value for name, value in network.named_parameters() if name not in normalised}
        """The parameters that are not normalised."""
        for name, layer in self.layers.items():
            layer.weight.data = outputs_first(layer, self.masters[name].to(precision, copy=True))
        self.learned = [*(master.requires_grad_() for master in self.masters.values()), *self.others.values()]
        rate = torch.tensor(learning_rate, device=device)  # a tensor, as capturing needs it
        self.adam = torch.optim.Adam(self.learned, rate, betas, fused=True, capturable=device.type == "cuda")
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == torch.float16)
        self.add_gradients, self.grads_to_masters = add_gradients, grads_to_masters
        self.power_iteration, self.write_normalised = power_iteration, write_normalised
        self.init_moments()
        self.init_sigma()

    def compile(self) -> None:
        """Compile all but Adam, fused over layers: one by one they are too little work for a GPU."""
        self.add_gradients, self.grads_to_masters = compile_fused(add_gradients), compile_fused(grads_to_masters)
        self.power_iteration, self.write_normalised = compile_fused(power_iteration), compile_fused(write_normalised)

    def accumulate_grads(self, loss: Float[Tensor, ""], *, more: bool = False) -> None:
        """Compute the gradient of ``loss`` for the next step; ``more`` adds it to those computed before.

        Gradients of convolutions are accumulated in float32. Nothing else changes.
        """
        learning = {name: value for name, value in self.network.named_parameters() if value.requires_grad}
        # backward() would first bring each gradient to the memory format of its parameter.
        gradients = torch.autograd.grad(self.scaler.scale(loss), [*learning.values()], allow_unused=True)
        sums, terms = [], []
        for (name, parameter), gradient in zip(learning.items(), gradients, strict=True):
            layer = self.layers.get(name.removesuffix(".weight"))
            learned = parameter if layer is None else self.masters[name.removesuffix(".weight")]
            if gradient is None:  # not part of the loss, such as the generator's small image if nothing judges it
                learned.grad = learned.grad if more else None
                continue
            if learned.grad is None:
                learned.grad = torch.zeros_like(learned)
            sums.append(learned.grad)
            terms.append(gradient if layer is None else outputs_first(layer, gradient))
        self.add_gradients(sums, terms, more)

    def step(self) -> None:
        """Take one step down the accumulated gradients."""
        self.convert_gradients()
        average_gradients(self.learned)
        self.scaler.step(self.adam)
        self.scaler.update()
        # The norm of a layer that is not trained must not move either.
        self.update_sigma([name for name, layer in self.layers.items() if layer.weight.requires_grad])
        self.write_weights()

    @torch.no_grad()
    def convert_gradients(self) -> None:
        """Turn the accumulated gradients by normalised weights into those by the masters."""
        gradients = {name: as_matrix(master.grad) for name, master in self.masters.items() if master.grad is not None}
        self.grads_to_masters([*gradients.values()], *self.singular(gradients))

    @torch.no_grad()
    def update_sigma(self, names: Collection[str]) -> None:
        """Take one power iteration towards the largest singular value of these layers."""
        self.power_iteration(*self.singular(names))

    @torch.no_grad()
    def write_weights(self) -> None:
        """Write the normalised weights into the network, in place."""
        weights = [outputs_first(layer, layer.weight.detach()) for layer in self.layers.values()]
        self.write_normalised(weights, select(self.masters, self.layers), [*self.sigma.values()])

    @torch.no_grad()
    def exact_weights(self) -> list[Tensor]:
        """Return the network's parameters before they are rounded to its precision, in their order in the network."""
        exact = {
            f"{name}.weight": outputs_first(layer, self.masters[name] / self.sigma[name])
            for name, layer in self.layers.items()
        }
        return [exact.get(name, value) for name, value in self.network.named_parameters()]

    @torch.no_grad()
    def load(self, values: dict[str, Tensor], vectors: dict[str, Tensor]) -> None:
        """Load parameters, and left singular vectors of layers, by their names in the network; leave the others."""
        for name, value in values.items():
            layer = name.removesuffix(".weight")
            if name in self.others:
                self.others[name].copy_(value)
            else:
                self.masters[layer].copy_(outputs_first(self.layers[layer], value))
        for layer, vector in vectors.items():
            self.u[layer].copy_(vector)
        self.init_sigma()

    def state(self) -> dict[str, Tensor]:
        """Return by name all that the next step depends on besides ``others``: the tensors themselves, not copies."""
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

    def singular(self, names: Collection[str]) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
        """Return the matrices of these layers, and the vectors ``u``, ``v`` and ``sigma`` of their largest value."""
        return select(self.matrices, names), select(self.u, names), select(self.v, names), select(self.sigma, names)

    def init_sigma(self) -> None:
        """Find the largest singular values of weights that were just set, and write the normalised weights."""
        for _ in range(INITIAL_POWER_ITERATIONS):
            self.update_sigma(self.layers)
        self.write_weights()

    def init_moments(self) -> None:
        """Allocate Adam's moments and the loss scale now, not at the first step, so that ``state`` is complete."""
        for learned in self.learned:
            self.adam.state[learned] = {
                "step": torch.zeros((), device=learned.device),
                "exp_avg": torch.zeros_like(learned),
                "exp_avg_sq": torch.zeros_like(learned),
            }
        self.scaler.scale(torch.zeros((), device=self.learned[0].device))


def add_gradients(sums: list[Tensor], terms: list[Tensor], more: bool) -> None:
    """Add the gradients to the sums if there are ``more``; else overwrite the sums."""
    for total, term in zip(sums, terms, strict=True):
        (total.add_ if more else total.copy_)(term)
