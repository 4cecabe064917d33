# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""One visualization_msgs/Marker as something to render: meshes, or a light."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from visualization_msgs.msg import Marker

from diffphyscam_ros.nodes import marker_shapes as shapes
from diffphyscam_ros.nodes.marker_meshes import ResourceCache
from diffphyscam_ros.nodes.pose_math import Matrix, matrix_from_message
from diffphyscam_ros.scene.colors import srgb_to_linear
from diffphyscam_ros.scene.errors import SceneError
from diffphyscam_ros.scene.types import (
    DirectionalLight,
    Environment,
    Material,
    Mesh,
    PointLight,
)

Color = tuple[float, float, float]

MAX_TRIANGLES = 5_000_000
"""In one marker; more would take the memory of a robot's computer."""

LIGHTS_NAMESPACE = 'lights'

ARROW_STRIP = 12  # not in the messages of ROS 2 Jazzy and before

POINTS_PER_SHAPE = {
    Marker.ARROW: (2, 1),
    Marker.LINE_STRIP: (2, 1),
    Marker.LINE_LIST: (2, 2),
    Marker.CUBE_LIST: (1, 1),
    Marker.SPHERE_LIST: (1, 1),
    Marker.POINTS: (1, 1),
    Marker.TRIANGLE_LIST: (3, 3),
    ARROW_STRIP: (2, 1),
}
"""Least number of points, and the number of which theirs must be a multiple."""


class MarkerError(ValueError):
    """A marker that cannot be drawn, and why."""


@dataclass(frozen=True)
class Part:
    """A mesh of a marker with its place in the marker."""

    mesh: Mesh
    material: Material
    pose: Matrix


@dataclass(frozen=True)
class Drawing:
    """What one marker shows.

    :param pose: of the marker in the frame of its header.
    :param content: what was drawn apart from the pose; while it stays, the meshes do.
    :param light: DirectionalLight, PointLight or Environment in the marker's own frame, or None.
    """

    parts: tuple[Part, ...]
    pose: Matrix
    content: tuple[Any, ...]
    light: DirectionalLight | PointLight | Environment | None = None


def draw(marker: Marker, resources: ResourceCache, previous: Drawing | None = None) -> Drawing:
    """Return what a marker shows.

    :param previous: of the same key; its meshes are kept where only the pose has changed.
    :raises MarkerError: naming what cannot be drawn.
    """
    try:
        pose = matrix_from_message(marker.pose, zero_is_identity=True)
    except ValueError as error:
        raise MarkerError(str(error)) from None
    scale = (marker.scale.x, marker.scale.y, marker.scale.z)
    color = (marker.color.r, marker.color.g, marker.color.b, marker.color.a)
    if not all(map(math.isfinite, (*scale, *color))):
        raise MarkerError(f'scale {scale} or color {color} is not finite')
    if is_light(marker.ns):
        return _draw_light(marker, pose, color)
    points, colors = _points(marker), _colors(marker)
    content = (
        marker.type,
        scale,
        color,
        marker.mesh_resource,
        marker.mesh_use_embedded_materials,
        marker.texture_resource,
        points,
        colors,
    )
    if (
        previous is not None
        and marker.type not in (Marker.MESH_RESOURCE,)  # its file may have changed
        and not marker.texture_resource
        and _same(previous.content, content)
    ):
        return Drawing(previous.parts, pose, previous.content)
    try:
        parts = _draw_parts(marker, scale, color, points, colors, resources)
    except SceneError as error:
        raise MarkerError(str(error)) from None
    return Drawing(parts, pose, content)


def is_light(namespace: str) -> bool:
    """Return whether markers of this namespace are lights."""
    return namespace == LIGHTS_NAMESPACE or namespace.startswith(LIGHTS_NAMESPACE + '/')


def _draw_light(marker: Marker, pose: Matrix, color: tuple[float, ...]) -> Drawing:
    """Return a light; at alpha 1 and white it gives a white diffuser (1 m away) radiance 1."""
    red, green, blue, alpha = color
    if min(color) < 0:
        raise MarkerError(f'light of color {color}: no value may be negative')
    strength = (math.pi * red * alpha, math.pi * green * alpha, math.pi * blue * alpha)
    light: DirectionalLight | PointLight | Environment
    if marker.type == Marker.ARROW:
        direction = (1.0, 0.0, 0.0)
        if marker.points:
            points = _points(marker)
            if len(points) != 2 or not np.any(points[1] - points[0]):
                raise MarkerError('an arrow of points needs two that differ')
            x, y, z = (points[1] - points[0]).tolist()
            direction = (x, y, z)
        light = DirectionalLight(direction, strength)
    elif marker.type == Marker.SPHERE:
        light = PointLight((0.0, 0.0, 0.0), strength)
    elif marker.type == Marker.CUBE:
        radiance = torch.tensor([red, green, blue], dtype=torch.float32) * alpha
        light = Environment(radiance.reshape(1, 1, 3))
    else:
        raise MarkerError(
            f'a light cannot be of type {marker.type}: must be ARROW (parallel light), SPHERE '
            '(point light) or CUBE (light from all sides)'
        )
    return Drawing((), pose, (), light)


