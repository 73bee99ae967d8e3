"""Verbs of the `corpora` room."""

import typer


def add(app: typer.Typer) -> None:
    """Register the verbs."""
