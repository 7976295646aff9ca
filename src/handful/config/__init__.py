"""Options of a run: fields, checks, presets. Imports no torch."""
