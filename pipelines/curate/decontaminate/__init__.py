"""Contamination: what of a benchmark, or of a user's file, is in training data."""
