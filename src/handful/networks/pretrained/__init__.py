"""Networks that others trained, written out here since torchvision is never imported."""
