"""A set of pictures: where it comes from, how it is decoded, divided into classes, held back and ordered.

May import ``images``, ``compute`` and ``records`` and everything below them; not ``networks`` or ``optim``, its
neighbours.
"""
