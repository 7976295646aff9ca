"""``handful studio``: train, watch and explore in a browser, on the user's own machine.

``server`` puts the rest together. ``access`` decides who may ask and ``places`` what may be read; ``library``, ``live``
and ``processes`` know runs; ``engine``, ``recipe`` and ``explorer`` draw pictures; ``tasks`` is work that takes long;
``pages`` is what the browser gets. A run folder is the only contract with a run: each trains in a process of its own.
May import everything but ``cli``.
"""
