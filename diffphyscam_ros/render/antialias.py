# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Smooth silhouettes: a step after shading that also carries gradients to what covers what.

Between two pixel centres with a silhouette at the share x of the way from the first, the nearer
surface's colour spreads over the border between the pixels: the first pixel takes ½ − x of the
second's colour where x < ½, the second x − ½ of the first's where x > ½. That is the exact
coverage of an edge that is straight across the pixel. Only colour is smoothed: a mean of two
depths would be a place where nothing is.

What reaches across the border is the outermost part of a surface, which can look quite unlike its
nearest pixel: a matt ball darkens towards its rim as the root of the distance. So the second pixel
takes the colour at the rim itself. With it the smoothed picture changes without a jump as a rim
passes over a pixel's centre; with the pixel's colour it jumps, and gradients, which do not see
jumps, are wrong in the mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.kernels.antialias import blend_edges, blend_rims, find_edges, list_rims
from diffphyscam_ros.kernels.buffers import BufferPool
from diffphyscam_ros.kernels.meetings import list_meetings
from diffphyscam_ros.kernels.silhouette_walk import FADE
from diffphyscam_ros.render.rims import Rims
from diffphyscam_ros.render.visibility import View

ALL_GIVE = np.zeros(0, np.uint8)


@dataclass(frozen=True)
class Silhouettes:
    """Silhouettes between pixels and those to their right [0] and below [1].

    :param shares: (H·W, 2) float32, −½ … ½: by how much the surface at the first pixel reaches
        beyond the border; 0 = no silhouette.
    :param edges: (H·W, 2) int32, 3·face + edge; negative = none.
    :param meetings: (M, 6) int32, where two objects run through each other: pixel, axis, the faces
        seen at this pixel and at the next, those hidden at this pixel and at the next.
    :param rims: those pairs in which a pixel takes the colour of a rim; not in the first two.
    """

    shares: npt.NDArray[np.float32]
    edges: npt.NDArray[np.int32]
    meetings: npt.NDArray[np.int32]
    rims: Rims


@dataclass(frozen=True)
class DeviceSilhouettes:
    """What :func:`antialias` needs of silhouettes, as tensors."""

    edges: torch.Tensor
    meetings: torch.Tensor
    rims: Rims


def find_silhouettes(
    triangles: npt.NDArray[np.int32],
    depth: npt.NDArray[np.float32],
    faces: npt.NDArray[np.int32],
    face_instance: npt.NDArray[np.int32],
    neighbours: npt.NDArray[np.int32],
    camera: npt.NDArray[np.float32],
    view: View,
    buffers: BufferPool,
    roles: npt.NDArray[np.uint8] = ALL_GIVE,
) -> Silhouettes:
    """Find where silhouettes pass between pixel centres.

    :param triangles, depth: (H·W,) of the picture.
    :param face_instance: (F,) the instance of each face.
    :param neighbours: (F, 3) of :func:`diffphyscam_ros.render.topology.face_neighbours`.
    :param camera: (V, 3) vertices in the optical frame.
    :param buffers: lends the memory.
    :param roles: (H·W,) of the pixels in rims, see ``kernels/antialias.py``; (0,): all give.
    """
    pixels = view.width * view.height
    shares = buffers.take(pixels, 2)
    edges = buffers.take(pixels, 2).view(np.int32)
    counts = np.empty((2, view.height), np.int32)
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
        roles,
        shares,
        edges,
        *counts,
    )
    meetings = np.empty((int(counts[0].sum()), 6), np.int32)
    if len(meetings) > 0:
        surfaces = (faces, neighbours, camera, pinhole, view.near)
        list_meetings(edges, triangles, view.width, *surfaces, meetings)
    first = np.concatenate([[0], np.cumsum(counts[1], dtype=np.int64)])
    rims = Rims.empty(int(first[-1]))
    if len(rims.pairs) > 0:
        rows = (first, view.width, view.height)
        listed = (rims.pairs.numpy(), rims.shares.numpy(), rims.places.numpy())
        list_rims(edges, shares, *rows, faces, camera, pinhole, *listed)
    return Silhouettes(shares, edges, meetings, rims)


