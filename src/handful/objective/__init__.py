"""What the networks are trained to do: losses, penalties, augmentation and the controls that adapt them.

May import ``networks``, ``data`` and ``optim`` and everything below them; not ``sampling``, its neighbour.
"""
