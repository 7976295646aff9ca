"""Every part beyond the paper's recipe, for tests that want all of them."""

EVERY_PART = {
    "augment_schedule": "adaptive",
    "augment_probability": 0.8,
    "augment_ramp": 10,
    "smooth_discriminator": True,
    "spectrum_penalty": 1.0,
    "lattice_penalty": 1.0,
}
