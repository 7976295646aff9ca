"""Networks that others trained, and where their weight files come from.

They are written out here, since torchvision is never imported. Imports what ``networks`` may import.
"""
