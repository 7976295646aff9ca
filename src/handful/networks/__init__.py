"""The generator, the discriminators and their layers. They do not depend on how they are trained.

May import ``images``, ``compute`` and ``records`` and everything below them; not ``data`` or ``optim``, its neighbours.
"""
