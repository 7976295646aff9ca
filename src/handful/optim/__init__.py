"""Adam with spectral normalisation, and the averaged generator."""
