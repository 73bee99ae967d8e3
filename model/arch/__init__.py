"""The model itself: presets, towers and how they are joined, attention, checkpoints."""
