# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Alpha, emission, occlusion and lights as glTF, MTL, COLLADA and scene files state them."""

from __future__ import annotations

import math
from pathlib import Path
import textwrap

import cv2
from gltf_builder import Builder
import numpy as np
import pytest
import torch

from diffphyscam_ros.scene import load_mesh, load_scene, Material, SceneError, SpotLight

UVS = np.array([[0, 0], [1, 0], [0, 1]], dtype=np.float32)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Write a 2 × 1 picture: half red with alpha 1, half green with alpha 0.2."""
    pixels = np.array([[[0, 0, 255, 255], [0, 255, 0, 51]]], np.uint8)  # BGRA
    path = tmp_path / 'paint.png'
    cv2.imwrite(str(path), pixels)
    return path


def gltf_material(tmp_path: Path, entry: dict) -> Material:
    """Return what a glTF material becomes; texture 0 is paint.png."""
    builder = Builder()
    builder.tree['images'] = [{'uri': 'paint.png'}]
    builder.tree['textures'] = [{'source': 0}]
    builder.tree['materials'] = [entry]
    uvs = builder.accessor(UVS, 5126)
    builder.tree['nodes'] = [{'mesh': builder.mesh(material=0, attributes={'TEXCOORD_0': uvs})}]
    return load_mesh(builder.write(tmp_path / 'a.gltf'))[0].material


def test_gltf_alpha(tmp_path: Path, picture: Path) -> None:
    paint = {'baseColorFactor': [1, 1, 1, 0.5], 'baseColorTexture': {'index': 0}}
    opaque = gltf_material(tmp_path, {'pbrMetallicRoughness': paint})
    assert opaque.alpha_mode == 'opaque' and opaque.base_color_texture is not None
    assert opaque.base_color_texture.image.shape == (1, 2, 3), 'alpha is of no use, no memory'
    cut = gltf_material(
        tmp_path, {'pbrMetallicRoughness': paint, 'alphaMode': 'MASK', 'alphaCutoff': 0.3}
    )
    assert (cut.alpha_mode, cut.alpha_cutoff, cut.alpha) == ('mask', 0.3, 0.5)
    glass = gltf_material(tmp_path, {'pbrMetallicRoughness': paint, 'alphaMode': 'BLEND'})
    assert (glass.alpha_mode, glass.alpha_cutoff) == ('blend', 0.5)
    assert glass.base_color_texture is not None
    torch.testing.assert_close(
        glass.base_color_texture.image[0], torch.tensor([[1.0, 0, 0, 1], [0, 1, 0, 0.2]])
    )
    with pytest.raises(SceneError, match=r"alphaMode 'GLASS' is none of OPAQUE, MASK, BLEND"):
        gltf_material(tmp_path, {'alphaMode': 'GLASS'})


def test_gltf_emission_occlusion_and_normal_scale(tmp_path: Path, picture: Path) -> None:
    material = gltf_material(
        tmp_path,
        {
            'emissiveFactor': [1, 0.5, 0],
            'emissiveTexture': {'index': 0},
            'extensions': {'KHR_materials_emissive_strength': {'emissiveStrength': 3}},
            'occlusionTexture': {'index': 0, 'strength': 0.25},
            'normalTexture': {'index': 0, 'scale': 2.0},
        },
    )
    assert material.emissive == (3.0, 1.5, 0.0)
    assert material.emissive_texture is not None and material.occlusion_texture is not None
    assert (material.occlusion_strength, material.normal_scale) == (0.25, 2.0)


def spot_file(tmp_path: Path, cone: dict) -> Path:
    builder = Builder()
    lights = [{'type': 'spot', 'intensity': 100.0, 'spot': cone}]
    builder.tree['extensions'] = {'KHR_lights_punctual': {'lights': lights}}
    hung = {'extensions': {'KHR_lights_punctual': {'light': 0}}, 'translation': [0, 5, 0],
            'rotation': [-math.sqrt(0.5), 0, 0, math.sqrt(0.5)]}  # fmt: skip
    builder.tree['nodes'] = [{'mesh': builder.mesh()}, hung]
    return builder.write(tmp_path / 'a.gltf')


def test_gltf_spot_light(tmp_path: Path) -> None:
    cone = {'innerConeAngle': 0.1, 'outerConeAngle': 0.4}
    (light,) = load_scene(spot_file(tmp_path, cone), nominal_illuminance=100.0).lights
    assert isinstance(light, SpotLight)
    assert light.position == pytest.approx((0, 0, 5))
    assert light.direction == pytest.approx((0, 0, -1), abs=1e-6), 'down, after y-up became z-up'
    assert light.intensity == pytest.approx((math.pi,) * 3)
    assert (light.inner_angle, light.outer_angle) == (0.1, 0.4)
    (usual,) = load_scene(spot_file(tmp_path, {})).lights
    assert isinstance(usual, SpotLight)
    assert (usual.inner_angle, usual.outer_angle) == (0.0, math.pi / 4)
    with pytest.raises(SceneError, match=r'cone from 0\.5 to 0\.4 rad'):
        load_scene(spot_file(tmp_path, {'innerConeAngle': 0.5, 'outerConeAngle': 0.4}))


def mtl_material(tmp_path: Path, statements: str) -> Material:
    (tmp_path / 'a.mtl').write_text('newmtl m\n' + statements)
    (tmp_path / 'a.obj').write_text(
        'mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nusemtl m\n'
        'f 1/1 2/2 3/3\n'
    )
    return load_mesh(tmp_path / 'a.obj')[0].material


@pytest.mark.parametrize(
    'statements, alpha', [('d 0.3', 0.3), ('Tr 0.6', 0.4), ('Tr 0.6\nd 0.9', 0.9), ('d 1', 1.0)]
)
def test_mtl_alpha(tmp_path: Path, statements: str, alpha: float) -> None:
    material = mtl_material(tmp_path, statements)
    assert material.alpha == pytest.approx(alpha)
    assert material.alpha_mode == ('opaque' if alpha == 1.0 else 'blend')


def test_mtl_matte(tmp_path: Path, picture: Path) -> None:
    material = mtl_material(tmp_path, 'map_Kd paint.png\nmap_d paint.png')
    assert material.alpha_mode == 'blend', 'half of it lies between 0 and 1'
    assert material.base_color_texture is not None
    torch.testing.assert_close(
        material.base_color_texture.image[0], torch.tensor([[1.0, 0, 0, 1], [0, 1, 0, 0.2]])
    )
    cv2.imwrite(str(tmp_path / 'holes.png'), np.array([[0, 255, 255, 0]] * 4, np.uint8))
    material = mtl_material(tmp_path, 'map_d holes.png')
    assert material.alpha_mode == 'mask' and material.base_color_texture is not None
    assert material.base_color_texture.image[0, :, 3].tolist() == [0, 1, 1, 0]
    assert bool((material.base_color_texture.image[..., :3] == 1).all())
    assert mtl_material(tmp_path, 'd 0.5\nmap_d holes.png').alpha_mode == 'blend'


def test_mtl_emission(tmp_path: Path, picture: Path) -> None:
    material = mtl_material(tmp_path, 'map_Ke paint.png')
    assert material.emissive == (1.0, 1.0, 1.0) and material.emissive_texture is not None
    assert material.emissive_texture.image.shape == (1, 2, 3)
    assert mtl_material(tmp_path, 'Ke 1 0 0\nmap_Ke paint.png').emissive == (1.0, 0.0, 0.0)


DAE = """<?xml version="1.0"?>
<COLLADA xmlns="http://www.collada.org/2005/11/COLLADASchema" version="1.4.1"><asset/>
<library_effects><effect id="e"><profile_COMMON><technique sid="t"><lambert>
<diffuse><color>1 0 0 1</color></diffuse>{transparency}
</lambert></technique></profile_COMMON></effect></library_effects>
<library_materials><material id="m"><instance_effect url="#e"/></material></library_materials>
<library_geometries><geometry id="g"><mesh>
<source id="p"><float_array id="pa" count="9">0 0 0 1 0 0 0 1 0</float_array><technique_common>
<accessor source="#pa" count="3" stride="3"><param name="X" type="float"/>
<param name="Y" type="float"/><param name="Z" type="float"/></accessor></technique_common></source>
<vertices id="v"><input semantic="POSITION" source="#p"/></vertices>
<triangles count="1" material="s"><input semantic="VERTEX" source="#v" offset="0"/><p>0 1 2</p>
</triangles></mesh></geometry></library_geometries>
<library_visual_scenes><visual_scene id="s"><node><instance_geometry url="#g"><bind_material>
<technique_common><instance_material symbol="s" target="#m"/></technique_common></bind_material>
</instance_geometry></node></visual_scene></library_visual_scenes>
<scene><instance_visual_scene url="#s"/></scene></COLLADA>"""


@pytest.mark.parametrize(
    'transparency, alpha',
    [
        ('', 1.0),
        ('<transparency><float>0.4</float></transparency>', 0.4),
        ('<transparent opaque="A_ONE"><color>1 1 1 0.5</color></transparent>'
         '<transparency><float>0.8</float></transparency>', 0.4),
        ('<transparent opaque="RGB_ZERO"><color>1 1 1 1</color></transparent>'
         '<transparency><float>0.25</float></transparency>', 0.75),
        ('<transparency><float>0</float></transparency>', 1.0),  # exporters mean opaque
    ],
)  # fmt: skip
def test_collada_transparency(tmp_path: Path, transparency: str, alpha: float) -> None:
    pytest.importorskip('collada', reason='pycollada is absent')
    (tmp_path / 'a.dae').write_text(DAE.format(transparency=transparency))
    material = load_mesh(tmp_path / 'a.dae')[0].material
    assert material.alpha == pytest.approx(alpha)
    assert material.alpha_mode == ('opaque' if alpha == 1.0 else 'blend')


def scene_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / 'scene.yaml'
    path.write_text('schema: diffphyscam_ros/scene/1\n' + textwrap.dedent(text))
    return path


def test_scene_file_materials(tmp_path: Path, picture: Path) -> None:
    text = """
    meshes:
      - plane: {size: 1}
        material: {alpha: 0.4, base_color_texture: paint.png, emissive_texture: paint.png,
                   occlusion_texture: paint.png, occlusion_strength: 0.5, normal_scale: 2}
      - plane: {size: 1}
        material: {alpha_mode: mask, alpha_cutoff: 0.7, base_color_texture: paint.png}
    """
    glass, leaf = (item.material for item in load_scene(scene_file(tmp_path, text)).instances)
    assert (glass.alpha, glass.alpha_mode) == (0.4, 'blend'), 'below 1 it blends unless told'
    assert (glass.occlusion_strength, glass.normal_scale) == (0.5, 2.0)
    assert glass.emissive_texture is not None and glass.occlusion_texture is not None
    assert glass.base_color_texture is not None and glass.base_color_texture.image.shape[2] == 4
    assert (leaf.alpha, leaf.alpha_mode, leaf.alpha_cutoff) == (1.0, 'mask', 0.7)


def test_scene_file_lights(tmp_path: Path) -> None:
    text = """
    lights:
      - directional: {direction: [0, 0, -1], lux: 500, angle: 0.0047, shadows: false}
      - point: {position: [0, 0, 1], candela: [100, 50, 0], radius: 0.1}
      - point: {position: [0, 0, 1], lumen: 800}
      - spot: {position: [0, 0, 2], direction: [0, 0, -1], lumen: 800, inner_angle: 0.2,
               outer_angle: 0.5}
    """
    path = scene_file(tmp_path, text)
    sun, lamp, bulb, spot = load_scene(path, nominal_illuminance=500.0).lights
    assert sun.irradiance == pytest.approx((math.pi,) * 3), 'the nominal light: radiance 1'
    assert (sun.angle, sun.shadows) == (0.0047, False)
    assert lamp.intensity == pytest.approx((math.pi / 5, math.pi / 10, 0.0))
    assert (lamp.radius, lamp.shadows) == (0.1, True)
    unit = math.pi / 500.0
    assert bulb.intensity == pytest.approx((800 / (4 * math.pi) * unit,) * 3)
    # All the light of the cone, by a sum over its rings.
    angle = (np.arange(100000) + 0.5) / 100000 * 0.5
    rise = (np.cos(angle) - math.cos(0.5)) / (math.cos(0.2) - math.cos(0.5))
    rings = 2 * math.pi * np.sin(angle) * (0.5 / 100000)
    flux = float((np.clip(rise, 0, 1) ** 2 * rings).sum()) * spot.intensity[0] / unit
    assert flux == pytest.approx(800.0, rel=1e-6)
