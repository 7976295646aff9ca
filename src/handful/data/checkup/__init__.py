"""The dataset doctor: what in a folder of pictures would hurt training, which files, and what to do."""
