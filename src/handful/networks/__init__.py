"""The generator, the discriminators, and what they are built of."""
