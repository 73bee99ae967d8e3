"""Verbs of the `tokens` room."""

import typer


def add(app: typer.Typer) -> None:
    """Register the verbs."""
