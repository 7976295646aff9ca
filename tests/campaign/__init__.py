"""Tries to lose a run and to misread a file: faults at every file operation, damaged files, strangers' files.

    make campaign                                        # all of it, some minutes
    PYTHONPATH=tests .venv/bin/python -m campaign --short     # a sample of it, seconds

Prints a table of tries, of those that ended as promised, and each one that did not.
"""
