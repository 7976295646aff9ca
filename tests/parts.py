"""All parts beyond the published recipe that can be had together, in one place for the tests that want them all."""

EVERY_PART = {
    "normalisation": "chain",
    "lecam": 0.3,
    "augment_schedule": "adaptive",
    "augment_probability": 0.8,
    "augment_ramp": 10,
    "augment_together": True,
    "normalised_latent": True,
    "smooth": True,
    "smooth_discriminator": True,
    "emphasis": 2.0,
    "nice": 1.0,
    "augself": 0.1,
    "loss": "relativistic",
    "gradient_penalty": 0.1,
    "penalty_every": 2,
    "learning_rate_fall": 0.5,
    "spectrum": 1.0,
    "lattice": 1.0,
}
