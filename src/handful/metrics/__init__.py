"""The scores of a generator, or of a folder of images, against its training images.

Each score is a function of features or pixels; ``evaluation`` computes them together, by a named ``protocol``.
May import ``sampling`` and ``objective`` and everything below them.
"""
