"""What the networks are trained to do: losses, penalties, augmentation."""
