"""The page that a run leaves: what it learned from, how it went, what it draws and how much of that is its own."""
