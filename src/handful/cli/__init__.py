"""The command line: what each command takes, calls and answers.

Each command is a thin shell over one public function. May import every other package but ``studio`` and ``export``, and
torch only where a command runs: ``--help`` and wrong use are answered without it.
"""
