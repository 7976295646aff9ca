"""Networks that others trained, and where their weight files come from.

Written here because torchvision is never imported. May import what ``networks`` may.
"""
