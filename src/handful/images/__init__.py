"""One picture: decoding, channels, grids, sheets, videos.

May import ``config`` and the modules below it; not ``compute`` or ``records``, its neighbours.
"""
