"""Verbs of the `curate` room."""

import typer


def add(app: typer.Typer) -> None:
    """Register the verbs."""
