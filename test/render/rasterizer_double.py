# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""A stand-in for ``nvdiffrast.torch`` on the CPU, written from that library's documentation.

It keeps to what the documentation says of ``RasterizeCudaContext`` and ``rasterize``: the types,
shapes and memory layout of the arguments, range mode and instanced mode, OpenGL's clip space
with −1 ≤ x/w, y/w, z/w ≤ 1, row 0 at the bottom (y = −1), point sampling at pixel centres, no
culling of either side, and (u, v, z/w, triangle_id + 1) in float32, zeros where nothing is. So
whoever uses it wrongly is found out without a GPU; how fast and how exact the real one is, is not.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

Floats = npt.NDArray[np.float64]


class RasterizeCudaContext:
    """The documented class: it remembers the device that it was made for."""

    def __init__(self, device: torch.device | str | int | None = None) -> None:
        """Take a torch.device, a name, an index or None."""
        self.device = torch.device('cpu' if device is None else device)


class Rasterizer:
    """The module's functions.

    :param subpixel_bits: of the grid that corners are moved to, as the CUDA rasterizer does with
        4 (documented under "Rasterizing with CUDA vs OpenGL"); None for exact corners.
    """

    RasterizeCudaContext = RasterizeCudaContext

    def __init__(self, subpixel_bits: int | None = None) -> None:
        """Start; ``calls`` counts the rasterizations."""
        self.subpixel_bits = subpixel_bits
        self.calls = 0

    def rasterize(
        self,
        glctx: RasterizeCudaContext,
        pos: torch.Tensor,
        tri: torch.Tensor,
        resolution: tuple[int, int],
        ranges: torch.Tensor | None = None,
        grad_db: bool = True,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Rasterize, having refused what the documentation does not allow."""
        self.calls += 1
        assert isinstance(glctx, RasterizeCudaContext)
        for tensor in (pos, tri):
            assert tensor.is_contiguous() and tensor.device == glctx.device
            assert tensor.numel() > 0
        assert pos.dtype == torch.float32 and pos.shape[-1] == 4
        assert tri.dtype == torch.int32 and tri.ndim == 2 and tri.shape[1] == 3
        assert int(tri.min()) >= 0 and int(tri.max()) < pos.shape[-2]
        assert isinstance(resolution, tuple) and all(type(one) is int for one in resolution)
        assert isinstance(grad_db, bool)
        corners = pos.detach().double().numpy()
        faces = tri.numpy()
        if pos.ndim == 3:  # instanced mode: ranges are ignored
            batch = [(points, faces, 0) for points in corners]
        else:
            assert ranges is not None and ranges.dtype == torch.int32 and ranges.ndim == 2
            assert ranges.device.type == 'cpu' and ranges.shape[1] == 2
            batch = [
                (corners, faces[first : first + count], first) for first, count in ranges.tolist()
            ]
        height, width = resolution
        pictures = np.stack([self._draw(*one, height, width) for one in batch])
        return torch.from_numpy(pictures), torch.zeros(len(batch), height, width, 4)

    def _draw(
        self,
        points: Floats,
        faces: npt.NDArray[np.int32],
        first: int,
        height: int,
        width: int,
    ) -> npt.NDArray[np.float32]:
        x = (2.0 * np.arange(width) + 1.0) / width - 1.0
        y = (2.0 * np.arange(height)[:, None] + 1.0) / height - 1.0
        out = np.zeros((height, width, 4))
        nearest = np.full((height, width), np.inf)
        for number, face in enumerate(faces):
            corners = self._snapped(points[face], height, width)
            # Each pixel's point is the sum of b_i · (x_i, y_i, w_i), up to a factor: b_i / Σb are
            # its barycentric coordinates in space, all ≥ 0 within the triangle, before the eye.
            try:
                inverse = np.linalg.inv(corners[:, [0, 1, 3]].T)
            except np.linalg.LinAlgError:
                continue  # seen edge on
            rows, columns = self._extent(corners, height, width)
            weights = (
                inverse[:, 0, None, None] * x[columns]
                + inverse[:, 1, None, None] * y[rows]
                + inverse[:, 2, None, None]
            )
            total = weights.sum(axis=0)  # 1 / w of the point
            with np.errstate(divide='ignore', invalid='ignore'):
                # z / w of the point, as exact as a GPU holds it
                depth = np.tensordot(corners[:, 2], weights, 1).astype(np.float32)
                shares = weights / total
            inside = (weights >= 0).all(axis=0) & (total > 0) & (np.abs(depth) <= 1.0)
            nearer = inside & (depth < nearest[rows, columns])
            nearest[rows, columns][nearer] = depth[nearer]
            values = np.stack(
                [shares[0], shares[1], depth, np.full_like(depth, first + number + 1)]
            )
            out[rows, columns][nearer] = values[:, nearer].T
        return out.astype(np.float32)

    @staticmethod
    def _extent(corners: Floats, height: int, width: int) -> tuple[slice, slice]:
        """Return the rows and columns that a triangle can reach: all, if it reaches behind."""
        if bool((corners[:, 3] <= 0).any()):
            return slice(None), slice(None)
        slices = []
        for axis, size in ((1, height), (0, width)):
            place = (corners[:, axis] / corners[:, 3] + 1.0) / 2.0 * size
            low, high = np.clip([place.min() - 1.0, place.max() + 1.0], 0, size)
            slices.append(slice(int(low), int(np.ceil(high))))
        return slices[0], slices[1]

    def _snapped(self, corners: Floats, height: int, width: int) -> Floats:
        """Move corners in front of the eye to the subpixel grid."""
        if self.subpixel_bits is None or bool((corners[:, 3] <= 0).any()):
            return corners
        moved = corners.copy()
        for axis, size in ((0, width), (1, height)):
            scale = size / 2 * 2**self.subpixel_bits
            moved[:, axis] = np.round(corners[:, axis] / corners[:, 3] * scale) / scale
            moved[:, axis] *= corners[:, 3]
        return moved
