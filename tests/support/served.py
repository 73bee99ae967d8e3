"""A corpus of plain HTTP files on loopback, and archives for it."""

import io
import tarfile
from collections.abc import Mapping
from typing import Any

from smolmix.pipelines.sources.source import Http, Source


def served(site: Any, **fields: Any) -> Source:
    """Return the corpus `served`, whose files are those of the site.

    Args:
        site: the `site` fixture, with its files set.
        fields: of the source: `format`, `adapt`, `rows_in`, `media_in`.
    """
    urls = tuple((path.lstrip("/"), f"{site.url}{path}") for path in site.files)
    return Source(
        id="served",
        title="Served",
        role="vision",
        modality="image",
        licence="MIT",
        origin=Http(urls=urls, revision="v1"),
        **fields,
    )


def tar_bytes(members: Mapping[str, bytes], mode: str = "w:gz") -> bytes:
    """Return a tar, gzipped by default."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]  # the mode is any text
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()
