"""The training loop, its step, and the run around it: folder, checkpoints, scores, forecasts, processes.

Start with ``loop`` and ``step``. May import ``explore`` and ``reporting`` and everything below them.
"""
