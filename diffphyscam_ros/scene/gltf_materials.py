# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""glTF materials and textures. Factors are linear; colour pictures are sRGB."""

from __future__ import annotations

import math
from pathlib import PurePath
from typing import Any
from urllib.parse import unquote

import numpy as np

from diffphyscam_ros.scene.errors import SceneError
from diffphyscam_ros.scene.gltf_buffers import GltfDocument
from diffphyscam_ros.scene.images import TextureLoader
from diffphyscam_ros.scene.meshes import Array
from diffphyscam_ros.scene.types import AlphaMode, Material, Texture

__all__ = ['MaterialReader']


def _alpha_mode(name: str) -> AlphaMode:
    """Return our name of an ``alphaMode``."""
    modes: dict[str, AlphaMode] = {'OPAQUE': 'opaque', 'MASK': 'mask', 'BLEND': 'blend'}
    if name not in modes:
        raise ValueError(f'alphaMode {name!r} is none of {", ".join(modes)}')
    return modes[name]


class MaterialReader:
    """Translates the materials of a document, each once.

    ``left_out`` collects what this renderer has no place for.
    """

    def __init__(self, document: GltfDocument, textures: TextureLoader) -> None:
        self.document = document
        self.textures = textures
        self.left_out: set[str] = set()
        default = Material(metallic=1.0, double_sided=False)
        self._materials: dict[int | None, Material] = {None: default}

    def material(self, index: int | None) -> Material:
        """Return a material; None is the default of the specification."""
        if index not in self._materials:
            entry = self.document.item('materials', index)
            try:
                self._materials[index] = self._read(entry)
            except (TypeError, KeyError, AttributeError, ValueError) as error:
                if isinstance(error, SceneError):
                    raise
                raise self.document.error(f'material {index} is malformed: {error}') from error
        return self._materials[index]

    def _read(self, entry: dict[str, Any]) -> Material:
        pbr = entry.get('pbrMetallicRoughness', {})
        extensions = entry.get('extensions', {})
        mode = _alpha_mode(str(entry.get('alphaMode', 'OPAQUE')))
        base = pbr.get('baseColorFactor', [1.0, 1.0, 1.0, 1.0])
        base_texture = pbr.get('baseColorTexture')
        metallic, roughness = pbr.get('metallicFactor', 1.0), pbr.get('roughnessFactor', 1.0)
        gloss = extensions.get('KHR_materials_pbrSpecularGlossiness')
        if gloss is not None and not pbr:
            base = gloss.get('diffuseFactor', [1.0, 1.0, 1.0, 1.0])
            base_texture = gloss.get('diffuseTexture')
            metallic, roughness = 0.0, 1.0 - float(gloss.get('glossinessFactor', 1.0))
        known = {'KHR_materials_pbrSpecularGlossiness', 'KHR_materials_emissive_strength'}
        self.left_out |= set(extensions) - known
        red, green, blue = (float(value) for value in base[:3])
        normal, occlusion = entry.get('normalTexture'), entry.get('occlusionTexture')
        return Material(
            base_color=(red, green, blue),
            metallic=float(metallic),
            roughness=float(roughness),
            emissive=self._emissive(entry, extensions),
            base_color_texture=self._texture(base_texture, srgb=True, alpha=mode != 'opaque'),
            metallic_roughness_texture=self._texture(
                pbr.get('metallicRoughnessTexture'), srgb=False
            ),
            normal_texture=self._texture(normal, srgb=False),
            double_sided=bool(entry.get('doubleSided', False)),
            emissive_texture=self._texture(entry.get('emissiveTexture'), srgb=True),
            occlusion_texture=self._texture(occlusion, srgb=False),
            alpha=float(base[3]) if len(base) > 3 else 1.0,
            alpha_mode=mode,
            alpha_cutoff=float(entry.get('alphaCutoff', 0.5)),
            occlusion_strength=float((occlusion or {}).get('strength', 1.0)),
            normal_scale=float((normal or {}).get('scale', 1.0)),
        )

    def _emissive(
        self, entry: dict[str, Any], extensions: dict[str, Any]
    ) -> tuple[float, float, float]:
        """Return the emitted radiance, which an emissive texture multiplies."""
        factor = [float(value) for value in entry.get('emissiveFactor', [0.0, 0.0, 0.0])]
        strength = extensions.get('KHR_materials_emissive_strength', {})
        scale = float(strength.get('emissiveStrength', 1.0))
        red, green, blue = (value * scale for value in factor)
        return red, green, blue

    def _texture(
        self, reference: dict[str, Any] | None, srgb: bool, alpha: bool = False
    ) -> Texture | None:
        """Return the picture that a reference leads to; None (warned of) if it is missing."""
        if reference is None:
            return None
        texture = self.document.item('textures', reference.get('index'))
        webp = texture.get('extensions', {}).get('EXT_texture_webp', {})
        index = texture.get('source', webp.get('source'))
        if index is None:
            self.left_out.add('textures without a png, jpg or webp picture')
            return None
        image = self.document.item('images', index)
        path = self.document.path
        uri = image.get('uri')
        if uri is not None and not uri.startswith('data:') and '://' not in uri:
            return self.textures.file(path.parent / PurePath(unquote(uri)), srgb, alpha)
        if uri is not None:
            data = self.document.uri_bytes(uri)
        else:
            data = self.document.view(image['bufferView'])[0]
        return self.textures.data(data, f'{path} (image {index})', srgb, alpha)

    def texture_coordinates(
        self, primitive: dict[str, Any], attributes: dict[str, Any]
    ) -> Array | None:
        """Return the coordinates that the material's first texture uses, its transform applied."""
        reference = self._first_reference(primitive.get('material'))
        transform = reference.get('extensions', {}).get('KHR_texture_transform', {})
        number = transform.get('texCoord', reference.get('texCoord', 0))
        name = f'TEXCOORD_{number}'
        if name not in attributes:
            return None
        uvs = self.document.accessor(attributes[name]).astype(np.float32)
        if not transform:
            return uvs
        turn = float(transform.get('rotation', 0.0))
        cosine, sine = math.cos(turn), math.sin(turn)
        scaled = uvs * np.asarray(transform.get('scale', [1.0, 1.0]), dtype=np.float32)
        rotated = scaled @ np.array([[cosine, -sine], [sine, cosine]], dtype=np.float32)
        moved: Array = rotated + np.asarray(transform.get('offset', [0.0, 0.0]), dtype=np.float32)
        return moved

    def _first_reference(self, index: int | None) -> dict[str, Any]:
        """Return the reference that decides on the coordinates; note where others differ."""
        if index is None:
            return {}
        entry = self.document.item('materials', index)
        pbr = entry.get('pbrMetallicRoughness', {})
        gloss = entry.get('extensions', {}).get('KHR_materials_pbrSpecularGlossiness', {})
        references: list[dict[str, Any]] = [
            reference
            for reference in (
                pbr.get('baseColorTexture'),
                gloss.get('diffuseTexture'),
                pbr.get('metallicRoughnessTexture'),
                entry.get('normalTexture'),
                entry.get('emissiveTexture'),
                entry.get('occlusionTexture'),
            )
            if reference is not None
        ]
        if not references:
            return {}
        placements = {
            repr((item.get('texCoord', 0), item.get('extensions'))) for item in references
        }
        if len(placements) > 1:
            self.left_out.add('texture coordinates that differ between textures of one material')
        return references[0]
