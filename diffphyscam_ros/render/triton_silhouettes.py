# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The search for silhouettes on CUDA; see ``render/antialias.py``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.kernels.antialias import GIVES, TAKES
from diffphyscam_ros.kernels.meetings import MEETING
from diffphyscam_ros.kernels.triton_antialias import find_edges
from diffphyscam_ros.render.antialias import DeviceSilhouettes, edge_shares
from diffphyscam_ros.render.geometry import Geometry
from diffphyscam_ros.render.rims import Rims
from diffphyscam_ros.render.visibility import View


def _worth_it(
    triangles: torch.Tensor, depth: torch.Tensor, instances: torch.Tensor, view: View
) -> torch.Tensor:
    """Return the pairs of pixels that a silhouette may part: (P,) 2·pixel + axis, ascending."""
    chosen = torch.zeros(view.height, view.width, 2, dtype=torch.bool, device=depth.device)
    seen, far = triangles.reshape(view.height, view.width), depth.reshape(view.height, view.width)
    item = torch.where(seen >= 0, instances[seen.clamp_min(0).long()], -1)
    for axis, focal in ((0, view.fx), (1, view.fy)):
        first = slice(view.height - axis), slice(view.width - 1 + axis)
        second = slice(axis, None), slice(1 - axis, None)
        differ = seen[first] != seen[second]
        same = (item[first] == item[second]) & (seen[first] >= 0) & (seen[second] >= 0)
        # A step no deeper than two pixels are wide is no silhouette worth the search.
        step = (far[first] - far[second]).abs().double() * focal
        shallow = step < 2.0 * torch.minimum(far[first], far[second])
        chosen[..., axis][first] = differ & ~(same & shallow)
    return chosen.reshape(-1).nonzero().squeeze(-1)


class SilhouetteFinder:
    """Finds silhouettes; what it needs of the meshes stays on the device while it is the same."""

    def __init__(self) -> None:
        """Start with nothing kept."""
        self._neighbours: tuple[npt.NDArray[np.int32], torch.Tensor] | None = None

    def find(
        self,
        triangles: torch.Tensor,
        depth: torch.Tensor,
        geometry: Geometry,
        neighbours: npt.NDArray[np.int32],
        camera: torch.Tensor,
        view: View,
        roles: torch.Tensor | None = None,
    ) -> DeviceSilhouettes:
        """Find where silhouettes pass between pixel centres.

        :param triangles: (H·W,) int32 and ``depth`` (H·W,) of the picture.
        :param neighbours: (F, 3) of :func:`diffphyscam_ros.render.topology.face_neighbours`.
        :param camera: (V, 3) vertices in the optical frame.
        :param roles: (H·W,) uint8 of the pixels in rims, see ``kernels/antialias.py``; None: all
            give.
        """
        device = triangles.device
        if self._neighbours is None or self._neighbours[0] is not neighbours:
            self._neighbours = neighbours, torch.from_numpy(neighbours).to(device)
        depth = depth.detach().float().contiguous()
        edges = torch.full((2 * len(triangles),), -1, dtype=torch.int32, device=device)
        meetings = torch.empty(0, 6, dtype=torch.int32, device=device)
        if len(geometry.faces) == 0:
            return DeviceSilhouettes(edges.reshape(-1, 2), meetings, Rims.empty(0))
        pairs = _worth_it(triangles, depth, geometry.face_instance, view)
        surfaces = (
            geometry.faces,
            geometry.face_instance,
            self._neighbours[1],
            camera.detach().float().contiguous(),
        )
        lens = torch.from_numpy(np.append(view.pinhole(), view.near)).to(device)
        from_first, found, behind = find_edges(pairs, triangles, depth, view.width, surfaces, lens)
        number = (found >= 0).nonzero().squeeze(-1)
        first, axis = pairs[number] // 2, pairs[number] % 2
        crossing, share = edge_shares(
            found[number].long(), first, axis, geometry.faces, surfaces[3].double(), lens[:4],
            view.width,
        )  # fmt: skip
        share = share.float()
        # The surface that ends reaches into the other's pixel: it shows its rim there.
        beyond = (share != 0) & ((share > 0) == from_first[number])
        if roles is not None:
            ends = torch.stack([first, first + torch.where(axis == 1, view.width, 1)])
            giver, taker = torch.where(from_first[number], ends, ends.flip(0))
            beyond &= (roles[giver] == int(GIVES)) & (roles[taker] >= int(TAKES))
        rims = Rims(
            torch.stack([first.int(), axis.int(), found[number]], dim=-1)[beyond],
            share[beyond],
            torch.stack(
                [
                    first % view.width + torch.where(axis == 0, crossing, 0.0),
                    first // view.width + torch.where(axis == 1, crossing, 0.0),
                ],
                dim=-1,
            )[beyond].float(),
        )
        edges[pairs] = found
        edges[pairs[number[beyond | (share == 0)]]] = -1
        meeting = (found == MEETING).nonzero().squeeze(-1)
        pixel, axis = pairs[meeting] // 2, pairs[meeting] % 2
        beside = pixel + torch.where(axis == 1, view.width, 1)
        columns = [pixel.int(), axis.int(), triangles[pixel], triangles[beside]]
        meetings = torch.stack([*columns, *behind[meeting].unbind(-1)], dim=-1)
        return DeviceSilhouettes(edges.reshape(-1, 2), meetings, rims)
