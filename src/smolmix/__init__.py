"""Rebuild SmolVLM's training data, and train a compact vision-language model on it."""

__version__ = "0.1.0"
