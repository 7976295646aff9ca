"""The options of a run: fields, ranges, checks, presets, sizes. Imports no torch.

May import ``errors``, ``files``, ``progress`` and ``seeds`` only.
"""
