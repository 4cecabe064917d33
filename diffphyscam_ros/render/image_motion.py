# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""How far things move in the picture during an exposure: what decides on the sub-frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.camera.intrinsics import Intrinsics
from diffphyscam_ros.scene.types import Mesh, Scene

Floats = npt.NDArray[np.float64]

Path = Callable[[Floats], Floats]
"""Poses over time: of (n,) s, 0 = the middle of the exposure, (n, 4, 4) float64."""

PROBES = np.array([0.0, 0.11, 0.24, 0.39, 0.5, 0.59, 0.74, 0.88, 1.0]) - 0.5
"""Where in an exposure motion is looked at. Uneven, so that no rotation, however fast, turns by
whole turns from each to the next and looks like rest."""

BLOCK = 32  # px; in each block of the picture the nearest point is followed
NEAREST = 0.02  # m, and for points of the picture this part of their depth


@dataclass(frozen=True)
class MovingScene:
    """A scene, some of whose instances move during an exposure.

    :param scene: at the middle of the exposure.
    :param paths: over time, the poses of the instances that move, by their index.
    """

    scene: Scene
    paths: Mapping[int, Path] = field(default_factory=dict)

    def at(self, time: float) -> Scene:
        """Return the scene at a time in s; meshes, materials and lights stay the same objects."""
        if not self.paths:
            return self.scene
        instances = list(self.scene.instances)
        for index, path in self.paths.items():
            pose = torch.from_numpy(path(np.array([time]))[0])
            instances[index] = replace(instances[index], pose=pose)
        return replace(self.scene, instances=tuple(instances))


def image_motion(
    depth: torch.Tensor, view: Intrinsics, moving: MovingScene, camera: Path, duration: float
) -> float:
    """Return how far the fastest visible point would go in the duration at its highest speed.

    What stands is followed at the nearest point of each block of the picture, what moves at the
    corners of its bounding box.

    :param depth: (H, W) m, of the picture at the middle.
    :param camera: world_from_camera over time.
    :param duration: s, over which motion counts, half of it before time 0.
    :return: px.
    """
    times = PROBES * duration
    eyes = camera(times)
    still = bool((eyes == eyes[0]).all())
    if still and not moving.paths:
        return 0.0
    to_camera = _inverses(eyes)
    spans = np.diff(times)
    motion = 0.0
    if not still:
        points = nearest_points(depth, view)
        turned = to_camera @ camera(np.zeros(1))[0]  # from the camera at the middle
        motion = _fastest(points @ turned.transpose(0, 2, 1), view, spans, NEAREST)
    for index, path in moving.paths.items():
        corners = bounding_corners(moving.scene.instances[index].mesh)
        seen = corners @ (to_camera @ path(times)).transpose(0, 2, 1)
        visible = _in_view(seen, view)
        if visible.any():
            motion = max(motion, _fastest(seen, view, spans, NEAREST, visible))
    return motion * duration


def nearest_points(depth: torch.Tensor, view: Intrinsics) -> Floats:
    """Return the nearest point of each block, (n, 4) homogeneous with z = 1, in the camera.

    The fourth number is the inverse depth, 0 at infinity.
    """
    near = torch.where(depth > 0, depth, torch.inf).reciprocal()[None, None].float()
    blocks = torch.nn.functional.max_pool2d(near, BLOCK, ceil_mode=True)[0, 0]
    inverse = blocks.detach().cpu().numpy().astype(np.float64)
    rows, columns = np.indices(inverse.shape)
    # At the block's side that is farther from the middle: there rotations move things faster.
    u = np.minimum(
        np.where(columns * BLOCK < view.width / 2, columns, columns + 1) * BLOCK, view.width - 1.0
    )
    v = np.minimum(
        np.where(rows * BLOCK < view.height / 2, rows, rows + 1) * BLOCK, view.height - 1.0
    )
    x = (u - float(view.cx)) / float(view.fx)
    y = (v - float(view.cy)) / float(view.fy)
    return np.stack([x, y, np.ones_like(x), inverse], axis=-1).reshape(-1, 4)


def bounding_corners(mesh: Mesh) -> Floats:
    """Return the corners of a mesh's bounding box, (8, 4) homogeneous."""
    if not len(mesh.vertices):
        return np.zeros((8, 4))
    low, high = torch.aminmax(mesh.vertices.detach(), dim=0)
    ends = np.stack([low.cpu().numpy(), high.cpu().numpy()]).astype(np.float64)
    corners = [[*(ends[(k >> axis) & 1, axis] for axis in range(3)), 1.0] for k in range(8)]
    return np.array(corners)


def _inverses(poses: Floats) -> Floats:
    return np.linalg.inv(poses).astype(np.float64)


def _project(points: Floats, view: Intrinsics, nearest: float) -> Floats:
    """Return pixels (..., 2), held to three times the size of the view."""
    z = np.maximum(points[..., 2], nearest)
    u = float(view.fx) * points[..., 0] / z + float(view.cx)
    v = float(view.fy) * points[..., 1] / z + float(view.cy)
    return np.stack(
        [
            np.clip(u, -view.width, 2.0 * view.width),
            np.clip(v, -view.height, 2.0 * view.height),
        ],
        axis=-1,
    )


def _fastest(
    points: Floats,
    view: Intrinsics,
    spans: Floats,
    nearest: float,
    visible: npt.NDArray[np.bool_] | None = None,
) -> float:
    """Return the highest speed of points (n, m, 4) at n times, px/s."""
    moved = np.linalg.norm(np.diff(_project(points, view, nearest), axis=0), axis=-1)
    speed = moved / spans[:, None]
    if visible is not None:
        speed = speed[visible[1:] | visible[:-1]]
    return float(speed.max(initial=0.0))


def _in_view(points: Floats, view: Intrinsics) -> npt.NDArray[np.bool_]:
    """Return at which of n times a box of corners (n, 8, 4) may be seen, (n,)."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    fx, fy, cx, cy = (float(value) for value in (view.fx, view.fy, view.cx, view.cy))
    outside = [
        z <= 0.0,
        fx * x + (cx + 0.5) * z < 0.0,
        fx * x + (cx - view.width + 0.5) * z > 0.0,
        fy * y + (cy + 0.5) * z < 0.0,
        fy * y + (cy - view.height + 0.5) * z > 0.0,
    ]
    hidden: npt.NDArray[np.bool_] = np.any([side.all(axis=1) for side in outside], axis=0)
    return ~hidden
