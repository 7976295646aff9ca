"""Progress on a terminal, in a notebook and in a log file."""

import io
import re
import sys
import time
from types import ModuleType

import pytest
from rich.console import Console

from handful.displays import Bars, Lines, Notebook, display, duration
from handful.progress import Quiet, advance, note, show_entry, shown_on, working
from notes import Notes

ENTRY = {"step": 200, "steps": 2000, "seconds_left": 75.0, "images_per_second": 70.123}
ENTRY |= {"discriminator": 1.5, "generator": 0.25, "reconstruction": 0.5}
SCORE = {"kid": 0.1234, "kid_error": 0.02, "copies": 0.25, "novelty": 1.0, "spread": 0.5}
LOSSES = "discriminator 1.500  generator 0.250  reconstruction 0.500"


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("handful.displays.monotonic", clock)
    return clock


@pytest.fixture
def log():
    return io.StringIO()


@pytest.fixture
def lines(log, clock):
    return Lines(Console(file=log))


def entry(step: int) -> dict:
    return ENTRY | {"step": step}


def test_durations_have_two_units():
    assert [duration(seconds) for seconds in (45.0, 200.2, 7500.0)] == ["45 s", "3 min 20 s", "2 h 05 min"]


def test_a_report_is_a_line_with_rate_time_left_and_losses_where_output_is_a_file(lines, log):
    lines.advance("training", 200, 2000)
    lines.report(ENTRY)
    assert log.getvalue() == f"step 200 of 2,000  1 min 15 s left  70.1 images/s  {LOSSES}\n"


def test_a_log_file_has_the_first_report_the_last_and_one_each_half_minute(lines, log, clock):
    for step in range(1, 2001):
        clock.now += 0.1  # 10 steps a second: a report each 10 seconds, 200 seconds in all
        lines.advance("training", step, 2000)
        if step % 100 == 0:
            lines.report(entry(step))
    lines.close()
    steps = [int(step.replace(",", "")) for step in re.findall(r"step ([\d,]+) of", log.getvalue())]
    assert steps == [100, 400, 700, 1000, 1300, 1600, 1900, 2000]


def test_the_last_report_of_a_run_that_ends_early_is_printed_too(lines, log):
    lines.report(entry(100))
    lines.report(entry(150))
    assert "step 150" not in log.getvalue()
    lines.close()
    assert log.getvalue().count("step 150 of") == 1


def test_slow_steps_are_counted_while_no_report_is_due(lines, log, clock):
    for step in range(1, 10):
        lines.advance("training", step, 100)
        clock.now += 20
    assert log.getvalue().splitlines() == [
        "training: 3 of 100, 32 min 20 s left",
        "training: 5 of 100, 31 min 40 s left",
        "training: 7 of 100, 31 min 00 s left",
        "training: 9 of 100, 30 min 20 s left",
    ]


def test_a_long_task_is_a_line_each_half_minute_and_a_short_one_none(lines, log, clock):
    for _ in range(2):  # the second time begins anew
        for done in range(0, 257, 8):
            lines.advance("scoring", done, 256)
            clock.now += 2
        lines.advance("reading", 2, 2)
        clock.now += 20
    said = ["scoring: 120 of 256, 34 s left", "scoring: 240 of 256, 4 s left"]
    assert log.getvalue().splitlines() == said * 2


def test_scores_have_a_line_of_their_own(lines, log):
    lines.report(ENTRY)
    lines.report(entry(300) | SCORE)
    said = "score at step 300: KID 0.123 ± 0.020, 25% copies, novelty 1.00, spread 0.50"
    assert log.getvalue().splitlines()[1:] == [said]


def screen(stream: io.StringIO) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())


def test_a_bar_on_a_terminal_of_80_columns_shows_everything(log):
    bars = Bars(Console(file=log, force_terminal=True, width=80))
    bars.advance("reading images", 100, 100)
    bars.advance("training", 12_345, 50_000)
    bars.report(ENTRY)
    bars.note("a [note] with brackets")
    bars.close()
    assert "a [note] with brackets" in screen(log)
    last = screen(log).rstrip().splitlines()[-1]
    assert "12345/50000" in last
    assert "70.1 images/s D 1.50 G 0.25 R 0.50" in last
    assert "reading images" not in last


