"""``handful check``: what in a folder of pictures would hurt training, which files, and what to do.

May import what ``data`` may import, and ``data``.
"""