def antialias_fused(
    color: npt.NDArray[np.float32],
    silhouettes: Silhouettes,
    rim_color: npt.NDArray[np.float32] | None,
    view: View,
    smoothed: npt.NDArray[np.float32],
) -> None:
    """Smooth a picture (H·W, 3) into another by the CPU kernels.

    :param rim_color: (≥ R, 3) of the silhouettes' R rims, None where there are none.
    """
    blend_edges(color, silhouettes.shares, view.width, view.height, smoothed)
    if rim_color is not None:
        pairs, shares = silhouettes.rims.pairs.numpy(), silhouettes.rims.shares.numpy()
        blend_rims(color, rim_color, pairs, shares, view.width, smoothed)


def antialias(
    color: torch.Tensor,
    silhouettes: Silhouettes | DeviceSilhouettes,
    rim_color: torch.Tensor | None,
    faces: torch.Tensor,
    camera: torch.Tensor,
    pinhole: torch.Tensor,
    width: int,
) -> torch.Tensor:
    """Smooth a picture, differentiably in its colours and in the vertices of its silhouettes.

    :param color: (H·W, 3).
    :param rim_color: (≥ R, 3) of the silhouettes' R rims, None where there are none.
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
        edge = edges[first, axis].long()
        _, share = edge_shares(edge, first, axis, faces, camera, pinhole, width)
        smoothed = _blend(smoothed, color, first, axis, share, width)
    if len(silhouettes.meetings) > 0:
        meetings = torch.as_tensor(silhouettes.meetings).to(color.device).long()
        share = _meeting_places(meetings, faces, camera, pinhole, width) - 0.5
        smoothed = _blend(smoothed, color, meetings[:, 0], meetings[:, 1], share, width)
    if rim_color is not None:
        first, axis, edge = silhouettes.rims.pairs.to(color.device).long().unbind(-1)
        _, share = edge_shares(edge, first, axis, faces, camera, pinhole, width)
        taker = silhouettes.rims.pixels(width)[0].to(color.device)
        share = torch.where(taker == first, -share, share)[:, None]
        step = rim_color[: len(first)] - color.index_select(0, taker)
        smoothed = smoothed.index_add(0, taker, share * step)
    return smoothed


def _blend(
    smoothed: torch.Tensor,
    color: torch.Tensor,
    first: torch.Tensor,
    axis: torch.Tensor,
    share: torch.Tensor,
    width: int,
) -> torch.Tensor:
    """Add to a picture what pairs of pixels take of each other's colour."""
    second = first + torch.where(axis == 1, width, 1)
    step = color.index_select(0, second) - color.index_select(0, first)
    to_first = (-share).clamp_min(0.0)[:, None] * step
    to_second = share.clamp_min(0.0)[:, None] * -step
    return smoothed.index_add(0, first, to_first).index_add(0, second, to_second)


def edge_shares(
    code: torch.Tensor,
    first: torch.Tensor,
    axis: torch.Tensor,
    faces: torch.Tensor,
    camera: torch.Tensor,
    pinhole: torch.Tensor,
    width: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return where edges, 3·face + edge, cross pairs of pixels, as ``edge_crossing`` does.

    :param code: (P,) of the edges; ``first``, ``axis``: (P,) the pairs, 0 to the right, 1 down.
    :returns: (P,) px from the first centre, 0 … 1; and (P,) by how much the surface at the first
        pixel reaches beyond the border, −½ … ½.

    Edges near a diagonal count for both axes, with weights that add up to 1 and pass no gradient.
    """
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
    crossing = (a[:, 0] + share * (b[:, 0] - a[:, 0]) - pixel[:, 0]).clamp(0.0, 1.0)
    aside, across = (b - a).detach().abs().unbind(-1)
    turn = (0.5 + FADE * (across - aside) / (across + aside)).clamp(0.0, 1.0)
    return crossing, turn * turn * (3.0 - 2.0 * turn) * (crossing - 0.5)


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
