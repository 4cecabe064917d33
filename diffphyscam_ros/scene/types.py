# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""A scene as plain, immutable data: meshes, materials, lights, environment."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch


@dataclass(frozen=True, eq=False)
class Texture:
    """A picture on a surface; (0, 0) of uv is the *top*-left corner (glTF), repeating.

    :param image: (H, W, 3) float32, linear (colour textures are converted from sRGB on load).
    """

    image: torch.Tensor


@dataclass(frozen=True, eq=False)
class Material:
    """Metallic-roughness material as glTF 2.0 defines it; all colours linear.

    :param base_color: (3,) in [0, 1]; multiplies texture and vertex colour.
    :param metallic: in [0, 1]; multiplies the blue channel of ``metallic_roughness_texture``.
    :param roughness: in [0, 1]; multiplies its green channel.
    :param emissive: (3,) radiance added to the reflected light.
    :param normal_texture: tangent-space normals, stored as in glTF (linear, 0.5 = zero).
    :param double_sided: also shown from behind, with the normal turned to the viewer.
    """

    base_color: tuple[float, float, float] | torch.Tensor = (1.0, 1.0, 1.0)
    metallic: float | torch.Tensor = 0.0
    roughness: float | torch.Tensor = 1.0
    emissive: tuple[float, float, float] | torch.Tensor = (0.0, 0.0, 0.0)
    base_color_texture: Texture | None = None
    metallic_roughness_texture: Texture | None = None
    normal_texture: Texture | None = None
    double_sided: bool = True


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles in their own frame, metres.

    :param vertices: (V, 3) float32.
    :param faces: (F, 3) int32, counter-clockwise seen from the front.
    :param normals: (V, 3) unit vectors, or None for flat shading by the face.
    :param uvs: (V, 2), or None where the material has no texture.
    :param colors: (V, 3) linear vertex colours, or None.
    """

    vertices: torch.Tensor
    faces: torch.Tensor
    normals: torch.Tensor | None = None
    uvs: torch.Tensor | None = None
    colors: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class Instance:
    """A mesh with a material at a place.

    :param pose: (4, 4) mesh to world; any invertible affine map (scale and mirror included).
    """

    name: str
    mesh: Mesh
    material: Material
    pose: torch.Tensor


@dataclass(frozen=True, eq=False)
class DirectionalLight:
    """Parallel light.

    :param direction: (3,) world, the way the light travels; any length but zero.
    :param irradiance: (3,) on a surface facing it; a white diffuser then has radiance E/π.
    """

    direction: tuple[float, float, float] | torch.Tensor
    irradiance: tuple[float, float, float] | torch.Tensor


@dataclass(frozen=True, eq=False)
class PointLight:
    """An isotropic point source: irradiance on a facing surface is intensity / distance²."""

    position: tuple[float, float, float] | torch.Tensor
    intensity: tuple[float, float, float] | torch.Tensor


@dataclass(frozen=True, eq=False)
class Environment:
    """Light from everywhere: a latitude-longitude HDR picture, or one constant radiance.

    World up is +z (REP-103). Picture row 0 looks up (+z), the last row down; the picture's
    centre column looks along world +x and columns to its right turn towards −y (as one who
    stands at the origin facing +x sees the picture).

    :param image: (H, W, 3) linear radiance with W = 2H, or (1, 1, 3) for a constant one.
    :param rotation: radians about world +z (right-handed) by which the picture is turned.
    :param intensity: multiplies the radiance.
    """

    image: torch.Tensor
    rotation: float = 0.0
    intensity: float = 1.0


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything that sends light to the camera. World: x forward, y left, z up, metres.

    :param background: (3,) radiance where nothing is hit, or None to show the environment.
    """

    instances: tuple[Instance, ...] = ()
    lights: tuple[DirectionalLight | PointLight, ...] = ()
    environment: Environment | None = None
    background: tuple[float, float, float] | None = None
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Keep the instance names at hand: ``names[i]`` belongs to instance id i + 1."""
        object.__setattr__(self, 'names', tuple(item.name for item in self.instances))
