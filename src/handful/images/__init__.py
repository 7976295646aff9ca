"""One picture: decoding, writing, grids, sheets, films."""
