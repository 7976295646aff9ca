"""Adam with spectral normalisation once a step, and the averaged generator.

May import ``images``, ``compute`` and ``records`` and everything below them; not ``networks`` or ``data``, its
neighbours.
"""
