"""A raw stream that keeps its place: what a reader by parts or by ranges starts from."""

import io


class Placed(io.RawIOBase):
    """Readable and seekable; a subclass says what `readinto` reads at `self._at`."""

    def __init__(self, size: int):
        """Start at the first of `size` bytes."""
        self._size, self._at = size, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move; returns the new place."""
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at
