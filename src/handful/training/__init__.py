"""The training loop, its step, and the run around it: folder, checkpoints, scores, forecasts, processes.

Start with ``loop`` and ``step``. ``setup`` prepares a run, ``run`` does what is due beside its steps, ``writer`` writes
its folder. May import ``explore`` and ``reporting`` and everything below them.
"""
