"""Verbs of the `run` room."""

import typer


def add(app: typer.Typer) -> None:
    """Register the verbs."""