def _draw_parts(
    marker: Marker,
    scale: tuple[float, float, float],
    color: tuple[float, ...],
    points: npt.NDArray[np.float64],
    colors: npt.NDArray[np.float64] | None,
    resources: ResourceCache,
) -> tuple[Part, ...]:
    if marker.type not in _DRAWN:
        raise MarkerError(f'type {marker.type} is unknown: must be one of {sorted(_DRAWN)}')
    if marker.type == Marker.MESH_RESOURCE:
        _need_scale(scale, 3, signed=True)
        return _draw_mesh(marker, scale, color, resources)
    if color[3] == 0.0 and colors is None:
        raise MarkerError('color.a is 0, so it is invisible: set it to 1')
    material = _material(_linear(color) if colors is None else (1.0, 1.0, 1.0))
    if marker.type in _SOLIDS or (marker.type == Marker.ARROW and not len(points)):
        _need_scale(scale, 3)
        mesh = _SOLIDS.get(marker.type, shapes.unit_arrow)()
        return (Part(mesh, material, np.diag([*scale, 1.0])),)
    if marker.type == Marker.ARROW and len(points) != 2:
        raise MarkerError(f'an arrow has {len(points)} points: must be none or 2')
    least, multiple = POINTS_PER_SHAPE[marker.type]
    if len(points) < least or len(points) % multiple:
        raise MarkerError(
            f'{len(points)} points: must be at least {least}'
            + (f' and a multiple of {multiple}' if multiple > 1 else '')
        )
    if marker.type == Marker.TRIANGLE_LIST:
        return _draw_triangles(marker, scale, points, colors, material, resources)
    made = _draw_list(marker.type, scale, points, colors)
    return () if made is None else (Part(made, material, np.eye(4)),)


_SOLIDS: dict[int, Callable[[], Mesh]] = {
    Marker.CUBE: shapes.unit_box,
    Marker.SPHERE: shapes.unit_sphere,
    Marker.CYLINDER: shapes.unit_cylinder,
}


_DRAWN = {Marker.ARROW, Marker.MESH_RESOURCE, *_SOLIDS, *POINTS_PER_SHAPE}


def _draw_list(
    kind: int,
    scale: tuple[float, float, float],
    points: npt.NDArray[np.float64],
    colors: npt.NDArray[np.float64] | None,
) -> Mesh | None:
    """Return the mesh of a list of cubes, spheres, points, lines or arrows."""
    if kind in (Marker.ARROW, ARROW_STRIP):
        _need_scale(scale, 2)
        _bound(len(points) * 6 * shapes.ARROW_SEGMENTS)
        return shapes.arrows(points, scale)
    if kind in (Marker.LINE_STRIP, Marker.LINE_LIST):
        _need_scale(scale, 1)
        _bound(len(points) * len(shapes.box_solid().faces))
        step = 1 if kind == Marker.LINE_STRIP else 2
        first, last = slice(0, len(points) - 1, step), slice(1, len(points), step)
        pairs = None if colors is None else np.stack([colors[first], colors[last]], axis=1)
        return shapes.lines(points[first], points[last], scale[0], pairs)
    if kind == Marker.POINTS:
        _need_scale(scale, 2)
        scale = (scale[0], scale[0], scale[1])
    else:
        _need_scale(scale, 3)
    solid = shapes.sphere_solid() if kind == Marker.SPHERE_LIST else shapes.box_solid()
    _bound(len(points) * len(solid.faces))
    return shapes.copies(solid, points, scale, colors)


