"""Matrix products of few rows, for which BLAS libraries are not made.

With one row, BLAS reads a matrix once; with many, it pays to rearrange it first. With the few rows
of one sentence's beam, rearranging takes longer than the product. Tiles of some columns are small
enough to be multiplied as they are: measured with OpenBLAS, 2 to 16 rows take a half to a third of
the time.

Shapes: N rows, K inputs, X outputs.
"""

from __future__ import annotations

import numpy as np

from seq2seq.search.model import Floats32

_TILE = 128  # columns
_MOST_ROWS = 16
_LEAST_SIZE = 2**20  # smaller matrices stay in the cache, however they are multiplied


class Matrix:
    """A matrix to multiply rows with.

    Args:
        weight_KX: The matrix.
    """

    def __init__(self, weight_KX: Floats32) -> None:
        self.weight_KX = np.ascontiguousarray(weight_KX)
        self._tiles: Floats32 | None = None  # made when there is use for them

    def times(self, x_NK: Floats32) -> Floats32:
        """Multiplies rows with the matrix.

        Args:
            x_NK: The rows.

        Returns:
            (N, X), a new array.
        """
        weight_KX = self.weight_KX
        if not 1 < len(x_NK) <= _MOST_ROWS or weight_KX.size < _LEAST_SIZE:
            product: Floats32 = x_NK @ weight_KX
            return product
        if self._tiles is None:
            tiled = weight_KX[:, : weight_KX.shape[1] // _TILE * _TILE]
            by_tile = tiled.reshape(len(weight_KX), -1, _TILE).transpose(1, 0, 2)
            self._tiles = np.ascontiguousarray(by_tile)
        out_NX = np.empty((len(x_NK), weight_KX.shape[1]), dtype=np.float32)
        width = len(self._tiles) * _TILE
        tiles = out_NX[:, :width].reshape(len(x_NK), -1, _TILE).transpose(1, 0, 2)
        np.matmul(x_NK, self._tiles, out=tiles)
        if width < out_NX.shape[1]:
            np.matmul(x_NK, weight_KX[:, width:], out=out_NX[:, width:])
        return out_NX
