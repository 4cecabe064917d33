# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Picture buffers that are used again once nobody holds them any more."""

from __future__ import annotations

import sys
import threading

import numpy as np
import numpy.typing as npt

_HELD_BY_LIST: list[object] = [object()]
_FREE = sys.getrefcount(_HELD_BY_LIST[0])
"""What getrefcount says of an object that only a list holds."""


class BufferPool:
    """Lends float32 arrays; fresh memory costs a page fault every 4 kB of every frame.

    A buffer is free when the pool holds the only reference to it: an array, a view of it and a
    tensor made of it all count, so a picture that is still held anywhere is never overwritten.
    Safe to use from several threads.

    :param keep: how many buffers are remembered; the oldest is forgotten beyond it.
    """

    def __init__(self, keep: int = 12) -> None:
        """Start with no buffer."""
        self._keep = keep
        self._buffers: list[npt.NDArray[np.float32]] = []
        self._lock = threading.Lock()

    def take(self, *shape: int) -> npt.NDArray[np.float32]:
        """Return an array of this shape with undefined contents."""
        with self._lock:
            for index in range(len(self._buffers)):
                free = sys.getrefcount(self._buffers[index]) == _FREE
                if free and self._buffers[index].shape == shape:
                    return self._buffers[index]
            buffer = np.empty(shape, dtype=np.float32)
            self._buffers.append(buffer)
            del self._buffers[: -self._keep]
            return buffer