def _draw_triangles(
    marker: Marker,
    scale: tuple[float, float, float],
    points: npt.NDArray[np.float64],
    colors: npt.NDArray[np.float64] | None,
    material: Material,
    resources: ResourceCache,
) -> tuple[Part, ...]:
    _need_scale(scale, 3, signed=True)
    _bound(len(points) // 3)
    uvs = None
    if marker.texture_resource:
        if len(marker.uv_coordinates) != len(points):
            raise MarkerError(
                f'{len(marker.uv_coordinates)} uv_coordinates for {len(points)} points: there '
                'must be one for each'
            )
        uvs = np.array([(item.u, item.v) for item in marker.uv_coordinates])
        if not np.isfinite(uvs).all():
            raise MarkerError('a uv coordinate is not finite')
        texture = resources.texture(marker.texture_resource, marker.texture)
        # As RViz has it, the texture takes the place of the colour.
        material = Material(base_color_texture=texture)
    mesh = shapes.triangles(points, scale, colors, uvs)
    return (Part(mesh, material, np.eye(4)),)


def _draw_mesh(
    marker: Marker,
    scale: tuple[float, float, float],
    color: tuple[float, ...],
    resources: ResourceCache,
) -> tuple[Part, ...]:
    """Return the parts of a mesh file, in their own materials or in the marker's colour."""
    own = marker.mesh_use_embedded_materials
    if not own and color[3] == 0.0:
        raise MarkerError(
            'color.a is 0, so it is invisible: set it to 1, or mesh_use_embedded_materials'
        )
    tint = _linear(color) if any(color[:3]) else (1.0, 1.0, 1.0)
    stretch = np.diag([*scale, 1.0])
    parts = []
    triangles = 0
    for item in resources.mesh(marker.mesh_resource):
        triangles += len(item.mesh.faces)
        _bound(triangles)
        material = _tinted(item.material, tint) if own else _material(_linear(color))
        mesh = item.mesh if own or item.mesh.colors is None else _uncolored(item.mesh)
        parts.append(Part(mesh, material, stretch @ item.pose.double().numpy()))
    return tuple(parts)


@functools.lru_cache(maxsize=4096)
def _material(color: Color) -> Material:
    return Material(base_color=color)


@functools.lru_cache(maxsize=4096)
def _tinted(material: Material, tint: Color) -> Material:
    if tint == (1.0, 1.0, 1.0):
        return material
    base = torch.as_tensor(material.base_color, dtype=torch.float32) * torch.tensor(tint)
    red, green, blue = base.tolist()
    return Material(
        (red, green, blue),
        material.metallic,
        material.roughness,
        material.emissive,
        material.base_color_texture,
        material.metallic_roughness_texture,
        material.normal_texture,
        material.double_sided,
    )


@functools.lru_cache(maxsize=256)
def _uncolored(mesh: Mesh) -> Mesh:
    return Mesh(mesh.vertices, mesh.faces, mesh.normals, mesh.uvs)


def _linear(color: Sequence[float]) -> Color:
    """Return a marker's colour, which is made for screens, as linear reflectance in [0, 1]."""
    red, green, blue = srgb_to_linear(
        torch.tensor([min(max(value, 0.0), 1.0) for value in color[:3]], dtype=torch.float64)
    ).tolist()
    return red, green, blue


def _points(marker: Marker) -> npt.NDArray[np.float64]:
    """Return the points, (N, 3)."""
    if len(marker.points) > 3 * MAX_TRIANGLES:
        raise MarkerError(f'{len(marker.points)} points: at most {3 * MAX_TRIANGLES} are drawn')
    points = np.array([(p.x, p.y, p.z) for p in marker.points], np.float64).reshape(-1, 3)
    bad = int((~np.isfinite(points).all(axis=1)).sum())
    if bad:
        raise MarkerError(f'{bad} of {len(points)} points are not finite')
    return points


def _colors(marker: Marker) -> npt.NDArray[np.float64] | None:
    """Return the colours of the points, (N, 3) linear, or None."""
    if not marker.colors:
        return None
    count, points = len(marker.colors), len(marker.points)
    by_triangle = marker.type == Marker.TRIANGLE_LIST and 3 * count == points
    if count != points and not by_triangle:
        raise MarkerError(f'{count} colors for {points} points: must be none or one for each')
    colors = np.array([(c.r, c.g, c.b) for c in marker.colors], np.float64)
    if not np.isfinite(colors).all():
        raise MarkerError('a color is not finite')
    linear: npt.NDArray[np.float64] = srgb_to_linear(
        torch.from_numpy(colors.clip(0.0, 1.0))
    ).numpy()
    return linear


def _need_scale(scale: tuple[float, float, float], count: int, signed: bool = False) -> None:
    """Refuse a shape without extent; a negative factor mirrors a mesh and nothing else."""
    used = scale[:count]
    if any(value == 0 or (value < 0 and not signed) for value in used):
        names = ' '.join('xyz'[:count])
        raise MarkerError(f'scale {scale}: {names} must {"not be 0" if signed else "be above 0"}')


def _bound(triangles: int) -> None:
    if triangles > MAX_TRIANGLES:
        raise MarkerError(f'{triangles} triangles: at most {MAX_TRIANGLES} are drawn in a marker')


def _same(first: tuple[Any, ...], second: tuple[Any, ...]) -> bool:
    """Compare contents, arrays by value."""
    return all(
        np.array_equal(a, b)  # type: ignore[arg-type]
        if isinstance(a, np.ndarray) or isinstance(b, np.ndarray)
        else a == b
        for a, b in zip(first, second, strict=True)
    )
