"""The page of a run, ``report.html``: settings, scores, pictures, curves and the nearest training images.

May import ``metrics`` and everything below it; not ``explore``, its neighbour.
"""
