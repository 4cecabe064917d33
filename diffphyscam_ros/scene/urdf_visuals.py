# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What is seen of a URDF's links: shapes, mesh files, colours and textures.

Colours are sRGB: RViz, for which they are chosen, puts them on the screen as they are. As in
RViz, a mesh file that brings its own materials keeps them, and the colour of the description
paints shapes and meshes that have none (STL). A mesh that is plainly white counts as having none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
import warnings

import torch

from diffphyscam_ros.scene import primitives
from diffphyscam_ros.scene.colors import linear_from_srgb_color
from diffphyscam_ros.scene.errors import SceneError, SceneWarning
from diffphyscam_ros.scene.images import MAX_TEXTURE_SIZE, TextureLoader
from diffphyscam_ros.scene.load import load_mesh, scale_matrix
from diffphyscam_ros.scene.transforms import pose_from_quaternion, pose_from_rpy
from diffphyscam_ros.scene.types import Instance, Material, Mesh
from diffphyscam_ros.scene.urdf_files import FileFinder
from diffphyscam_ros.scene.urdf_xml import Element

UNPAINTED = Material(base_color=linear_from_srgb_color((0.7, 0.7, 0.7)))
"""Of what has no colour anywhere: light grey."""

_SHAPES = ('mesh', 'box', 'cylinder', 'sphere', 'capsule')


class VisualReader:
    """Reads the visuals of one description; each file is opened once."""

    def __init__(
        self, root: Element, finder: FileFinder, on_missing: Callable[[str], None] | None
    ) -> None:
        """Collect the materials that have a name."""
        self._finder = finder
        self._on_missing = on_missing
        self._textures = TextureLoader(MAX_TEXTURE_SIZE)
        self._files: dict[Path, tuple[Instance, ...]] = {}
        self._shapes: dict[tuple[object, ...], Mesh] = {}
        self._read: dict[int, Material] = {}
        self._materials: dict[str, Material] = {}
        # As urdfdom does it: those of the robot first, then those of visuals.
        inline = (
            material
            for link in root.all('link')
            for visual in link.all('visual')
            for material in visual.all('material')
        )
        for element in (*root.all('material'), *inline):
            name = element.text('name', '')
            if name and name not in self._materials and _is_defined(element):
                self._materials[name] = self._material(element)

    def visuals(self, link: Element) -> tuple[Instance, ...]:
        """Return what is seen of a link, with poses in the link's frame."""
        found: list[Instance] = []
        for visual in link.all('visual'):
            try:
                found += self._visual(visual, link.text('name'))
            except _Missing as error:
                if self._on_missing is None:
                    raise SceneError(str(error)) from error
                self._on_missing(str(error))
        return tuple(found)

    def _visual(self, visual: Element, name: str) -> list[Instance]:
        pose = origin(visual)
        paint = self._paint(visual)
        geometry = visual.one('geometry')
        shape = next((item for item in geometry.children if item.tag in _SHAPES), None)
        if shape is None:
            there = ', '.join(f'<{item.tag}>' for item in geometry.children) or 'nothing'
            raise SceneError(
                f'{geometry.where}: <geometry> holds {there}: must hold one of '
                f'{", ".join(f"<{item}>" for item in _SHAPES)}'
            )
        if shape.tag != 'mesh':
            return [Instance(name, self._shape(shape), paint or UNPAINTED, pose)]
        pose = pose @ scale_matrix(_scale(shape), shape.where).double()
        return [
            Instance(name, part.mesh, self._over(part, paint), pose @ part.pose.double())
            for part in self._mesh(shape)
        ]

    def _mesh(self, shape: Element) -> tuple[Instance, ...]:
        url = shape.text('filename')
        try:
            path = self._finder.resolve(url)
            if path not in self._files:
                self._files[path] = load_mesh(path)
        except SceneError as error:
            raise _Missing(f'{shape.where}: <mesh> filename: {error}') from error
        return self._files[path]

    def _shape(self, shape: Element) -> Mesh:
        """Return the mesh of a shape, the same one for the same size."""
        if shape.tag == 'box':
            size = shape.numbers('size', 3)
            if min(size) <= 0.0:
                raise SceneError(f'{shape.where}: <box> size = {list(size)} m: must be > 0')
            key: tuple[object, ...] = ('box', *size)
            return self._kept(key, lambda: primitives.box(size))
        radius = shape.positive('radius')
        if shape.tag == 'sphere':
            return self._kept(('sphere', radius), lambda: primitives.sphere(radius))
        length = shape.positive('length')
        make = primitives.cylinder if shape.tag == 'cylinder' else primitives.capsule
        return self._kept((shape.tag, radius, length), lambda: make(radius, length))

    def _kept(self, key: tuple[object, ...], make: Callable[[], Mesh]) -> Mesh:
        if key not in self._shapes:
            self._shapes[key] = make()
        return self._shapes[key]

    def _paint(self, visual: Element) -> Material | None:
        """Return the material of a visual; one that says only its name is looked up."""
        element = visual.first('material')
        if element is None:
            return None
        if _is_defined(element):
            return self._material(element)
        name = element.text('name')
        if name not in self._materials:
            warnings.warn(
                f'{element.where}: material {name!r} is not defined, grey is shown; defined are '
                f'{", ".join(sorted(self._materials)) or "none"}',
                SceneWarning,
                stacklevel=2,
            )
            return None
        return self._materials[name]

    def _material(self, element: Element) -> Material:
        """Return a material that is defined, the same one each time."""
        if id(element) not in self._read:
            self._read[id(element)] = self._read_material(element)
        return self._read[id(element)]

    def _read_material(self, element: Element) -> Material:
        material = Material()
        color = element.first('color')
        if color is not None:
            values = color.numbers('rgba', 4)
            if not all(0.0 <= value <= 1.0 for value in values):
                raise SceneError(
                    f'{color.where}: <color> rgba = {list(values)}: each must be from 0 to 1 '
                    '(of 255 levels, divide by 255)'
                )
            material = replace(material, base_color=linear_from_srgb_color(values))
            if values[3] < 1.0:
                material = replace(material, alpha=values[3], alpha_mode='blend')
        texture = element.first('texture')
        if texture is not None and texture.text('filename', ''):
            try:
                path = self._finder.resolve(texture.text('filename'))
            except SceneError as error:
                warnings.warn(
                    f'{texture.where}: <texture> filename: {error}; the plain colour is shown',
                    SceneWarning,
                    stacklevel=2,
                )
            else:
                picture = self._textures.file(path, srgb=True)
                if picture is not None:  # it replaces the colour, as in RViz
                    material = replace(
                        material, base_color=(1.0, 1.0, 1.0), base_color_texture=picture
                    )
        return material

    def _over(self, part: Instance, paint: Material | None) -> Material:
        """Return what a part of a mesh file is painted with."""
        if not _is_plain(part):
            return part.material
        if paint is None:
            paint = UNPAINTED if part.mesh.colors is None else part.material
        if paint.base_color_texture is not None and part.mesh.uvs is None:
            paint = replace(paint, base_color_texture=None)
        return paint


