# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Which triangle lies across each edge of a mesh."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from diffphyscam_ros.render.geometry import Geometry

# Odd constants of the splitmix64 generator: they spread the bits of what they multiply.
_SPREAD = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93)


def _welded(geometry: Geometry) -> npt.NDArray[np.int64]:
    """Return (V,): one number for all vertices of an instance at the same place.

    Texture seams and STL files repeat vertices; their surface goes on across the copies.
    """
    # Adding 0 turns −0 into 0; places are compared by a 64-bit hash of their bits.
    places = (geometry.vertices.detach().cpu().float().numpy() + np.float32(0.0)).view(np.uint32)
    columns = [places[:, k].astype(np.uint64) for k in range(3)]
    columns.append(geometry.vertex_instance.cpu().numpy().astype(np.uint64))
    total = np.zeros(len(places), np.uint64)
    for column, spread in zip(columns, _SPREAD, strict=True):
        total = (total ^ (column + np.uint64(1))) * np.uint64(spread)
        total ^= total >> np.uint64(31)
    return np.unique(total, return_inverse=True)[1].reshape(-1).astype(np.int64)


def face_neighbours(geometry: Geometry) -> npt.NDArray[np.int32]:
    """Return (F, 3) int32: the face across the edge from corner k to k + 1.

    −1 at borders, and where more than two faces meet.
    """
    faces = geometry.faces.cpu().numpy()
    neighbours = np.full((len(faces), 3), -1, np.int32)
    if len(faces) == 0:
        return neighbours
    corners = _welded(geometry)[faces]
    ends = np.sort(np.stack([corners, np.roll(corners, -1, axis=1)], axis=-1), axis=-1)
    keys = (ends[..., 0] * (corners.max() + 1) + ends[..., 1]).reshape(-1)
    order = np.argsort(keys, kind='stable')
    ordered = keys[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    counts = np.diff(np.r_[starts, len(ordered)])
    first = starts[counts == 2]
    one, other = order[first], order[first + 1]
    flat = neighbours.reshape(-1)
    flat[one], flat[other] = other // 3, one // 3
    return neighbours
