"""Images and clips to tiles."""
