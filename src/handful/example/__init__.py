"""The demo: drawn flowers, trained on in minutes."""
