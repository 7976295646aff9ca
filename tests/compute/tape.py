"""Records a step and replays it in the same memory, as a CUDA graph does, on the CPU."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Tape(TorchDispatchMode):
    """Records every operation with the memory that it uses, and replays them.

    As in a CUDA graph, numbers from the host are constants, and operations that return a value to the host are refused.
    """

    REFUSED = ("_local_scalar_dense", "nonzero", "item", "is_nonzero", "equal", "unique", "masked_select")
    RESHAPING = ("squeeze_", "unsqueeze_", "t_", "transpose_")

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        options = options or {}
        name = function._schema.name.removeprefix("aten::")
        assert name not in self.REFUSED, f"{name} waits for the device"
        before = same_memory((arguments, options))
        result = function(*arguments, **options)
        if name not in self.RESHAPING:
            self.calls.append((function, *before, same_memory(result)))
        return result

    @torch.no_grad()
    def replay(self):
        for function, arguments, options, result in self.calls:
            again = function(*arguments, **options)
            inputs = {each.untyped_storage().data_ptr() for each in tensors((arguments, options))}
            for old, new in zip(tensors(result), tensors(again), strict=True):
                if old.untyped_storage().data_ptr() not in inputs:  # else it is a view, or was written in place
                    old.copy_(new)


def same_memory(values):
    """Views of the tensors, which keep their shape if a tensor is reshaped in place."""
    return torch.utils._pytree.tree_map_only(torch.Tensor, torch.Tensor.detach, values)


def tensors(values) -> list[torch.Tensor]:
    return [each for each in torch.utils._pytree.tree_leaves(values) if isinstance(each, torch.Tensor)]


class Taped:
    """Stands in for ``Captured``: runs the first step, records the second, and replays it from then on."""

    def __init__(self, function, random):
        self.function, self.called, self.tape = function, 0, Tape()

    def __call__(self):
        self.called += 1
        if self.called == 1:
            return self.function()
        if self.called == 2:
            with self.tape:
                self.results = self.function()
        else:
            self.tape.replay()
        return {name: value.clone() for name, value in self.results.items()}
