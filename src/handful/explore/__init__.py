"""What a trained generator has learned: interpolation, neighbours, mixing, projection, directions.

May import ``metrics`` and everything below it; not ``reporting``, its neighbour.
"""
