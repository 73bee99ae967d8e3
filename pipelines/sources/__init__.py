"""How a corpus is described: its files, its rows, and what a row becomes."""
