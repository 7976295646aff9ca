"""Other programs that show a run while it trains (``--track``): one interface, and a module for each of them.

Imports ``records``, ``config`` and what these import; a tracker's own package only once a run writes to it.
"""
