"""Near duplicates among texts."""
