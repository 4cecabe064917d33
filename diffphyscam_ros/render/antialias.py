# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Smooth silhouettes: a step after shading that also carries gradients to what covers what.

Between two pixel centres with a silhouette at the share x of the way from the first, the nearer
surface's colour spreads over the border between the pixels: the first pixel takes ½ − x of the
second's colour where x < ½, the second x − ½ of the first's where x > ½. That is the exact
coverage of an edge that is straight across the pixel. Only colour is smoothed: a mean of two
depths would be a place where nothing is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.kernels.antialias import blend_edges, find_edges, list_meetings
from diffphyscam_ros.kernels.buffers import BufferPool
from diffphyscam_ros.render.visibility import View


@dataclass(frozen=True)
class Silhouettes:
    """Silhouettes between pixels and those to their right [0] and below [1].

    :param crossing: (H·W, 2) float32, distance in px from the first pixel's centre; 0.5 = none.
    :param edges: (H·W, 2) int32, 3·face + edge; negative = none.
    :param meetings: (M, 6) int32, where two objects run through each other: pixel, axis, the faces
        seen at this pixel and at the next, those hidden at this pixel and at the next.
    """

    crossing: npt.NDArray[np.float32]
    edges: npt.NDArray[np.int32]
    meetings: npt.NDArray[np.int32]


@dataclass(frozen=True)
class DeviceSilhouettes:
    """What :func:`antialias` needs of silhouettes, as tensors: ``edges`` and ``meetings``."""

    edges: torch.Tensor
    meetings: torch.Tensor


def find_silhouettes(
    triangles: npt.NDArray[np.int32],
    depth: npt.NDArray[np.float32],
    faces: npt.NDArray[np.int32],
    face_instance: npt.NDArray[np.int32],
    neighbours: npt.NDArray[np.int32],
    camera: npt.NDArray[np.float32],
    view: View,
    buffers: BufferPool,
) -> Silhouettes:
    """Find where silhouettes pass between pixel centres.

    :param triangles, depth: (H·W,) of the picture.
    :param face_instance: (F,) the instance of each face.
    :param neighbours: (F, 3) of :func:`diffphyscam_ros.render.topology.face_neighbours`.
    :param camera: (V, 3) vertices in the optical frame.
    :param buffers: lends the memory.
    """
    pixels = view.width * view.height
    crossing = buffers.take(pixels, 2)
    edges = buffers.take(pixels, 2).view(np.int32)
    counts = np.empty(view.height, np.int32)
    pinhole = view.pinhole()
    find_edges(
        triangles,
        depth,
        view.width,
        view.height,
        faces,
        face_instance,
        neighbours,
        camera,
        pinhole,
        view.near,
        crossing,
        edges,
        counts,
    )
    meetings = np.empty((int(counts.sum()), 6), np.int32)
    if len(meetings) > 0:
        surfaces = (faces, neighbours, camera, pinhole, view.near)
        list_meetings(edges, triangles, view.width, *surfaces, meetings)
    return Silhouettes(crossing, edges, meetings)


def antialias_fused(
    color: npt.NDArray[np.float32],
    silhouettes: Silhouettes,
    view: View,
    smoothed: npt.NDArray[np.float32],
) -> None:
    """Smooth a picture (H·W, 3) into another by the CPU kernel."""
    blend_edges(color, silhouettes.crossing, view.width, view.height, smoothed)


