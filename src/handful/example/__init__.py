"""The demo: drawn flowers, and a run that learns them in minutes.

May import ``training`` and everything below it.
"""
