"""Listens to what a user is told."""

from handful.progress import Quiet


class Notes(Quiet):
    """Keeps every line."""

    def __init__(self):
        self.lines: list[str] = []

    def note(self, text):
        self.lines.append(text)
