"""Evaluation: generated answers, their scores with intervals, comparisons, judges."""
