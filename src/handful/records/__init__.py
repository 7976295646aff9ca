"""What a run folder holds: its file names, settings, log, scores and verdict. Imports no torch.

May import ``config`` and the modules below it; not ``images`` or ``compute``, its neighbours.
"""
