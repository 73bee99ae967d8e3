"""Mixture specs: what their YAML may say, and how it is read."""
