"""Verbs of the `mix` room."""

import typer


def add(app: typer.Typer) -> None:
    """Register the verbs."""
