"""The machine: devices, precision, compiling, memory, streams, processes.

May import ``config`` and the modules below it; not ``images`` or ``records``, its neighbours.
"""