def origin(element: Element) -> torch.Tensor:
    """Return the pose (4, 4) float64 of an element's ``<origin>``, the identity without one."""
    found = element.first('origin')
    if found is None:
        return torch.eye(4, dtype=torch.float64)
    position = torch.tensor(found.numbers('xyz', 3, (0.0, 0.0, 0.0)), dtype=torch.float64)
    if found.text('quat_xyzw', ''):
        turn = torch.tensor(found.numbers('quat_xyzw', 4), dtype=torch.float64)
        try:
            return pose_from_quaternion(position, turn)
        except ValueError as error:
            raise SceneError(f'{found.where}: <origin> quat_xyzw: {error}') from None
    angles = torch.tensor(found.numbers('rpy', 3, (0.0, 0.0, 0.0)), dtype=torch.float64)
    return pose_from_rpy(position, angles)


class _Missing(SceneError):
    """A visual whose file cannot be used."""


def _is_defined(element: Element) -> bool:
    return element.first('color') is not None or element.first('texture') is not None


def _is_plain(part: Instance) -> bool:
    """Return whether a part of a file brings no colour of its own."""
    material = part.material
    return (
        part.mesh.colors is None
        and material.base_color_texture is None
        and tuple(map(float, material.base_color)) == (1.0, 1.0, 1.0)
        and not any(map(float, material.emissive))
    )


def _scale(shape: Element) -> tuple[float, float, float]:
    text = shape.text('scale', '1 1 1')
    if len(text.split()) == 1:
        value = shape.number('scale')
        return value, value, value
    x, y, z = shape.numbers('scale', 3, (1.0, 1.0, 1.0))
    return x, y, z
