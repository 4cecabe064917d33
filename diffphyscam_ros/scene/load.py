# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Open a scene or a mesh file of any format that is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
import math
from pathlib import Path
import warnings

import torch

from diffphyscam_ros.scene.collada import load_collada
from diffphyscam_ros.scene.environment import constant_environment
from diffphyscam_ros.scene.errors import SceneError, SceneWarning
from diffphyscam_ros.scene.gltf import load_gltf
from diffphyscam_ros.scene.images import MAX_TEXTURE_SIZE, TextureLoader
from diffphyscam_ros.scene.obj import load_obj
from diffphyscam_ros.scene.photometry import NOMINAL_ILLUMINANCE
from diffphyscam_ros.scene.polygon_files import load_ply, load_stl
from diffphyscam_ros.scene.robot import Position
from diffphyscam_ros.scene.types import DirectionalLight, Instance, Light, PointLight, Scene
from diffphyscam_ros.scene.urdf_files import PackagePaths

MESH_SUFFIXES = ('.dae', '.glb', '.gltf', '.obj', '.ply', '.stl')
SCENE_SUFFIXES = ('.yaml', '.yml')
ROBOT_SUFFIXES = ('.urdf', '.xacro')
Y_UP_TO_Z_UP = torch.tensor(
    [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)
"""A quarter turn about x, (x, y, z) to (x, -z, y): glTF's up becomes REP-103's, as in RViz."""


def default_light() -> Scene:
    """Return a scene of light only, for files that have none: a soft sky and a key light.

    A white diffuser that faces the key light shows radiance 1, the nominal one.
    """
    irradiance = 0.5 * math.pi
    return Scene(
        lights=(DirectionalLight((-0.4, 0.5, -0.8), (irradiance, irradiance, irradiance)),),
        environment=constant_environment(0.5),
        background=(0.0, 0.0, 0.0),
    )


def load_mesh(
    path: str | Path,
    scale: float | tuple[float, float, float] = 1.0,
    *,
    up_axis: str | None = None,
    max_texture_size: int = MAX_TEXTURE_SIZE,
) -> tuple[Instance, ...]:
    """Read a mesh file as parts: each with its mesh, material and pose in the file's frame.

    :param scale: metres for a unit of the file, one number or one for each of x, y, z of the
        returned frame; robots' STL files are often in millimetres (0.001). It is in the poses;
        the vertices stay as the file has them.
    :param up_axis: 'y' turns the file's y axis up (to +z), 'z' leaves it as it is; None does
        what RViz does: glTF is turned, everything else is not.
    :param max_texture_size: px; larger textures are shrunk, with a warning.
    :raises SceneError: where the file is missing, broken, unknown or holds no triangle.
    """
    parts, _ = _load(Path(path), scale, up_axis, max_texture_size, NOMINAL_ILLUMINANCE)
    return parts


def load_scene(
    path: str | Path,
    scale: float | tuple[float, float, float] = 1.0,
    *,
    up_axis: str | None = None,
    max_texture_size: int = MAX_TEXTURE_SIZE,
    nominal_illuminance: float = NOMINAL_ILLUMINANCE,
    joint_positions: Mapping[str, Position] | None = None,
    package_paths: PackagePaths = (),
) -> Scene:
    """Read a scene: our YAML, a robot (URDF, xacro), or any mesh file with the lights it has.

    A file without light gets :func:`default_light`, a YAML file only what it says.

    :param scale, up_axis, max_texture_size: as for :func:`load_mesh`; a YAML file states scale
        and up axis for each mesh itself, and so does a robot.
    :param nominal_illuminance: lux that make radiance 1, by which lights stated in lux, candela or
        lumen (glTF, YAML) are converted; for consistent brightness the SensorModel's
        ``scene_illuminance``.
    :param joint_positions, package_paths: of a robot, see ``Robot.link_poses`` and
        ``load_robot``.
    :raises SceneError: as :func:`load_mesh`, and for what a YAML file or robot says wrongly.
    """
    file = Path(path)
    if not (math.isfinite(nominal_illuminance) and nominal_illuminance > 0):
        raise SceneError(f'nominal_illuminance = {nominal_illuminance} lux: must be positive')
    suffix = file.suffix.lower()
    if suffix in (*SCENE_SUFFIXES, *ROBOT_SUFFIXES) and (scale != 1.0 or up_axis is not None):
        raise SceneError(f'{file}: scale and up_axis are stated for each mesh in it, not for all')
    if suffix in ROBOT_SUFFIXES:
        from diffphyscam_ros.scene.urdf import load_robot

        robot = load_robot(file, package_paths)
        instances = robot.instances(joint_positions)
        for words in robot.beyond_limits(joint_positions or {}):
            warnings.warn(f'{file}: {words}; it is shown there', SceneWarning, stacklevel=2)
        return lit_by_default(instances)
    if joint_positions:
        raise SceneError(
            f'{file}: joint_positions are for robots ({", ".join(ROBOT_SUFFIXES)}) only'
        )
    if suffix in SCENE_SUFFIXES:
        from diffphyscam_ros.scene.scene_file import load_scene_file

        return load_scene_file(file, max_texture_size, nominal_illuminance)
    parts, lights = _load(file, scale, up_axis, max_texture_size, nominal_illuminance)
    instances = unique_names(parts)
    return Scene(instances, lights) if lights else lit_by_default(instances)


def lit_by_default(instances: tuple[Instance, ...]) -> Scene:
    """Return a scene of things under :func:`default_light`."""
    light = default_light()
    return Scene(instances, light.lights, light.environment, light.background)


def unique_names(parts: tuple[Instance, ...]) -> tuple[Instance, ...]:
    """Return the parts with _2, _3, ... added to names that appear again."""
    taken: set[str] = set()
    result = []
    for part in parts:
        name, number = part.name, 1
        while name in taken:
            number += 1
            name = f'{part.name}_{number}'
        taken.add(name)
        result.append(Instance(name, part.mesh, part.material, part.pose))
    return tuple(result)


def _load(
    path: Path,
    scale: float | tuple[float, float, float],
    up_axis: str | None,
    max_texture_size: int,
    nominal_illuminance: float,
) -> tuple[tuple[Instance, ...], tuple[Light, ...]]:
    """Read a mesh file and bring parts and lights into our frame."""
    suffix = path.suffix.lower()
    if suffix not in MESH_SUFFIXES:
        raise SceneError(
            f'{path}: the format {suffix or "(no suffix)"} is not read; known are '
            f'{", ".join(MESH_SUFFIXES)}, and for whole scenes '
            f'{", ".join((*SCENE_SUFFIXES, *ROBOT_SUFFIXES))}'
        )
    if up_axis not in (None, 'y', 'z'):
        raise SceneError(f"up_axis = {up_axis!r}: must be 'y', 'z' or None")
    frame = scale_matrix(scale, str(path))
    if up_axis == 'y' or (up_axis is None and suffix in ('.glb', '.gltf')):
        frame = frame @ Y_UP_TO_Z_UP
    textures = TextureLoader(max_texture_size)
    lights: tuple[Light, ...] = ()
    if suffix in ('.glb', '.gltf'):
        parts, lights = load_gltf(path, textures, nominal_illuminance)
    elif suffix == '.obj':
        parts = load_obj(path, textures)
    elif suffix == '.stl':
        parts = load_stl(path)
    elif suffix == '.ply':
        parts = load_ply(path, textures)
    else:
        parts = load_collada(path, textures)
    if not sum(len(part.mesh.faces) for part in parts) and not lights:
        raise SceneError(f'mesh {path} holds no triangles')
    moved = tuple(
        Instance(part.name, part.mesh, part.material, frame @ part.pose) for part in parts
    )
    return moved, tuple(move_light(light, frame) for light in lights)


def scale_matrix(scale: float | tuple[float, float, float], source: str) -> torch.Tensor:
    """Return the (4, 4) scaling, refusing zero and what is not finite; negative mirrors."""
    factors = torch.as_tensor(scale, dtype=torch.float32)
    if factors.shape not in ((), (3,)):
        raise SceneError(f'{source}: scale = {scale}: must be one number or three')
    if not bool((torch.isfinite(factors) & (factors != 0)).all()):
        raise SceneError(f'{source}: scale = {scale}: must be finite and not zero')
    return torch.diag(torch.cat([factors.expand(3), torch.ones(1)]))


def move_light(light: Light, frame: torch.Tensor) -> Light:
    """Return a light placed by an affine map; its strength stays."""
    linear = frame[:3, :3]
    if isinstance(light, DirectionalLight):
        direction = linear @ torch.as_tensor(light.direction, dtype=torch.float32)
        x, y, z = (direction / torch.linalg.vector_norm(direction)).tolist()
        return replace(light, direction=(x, y, z))
    position = linear @ torch.as_tensor(light.position, dtype=torch.float32) + frame[:3, 3]
    x, y, z = position.tolist()
    if isinstance(light, PointLight):
        return replace(light, position=(x, y, z))
    axis = linear @ torch.as_tensor(light.direction, dtype=torch.float32)
    along_x, along_y, along_z = (axis / torch.linalg.vector_norm(axis)).tolist()
    return replace(light, position=(x, y, z), direction=(along_x, along_y, along_z))