def antialias(
    color: torch.Tensor,
    silhouettes: Silhouettes | DeviceSilhouettes,
    faces: torch.Tensor,
    camera: torch.Tensor,
    pinhole: torch.Tensor,
    width: int,
) -> torch.Tensor:
    """Smooth a picture, differentiably in its colours and in the vertices of its silhouettes.

    :param color: (H·W, 3).
    :param faces: (F, 3) int32.
    :param camera: (V, 3) vertices in the optical frame.
    :param pinhole: (4,) fx, fy, cx, cy in px.
    :param width: of the picture, px.
    """
    # What lies between which pixels is found without gradient, where it lies with one.
    smoothed = color
    edges = torch.as_tensor(silhouettes.edges).to(color.device)
    first, axis = (edges >= 0).nonzero().unbind(-1)
    if first.numel() > 0:
        crossing = _crossings(
            edges[first, axis].long(), first, axis, faces, camera, pinhole, width
        )
        smoothed = _blend(smoothed, color, first, axis, crossing, width)
    if len(silhouettes.meetings) > 0:
        meetings = torch.as_tensor(silhouettes.meetings).to(color.device).long()
        crossing = _meeting_places(meetings, faces, camera, pinhole, width)
        smoothed = _blend(smoothed, color, meetings[:, 0], meetings[:, 1], crossing, width)
    return smoothed


def _blend(
    smoothed: torch.Tensor,
    color: torch.Tensor,
    first: torch.Tensor,
    axis: torch.Tensor,
    crossing: torch.Tensor,
    width: int,
) -> torch.Tensor:
    """Add to a picture what pairs of pixels take of each other's colour."""
    second = first + torch.where(axis == 1, width, 1)
    step = color.index_select(0, second) - color.index_select(0, first)
    to_first = (0.5 - crossing).clamp_min(0.0)[:, None] * step
    to_second = (crossing - 0.5).clamp_min(0.0)[:, None] * -step
    return smoothed.index_add(0, first, to_first).index_add(0, second, to_second)


def _crossings(
    code: torch.Tensor,
    first: torch.Tensor,
    axis: torch.Tensor,
    faces: torch.Tensor,
    camera: torch.Tensor,
    pinhole: torch.Tensor,
    width: int,
) -> torch.Tensor:
    """Return where edges, 3·face + edge, cross pairs of pixels: (P,) px from the first centre."""
    face, side = code // 3, code % 3
    ends = torch.stack([faces[face, side], faces[face, (side + 1) % 3]], dim=-1).long()
    points = camera.index_select(0, ends.reshape(-1)).reshape(-1, 2, 3)
    screen = points[..., :2] / points[..., 2:] * pinhole[:2] + pinhole[2:]
    # Swap u and v of vertical pairs: from here on the pair lies along the first coordinate.
    screen = torch.where((axis == 1)[:, None, None], screen.flip(-1), screen)
    pixel = torch.stack([first % width, first // width], dim=-1).to(camera.dtype)
    pixel = torch.where((axis == 1)[:, None], pixel.flip(-1), pixel)
    a, b = screen.unbind(1)
    share = (pixel[:, 1] - a[:, 1]) / (b[:, 1] - a[:, 1])
    return (a[:, 0] + share * (b[:, 0] - a[:, 0]) - pixel[:, 0]).clamp(0.0, 1.0)


def _meeting_places(
    meetings: torch.Tensor,
    faces: torch.Tensor,
    camera: torch.Tensor,
    pinhole: torch.Tensor,
    width: int,
) -> torch.Tensor:
    """Return where surfaces run through each other, (M,) px from the first centre.

    Between the two pixel centres both are straight in 1/z.
    """
    first, axis = meetings[:, 0], meetings[:, 1]
    pixel = torch.stack([first % width, first // width], dim=-1)
    following = pixel + torch.stack([1 - axis, axis], dim=-1)

    def inverse_depth(column: int, place: torch.Tensor) -> torch.Tensor:
        corners = camera.index_select(0, faces[meetings[:, column]].reshape(-1).long())
        a, b, c = corners.reshape(-1, 3, 3).unbind(1)
        normal = torch.linalg.cross(b - a, c - a)
        ray = (place.to(camera.dtype) - pinhole[2:]) / pinhole[:2]
        along = (normal[:, :2] * ray).sum(-1) + normal[:, 2]
        return along / (normal * a).sum(-1)

    here = inverse_depth(2, pixel) - inverse_depth(4, pixel)
    there = inverse_depth(3, following) - inverse_depth(5, following)
    return here / (here + there)
