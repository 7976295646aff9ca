"""What a Space gets, beside its model: files that need neither handful nor PyTorch."""
