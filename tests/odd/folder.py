"""Write the odd files: ``python tests/odd/folder.py FOLDER``. Without a folder, count them in a table."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from odd.case import Odd
from odd.others import all_others
from odd.pngs import all_pngs
from odd.profiles import all_profiles
from odd.tiffs import all_tiffs


def groups() -> dict[str, list[Odd]]:
    """Return all files, by what they are about."""
    return {
        "TIFF": all_tiffs(),
        "PNG": all_pngs(),
        "colour profiles": all_profiles(),
        "other formats, wrong names, no pictures": all_others(),
    }


def write(folder: Path) -> dict[str, Odd]:
    """Write all files, in one folder, and return them by name."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [odd for group in groups().values() for odd in group]
    for odd in files:
        (folder / odd.name).write_bytes(odd.data)
    by_name = {odd.name: odd for odd in files}
    assert len(by_name) == len(files)
    return by_name


def table() -> str:
    """Return how many files of each group are read with their colours, and how many are refused in words."""
    lines = ["| group | files | read with their colours | refused in words |", "|---|---|---|---|"]
    counts = [(name, len(odds), sum(bool(odd.refused) for odd in odds)) for name, odds in groups().items()]
    counts.append(("all", sum(count for _, count, _ in counts), sum(refused for _, _, refused in counts)))
    lines += [f"| {name} | {count} | {count - refused} | {refused} |" for name, count, refused in counts]
    return "\n".join(lines)


if __name__ == "__main__":
    print(f"{len(write(Path(sys.argv[1])))} files" if sys.argv[1:] else table())
