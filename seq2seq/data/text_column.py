"""Many texts as arrays, so that all of them can be looked at by a few calls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.intp]


class Texts:
    """A column of texts: their UTF-8, one behind the other, and where each begins and ends.

    Args:
        data: The bytes.
        bounds: Text n goes from byte ``bounds[n]`` to ``bounds[n + 1]``.
    """

    def __init__(self, data: npt.NDArray[np.uint8], bounds: npt.NDArray[np.int32]) -> None:
        self.data = data
        self.bounds = bounds

    @classmethod
    def of(cls, texts: Sequence[bytes]) -> Texts:
        """Makes a column.

        Args:
            texts: The texts, in UTF-8.

        Returns:
            The column.
        """
        bounds = np.zeros(len(texts) + 1, dtype=np.int32)
        np.cumsum(np.fromiter(map(len, texts), np.int32, len(texts)), out=bounds[1:])
        return cls(np.frombuffer(b"".join(texts), dtype=np.uint8), bounds)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        """The bytes of each text."""
        return np.diff(self.bounds)

    def some(self, places: Places) -> list[str]:
        """Decodes texts.

        Args:
            places: Which.

        Returns:
            The texts.
        """
        begins, ends = self.bounds[places].tolist(), self.bounds[places + 1].tolist()
        return [
            self.data[begin:end].tobytes().decode("utf-8", "surrogatepass")
            for begin, end in zip(begins, ends, strict=True)
        ]

    def with_bytes(self, at: Places) -> Places:
        """Finds the texts that some bytes belong to.

        Args:
            at: Where the bytes are.

        Returns:
            The places of their texts.
        """
        return np.searchsorted(self.bounds, at, "right") - 1
