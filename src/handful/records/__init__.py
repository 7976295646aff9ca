"""What a run folder holds, and how it is read. Imports no torch."""
