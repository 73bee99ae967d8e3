"""Verbs of the `model` room."""

import typer


def add(app: typer.Typer) -> None:
    """Register the verbs."""