def test_a_task_that_begins_again_has_time_left_again(log):
    bars = Bars(Console(file=log, force_terminal=True, width=80))
    bars.advance("scoring", 256, 256)
    bars.advance("scoring", 1, 256)
    assert bars.bars is not None
    assert not bars.bars.tasks[0].finished
    bars.close()


def test_compiling_shows_elapsed_seconds_on_a_terminal_and_leaves_nothing(log):
    bars = Bars(Console(file=log, force_terminal=True, width=80))
    bars.working("compiling", 12.0)
    assert bars.bars is not None
    bars.bars.refresh()
    assert re.search(r"compiling \S+ +12 s", screen(log))
    bars.working("compiling", None)
    bars.advance("training", 1, 100)
    bars.close()
    assert "compiling" not in screen(log).rstrip().splitlines()[-1]


def test_compiling_is_a_line_each_half_minute_in_a_log_file(lines, log):
    for _ in range(2):
        for seconds in range(1, 70):
            lines.working("compiling", float(seconds))
        lines.working("compiling", None)
    assert log.getvalue().splitlines() == ["compiling: 30 s", "compiling: 1 min 00 s"] * 2


def test_elapsed_time_is_shown_while_the_thread_that_works_calls_nothing(monkeypatch):
    monkeypatch.setattr("handful.progress.SECONDS_PER_TICK", 0.005)
    monkeypatch.setattr("handful.progress.monotonic", clock := Clock())
    told: list[float | None] = []
    progress = Quiet()
    progress.working = lambda task, seconds: told.append(seconds)
    with shown_on(progress), working("compiling"):
        clock.now += 7
        while not told:
            time.sleep(0.005)
    assert set(told[:-1]) == {7.0}
    assert told[-1] is None
    count = len(told)
    time.sleep(0.02)
    assert len(told) == count


def test_elapsed_time_ends_with_a_block_that_fails():
    told: list[float | None] = []
    progress = Quiet()
    progress.working = lambda task, seconds: told.append(seconds)
    with pytest.raises(KeyError), shown_on(progress), working("compiling"):
        raise KeyError
    assert told == [None]
    with working("compiling"):  # shown nowhere
        pass


class Handle:
    """What IPython returns for a display that can be updated; keeps every state."""

    def __init__(self, shown) -> None:
        self.states = [shown._repr_html_()]

    def update(self, shown) -> None:
        self.states.append(shown._repr_html_())


@pytest.fixture
def cell(monkeypatch):
    """The bars that a notebook cell shows, through a stand-in for IPython."""
    handles: list[Handle] = []

    def show(shown, display_id):
        handles.append(Handle(shown))
        return handles[-1]

    module = ModuleType("IPython.display")
    module.display = show
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return handles


def test_a_notebook_has_one_bar_and_no_line_a_report(cell, clock, capsys, monkeypatch):
    monkeypatch.setattr("handful.displays.Console", lambda **how: Console(force_jupyter=True))
    with shown_on():
        for step in range(1, 2001):
            clock.now += 0.01
            advance("training", step, 2000)
            if step % 100 == 0:
                show_entry(entry(step))
        show_entry(ENTRY | SCORE)
        note("best: step 1,500")
    (bar,) = cell
    assert len(bar.states) < 150
    assert bar.states[-1].startswith('<progress value="2000" max="2000"></progress> training 2,000 of 2,000')
    assert "70.1 images/s D 1.50 G 0.25 R 0.50" in bar.states[-1]
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_what_a_notebook_shows_is_escaped_and_a_task_without_total_shows_seconds(cell):
    bar = Notebook()
    bar.working("compiling", 12.0)
    bar.advance("reading <i>", 1, 2)
    bar.close()
    assert cell[0].states[0] == "<progress></progress> compiling 12 s"
    assert "reading &lt;i&gt; 1 of 2" in cell[0].states[-1]


def test_the_display_is_chosen_by_where_output_goes():
    assert isinstance(display(Console(force_jupyter=True)), Notebook)
    assert isinstance(display(Console(file=io.StringIO(), force_terminal=True)), Bars)
    assert isinstance(display(Console(file=io.StringIO())), Lines)


def test_inner_work_is_shown_where_the_caller_shows_its_own():
    outer, inner = Notes(), Notes()
    with shown_on(outer):
        with shown_on():
            note("a")
        with shown_on(inner):
            note("b")
        note("c")
    note("nowhere")
    assert (outer.lines, inner.lines) == (["a", "c"], ["b"])
