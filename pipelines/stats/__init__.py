"""Statistics of any stage's output, read lazily from its files."""
