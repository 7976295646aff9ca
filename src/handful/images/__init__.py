"""One picture: decoding, channels, grids, sheets, films.

May import ``config`` and the modules below it; not ``compute`` or ``records``, its neighbours.
"""
