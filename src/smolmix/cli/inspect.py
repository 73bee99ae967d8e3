"""Verbs of the `inspect` room."""

import typer


def add(app: typer.Typer) -> None:
    """Register the verbs."""
