"""The command line with a small budget, for studios of tests and the runs that they start."""

import sys
from functools import partial

from few import QUICK, spend_little
from handful.cli.main import main
from handful.explore.project import Effort, project
from handful.metrics.protocol import PROTOCOLS
from handful.sampling import response
from handful.studio import likeness, processes

spend_little()
PROTOCOLS["quick"] = QUICK
response.LATENTS_PER_DIMENSION = 1
likeness.project = partial(project, effort=Effort(2, 1, 0, 1, 1))
processes.COMMAND = (sys.executable, __file__)
processes.NICENESS = 0  # or training would wait for other tests
arguments = sys.argv[1:]
if arguments[0] == "train":
    arguments += ["--score-features", "random", "--compile", "off", "--device", "cpu", "--projected-weight", "0"]
    arguments += ["--log-every", "1", "--checkpoint-every", "5"]
sys.exit(main(arguments))
