"""Scores that stay honest at a hundred images."""
