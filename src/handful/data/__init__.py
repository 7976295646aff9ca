"""A set of pictures: where it comes from, decoded, divided, read step by step."""
