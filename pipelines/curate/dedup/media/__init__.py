"""Near duplicates among images and clips: hashes propose, pixels decide."""
