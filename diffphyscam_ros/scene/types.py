# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""A scene as plain, immutable data: meshes, materials, lights, environment."""

from __future__ import annotations

from dataclasses import dataclass, field
import math
from typing import Literal

import torch

AlphaMode = Literal['opaque', 'mask', 'blend']
Triple = tuple[float, float, float] | torch.Tensor


@dataclass(frozen=True, eq=False)
class Texture:
    """A picture on a surface; (0, 0) of uv is the *top*-left corner (glTF), repeating.

    :param image: (H, W, 3) or (H, W, 4) float32, linear (colour textures are converted from sRGB
        on load); the fourth channel is alpha, 1 where there is none.
    """

    image: torch.Tensor


@dataclass(frozen=True, eq=False)
class Material:
    """Metallic-roughness material as glTF 2.0 defines it; all colours linear.

    :param base_color: (3,) in [0, 1]; multiplies texture and vertex colour.
    :param metallic: in [0, 1]; multiplies the blue channel of ``metallic_roughness_texture``.
    :param roughness: in [0, 1]; multiplies its green channel.
    :param emissive: (3,) radiance added to the reflected light; multiplies ``emissive_texture``.
    :param normal_texture: tangent-space normals, stored as in glTF (linear, 0.5 = zero).
    :param occlusion_texture: its red channel is the share of the environment that is seen.
    :param double_sided: also shown from behind, with the normal turned to the viewer.
    :param alpha: in [0, 1]; multiplies the alpha of ``base_color_texture``.
    :param alpha_mode: ``'opaque'`` ignores alpha; ``'mask'`` shows what has at least
        ``alpha_cutoff`` and nothing of the rest; ``'blend'`` lets 1 − alpha of the light through.
    :param occlusion_strength: in [0, 1]; 0 switches ``occlusion_texture`` off.
    :param normal_scale: multiplies x and y of ``normal_texture``.
    """

    base_color: Triple = (1.0, 1.0, 1.0)
    metallic: float | torch.Tensor = 0.0
    roughness: float | torch.Tensor = 1.0
    emissive: Triple = (0.0, 0.0, 0.0)
    base_color_texture: Texture | None = None
    metallic_roughness_texture: Texture | None = None
    normal_texture: Texture | None = None
    double_sided: bool = True
    emissive_texture: Texture | None = None
    occlusion_texture: Texture | None = None
    alpha: float | torch.Tensor = 1.0
    alpha_mode: AlphaMode = 'opaque'
    alpha_cutoff: float = 0.5
    occlusion_strength: float | torch.Tensor = 1.0
    normal_scale: float | torch.Tensor = 1.0


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
    :param angle: angular radius of the source in radians (the sun's is 0.00465). It softens the
        shadows and nothing else.
    :param shadows: whether what stands in its way keeps it out.
    """

    direction: Triple
    irradiance: Triple
    angle: float = 0.0
    shadows: bool = True


@dataclass(frozen=True, eq=False)
class PointLight:
    """An isotropic point source: irradiance on a facing surface is intensity / distance².

    :param position: (3,) world, metres.
    :param radius: of the source, metres. It softens the shadows and nothing else.
    :param shadows: whether what stands in its way keeps it out.
    """

    position: Triple
    intensity: Triple
    radius: float = 0.0
    shadows: bool = True


@dataclass(frozen=True, eq=False)
class SpotLight:
    """A point source whose light fades from a cone to a wider one (glTF KHR_lights_punctual).

    With the angle θ from the axis, the intensity is multiplied by
    clamp((cos θ − cos outer) / (cos inner − cos outer), 0, 1)².

    :param position: (3,) world, metres.
    :param direction: (3,) world, the way the light travels along the axis; any length but zero.
    :param intensity: (3,) on the axis; irradiance on a facing surface is intensity / distance².
    :param inner_angle: radians from the axis within which nothing fades, 0 ≤ inner < outer.
    :param outer_angle: radians from the axis beyond which there is no light, at most π/2.
    :param radius: of the source, metres. It softens the shadows and nothing else.
    :param shadows: whether what stands in its way keeps it out.
    """

    position: Triple
    direction: Triple
    intensity: Triple
    inner_angle: float | torch.Tensor = 0.0
    outer_angle: float | torch.Tensor = math.pi / 4.0
    radius: float = 0.0
    shadows: bool = True


Light = DirectionalLight | PointLight | SpotLight


@dataclass(frozen=True, eq=False)
class Environment:
    """Light from everywhere: a latitude-longitude HDR picture, or one constant radiance.

    World up is +z (REP-103). Picture row 0 looks up (+z), the last row down; the picture's
    centre column looks along world +x and columns to its right turn towards −y (as one who
    stands at the origin facing +x sees the picture).

    :param image: (H, W, 3) linear radiance with W = 2H, or (1, 1, 3) for a constant one.
    :param rotation: radians about world +z (right-handed) by which the picture is turned; a number
        or a tensor ().
    :param intensity: multiplies the radiance; a number or a tensor ().
    """

    image: torch.Tensor
    rotation: float | torch.Tensor = 0.0
    intensity: float | torch.Tensor = 1.0


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything that sends light to the camera. World: x forward, y left, z up, metres.

    :param background: (3,) radiance where nothing is hit, or None to show the environment.
    """

    instances: tuple[Instance, ...] = ()
    lights: tuple[Light, ...] = ()
    environment: Environment | None = None
    background: tuple[float, float, float] | None = None
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Keep the instance names at hand: ``names[i]`` belongs to instance id i + 1."""
        object.__setattr__(self, 'names', tuple(item.name for item in self.instances))
