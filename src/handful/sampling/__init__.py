"""Drawing pictures from a trained generator: ``Model``, latents and latent files, truncation.

A picture depends on the model and its seed alone. May import ``networks``, ``data`` and ``optim`` and everything below
them; not ``objective``, its neighbour.
"""
