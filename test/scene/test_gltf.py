# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""glTF: files written by trimesh, and documents made by hand for what it does not write."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path

import cv2
from gltf_builder import Builder, TRIANGLE
import numpy as np
import pytest
import torch
import trimesh

from diffphyscam_ros.scene import (
    DirectionalLight,
    load_mesh,
    load_scene,
    PointLight,
    SceneError,
    SceneWarning,
)
from diffphyscam_ros.scene.colors import srgb_to_linear
from diffphyscam_ros.scene.types import Instance


def _corners(part: Instance) -> torch.Tensor:
    points = part.mesh.vertices @ part.pose[:3, :3].T + part.pose[:3, 3]
    return points[part.mesh.faces.long()]


def _turned(points: np.ndarray) -> torch.Tensor:
    """Return glTF's (x, y, z) in our frame: (x, -z, y)."""
    return torch.tensor(np.stack([points[..., 0], -points[..., 2], points[..., 1]], -1)).float()


def test_nested_nodes_and_negative_scale_from_trimesh(tmp_path: Path) -> None:
    """A tree of transforms, a mirror and a shared mesh come out where trimesh says they are."""
    rng = np.random.default_rng(0)
    scene = trimesh.Scene()
    parent = trimesh.transformations.random_rotation_matrix(rng.uniform(size=3))
    parent[:3, 3] = (1, 2, 3)
    mirror = trimesh.transformations.random_rotation_matrix(rng.uniform(size=3))
    mirror[:3, :3] = mirror[:3, :3] @ np.diag((-1, 2, 0.5))
    scene.graph.update('arm', 'world', matrix=parent)
    box = trimesh.creation.box((1, 2, 3))
    scene.add_geometry(box, node_name='a', geom_name='box', parent_node_name='arm',
                       transform=mirror)  # fmt: skip
    scene.graph.update('b', 'arm', matrix=np.eye(4), geometry='box')
    (tmp_path / 'a.glb').write_bytes(scene.export(file_type='glb'))
    parts = {part.name: part for part in load_scene(tmp_path / 'a.glb').instances}
    assert set(parts) == {'a', 'b'}
    assert parts['a'].mesh is parts['b'].mesh, 'one mesh, two places'
    assert float(torch.linalg.det(parts['a'].pose[:3, :3])) < 0
    for name, pose in (('a', parent @ mirror), ('b', parent)):
        expected = _turned(trimesh.transform_points(box.triangles.reshape(-1, 3), pose))
        torch.testing.assert_close(
            _corners(parts[name]).reshape(-1, 3), expected, rtol=1e-5, atol=1e-5
        )


def test_up_axis_may_stay(tmp_path: Path) -> None:
    builder = Builder()
    builder.tree['nodes'] = [{'mesh': builder.mesh()}]
    path = builder.write(tmp_path / 'a.gltf')
    torch.testing.assert_close(_corners(load_mesh(path)[0])[0], _turned(TRIANGLE))
    torch.testing.assert_close(
        _corners(load_mesh(path, up_axis='z')[0])[0], torch.from_numpy(TRIANGLE)
    )
    scaled = load_mesh(path, scale=(1, 2, 3))[0]
    torch.testing.assert_close(_corners(scaled)[0], _turned(TRIANGLE) * torch.tensor([1, 2, 3]))


def test_materials(tmp_path: Path) -> None:
    builder = Builder()
    picture = np.zeros((2, 2, 3), dtype=np.uint8)
    picture[0, 0] = (10, 128, 188)  # BGR, top left
    png = cv2.imencode('.png', picture)[1].tobytes()
    builder.tree['images'] = [{'bufferView': builder.view(png), 'mimeType': 'image/png'}]
    builder.tree['textures'] = [{'source': 0}]
    builder.tree['materials'] = [
        {
            'pbrMetallicRoughness': {
                'baseColorFactor': [0.1234567, 0.5, 0.9, 1.0], 'metallicFactor': 0.25,
                'roughnessFactor': 0.75, 'baseColorTexture': {'index': 0},
                'metallicRoughnessTexture': {'index': 0},
            },
            'normalTexture': {'index': 0}, 'doubleSided': True,
            'emissiveFactor': [0.5, 0.25, 1.0],
            'extensions': {'KHR_materials_emissive_strength': {'emissiveStrength': 4.0}},
        }
    ]  # fmt: skip
    uv = np.array([[0, 0], [1, 0], [0, 1]], dtype=np.float32)
    shade = np.array([[255, 0, 51, 9], [0, 255, 0, 9], [0, 0, 255, 9]], dtype=np.uint8)
    attributes = {
        'TEXCOORD_0': builder.accessor(uv, 5126),
        'COLOR_0': builder.accessor(shade, 5121, normalized=True),
        'NORMAL': builder.accessor(np.array([[0, 0, 2.0]] * 3, dtype=np.float32), 5126),
    }
    builder.tree['nodes'] = [
        {'mesh': builder.mesh(material=0, attributes=attributes)},
        {'mesh': builder.mesh()},
    ]
    full, plain = load_mesh(builder.write(tmp_path / 'a.gltf'))
    material = full.material
    assert material.base_color == (0.1234567, 0.5, 0.9), 'factors are linear and exact'
    assert (material.metallic, material.roughness, material.double_sided) == (0.25, 0.75, True)
    assert material.emissive == (2.0, 1.0, 4.0)
    codes = torch.tensor([188, 128, 10]) / 255
    assert material.base_color_texture is not None
    assert material.metallic_roughness_texture is not None
    torch.testing.assert_close(material.base_color_texture.image[0, 0], srgb_to_linear(codes))
    torch.testing.assert_close(material.metallic_roughness_texture.image[0, 0], codes)
    assert material.normal_texture is material.metallic_roughness_texture, 'one picture, one copy'
    assert full.mesh.uvs is not None and full.mesh.uvs.tolist() == uv.tolist()
    assert full.mesh.colors is not None
    assert full.mesh.colors[0].tolist() == pytest.approx([1, 0, 0.2])
    assert full.mesh.normals is not None and full.mesh.normals.tolist() == [[0, 0, 1]] * 3
    assert plain.mesh.normals is None, 'no normals: flat, as the specification says'
    assert (plain.material.metallic, plain.material.double_sided) == (1.0, False)


def test_lights_in_our_units(tmp_path: Path) -> None:
    builder = Builder()
    builder.tree['extensions'] = {
        'KHR_lights_punctual': {
            'lights': [
                {'type': 'directional', 'intensity': 1000.0, 'color': [1.0, 0.5, 0.25]},
                {'type': 'point', 'intensity': 500.0},
            ]
        }
    }
    turn = math.sqrt(0.5)
    down = {'extensions': {'KHR_lights_punctual': {'light': 0}}, 'rotation': [-turn, 0, 0, turn]}
    bulb = {'extensions': {'KHR_lights_punctual': {'light': 1}}, 'translation': [1, 2, 3]}
    builder.tree['nodes'] = [{'mesh': builder.mesh()}, down, bulb]
    path = builder.write(tmp_path / 'a.gltf')
    scene = load_scene(path)
    sun, lamp = scene.lights
    assert isinstance(sun, DirectionalLight) and isinstance(lamp, PointLight)
    # -z turned by -90 degrees about x is glTF's -y, our -z: straight down.
    assert sun.direction == pytest.approx([0, 0, -1], abs=1e-6)
    # 1000 lux is the nominal light: a white diffuser, E / pi, then shows radiance 1.
    assert [value / math.pi for value in sun.irradiance] == pytest.approx([1.0, 0.5, 0.25])
    assert lamp.position == pytest.approx([1, -3, 2])
    assert lamp.intensity == pytest.approx([math.pi / 2] * 3)
    assert scene.environment is None, 'a file with lights gets no others'
    brighter = load_scene(path, nominal_illuminance=100.0).lights[0]
    assert isinstance(brighter, DirectionalLight)
    assert brighter.irradiance[0] == pytest.approx(10 * sun.irradiance[0])
    with pytest.raises(SceneError, match='nominal_illuminance'):
        load_scene(path, nominal_illuminance=0.0)


def test_strips_fans_strides_and_sparse(tmp_path: Path) -> None:
    builder = Builder()
    square = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], dtype=np.float32)
    for mode in (5, 6):
        points = square if mode == 5 else square[[0, 1, 3, 2]]
        builder.tree['nodes'].append(
            {
                'mesh': builder.mesh(
                    attributes={'POSITION': builder.accessor(points, 5126)}, mode=mode
                )
            }
        )
    padded = np.concatenate([square, np.full((4, 2), 7, np.float32)], 1)
    builder.tree['accessors'].append(
        {
            'bufferView': builder.view(padded.tobytes(), byteStride=20), 'componentType': 5126,
            'count': 4, 'type': 'VEC3',
            'sparse': {
                'count': 1,
                'indices': {'bufferView': builder.view(np.array([3], '<u2').tobytes()),
                            'componentType': 5123},
                'values': {'bufferView': builder.view(np.array([[5, 5, 5]], '<f4').tobytes())},
            },
        }
    )  # fmt: skip
    position = len(builder.tree['accessors']) - 1
    indices = builder.accessor(np.array([0, 1, 3], dtype=np.uint8), 5121)
    builder.tree['nodes'].append(
        {'mesh': builder.mesh(attributes={'POSITION': position}, indices=indices)}
    )
    strip, fan, sparse = load_mesh(builder.write(tmp_path / 'a.gltf'), up_axis='z')
    for part in (strip, fan):
        corners = _corners(part)
        area = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        assert area.tolist() == [[0, 0, 1], [0, 0, 1]], 'both triangles face +z'
    assert _corners(sparse).tolist() == [[[0, 0, 0], [1, 0, 0], [5, 5, 5]]]


def test_texture_transform(tmp_path: Path) -> None:
    builder = Builder()
    cv2.imwrite(str(tmp_path / 'a b.png'), np.zeros((2, 2, 3), np.uint8))
    builder.tree['images'] = [{'uri': 'a%20b.png'}]
    builder.tree['textures'] = [{'source': 0}]
    transform = {'offset': [0.5, 0.25], 'scale': [2.0, 3.0], 'rotation': math.pi / 2}
    reference = {'index': 0, 'extensions': {'KHR_texture_transform': transform}}
    builder.tree['materials'] = [{'pbrMetallicRoughness': {'baseColorTexture': reference}}]
    uv = np.array([[0, 0], [1, 0], [0, 1]], dtype=np.float32)
    attributes = {'TEXCOORD_0': builder.accessor(uv, 5126)}
    builder.tree['nodes'] = [{'mesh': builder.mesh(material=0, attributes=attributes)}]
    (part,) = load_mesh(builder.write(tmp_path / 'a.gltf'))
    assert part.material.base_color_texture is not None
    # A counter-clockwise quarter turn where v points down: u goes to -v, v to u.
    expected = [[0.5, 0.25], [0.5, 0.25 - 2], [0.5 + 3, 0.25]]
    torch.testing.assert_close(part.mesh.uvs, torch.tensor(expected))


def test_missing_texture_warns_and_the_rest_loads(tmp_path: Path) -> None:
    builder = Builder()
    builder.tree['images'] = [{'uri': 'absent.png'}]
    builder.tree['textures'] = [{'source': 0}]
    builder.tree['materials'] = [
        {
            'pbrMetallicRoughness': {
                'baseColorTexture': {'index': 0},
                'baseColorFactor': [1, 0, 0, 1],
            }
        }
    ]
    builder.tree['nodes'] = [
        {'mesh': builder.mesh(material=0)},
        {'mesh': builder.mesh(material=0)},
    ]
    with pytest.warns(SceneWarning, match=r'absent.png: there is no such file') as caught:
        parts = load_mesh(builder.write(tmp_path / 'a.gltf'))
    assert len(caught) == 1 and len(parts) == 2
    assert parts[0].material.base_color_texture is None
    assert parts[0].material.base_color == (1.0, 0.0, 0.0)


def test_large_textures_are_shrunk(tmp_path: Path) -> None:
    builder = Builder()
    image = np.zeros((16, 64, 3), np.uint8)
    image[:, ::2] = 255
    png = cv2.imencode('.png', image)[1].tobytes()
    uri = 'data:image/png;base64,' + base64.b64encode(png).decode()
    builder.tree['images'] = [{'uri': uri}]
    builder.tree['textures'] = [{'source': 0}]
    builder.tree['materials'] = [{'pbrMetallicRoughness': {'baseColorTexture': {'index': 0}}}]
    builder.tree['nodes'] = [{'mesh': builder.mesh(material=0)}]
    path = builder.write(tmp_path / 'a.gltf')
    with pytest.warns(SceneWarning, match=r'64x16 px is stored as 32x8'):
        (part,) = load_mesh(path, max_texture_size=32)
    texture = part.material.base_color_texture
    assert texture is not None and texture.image.shape == (8, 32, 3)
    torch.testing.assert_close(texture.image, torch.full((8, 32, 3), 0.5))  # light is averaged


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    builder = Builder()
    builder.tree['materials'] = [{'extensions': {'KHR_materials_clearcoat': {}}}]
    builder.tree['nodes'] = [{'mesh': builder.mesh(material=0), 'skin': 0}]
    with pytest.warns(SceneWarning, match='KHR_materials_clearcoat, skins left out'):
        load_mesh(builder.write(tmp_path / 'a.gltf'))


def _break(builder: Builder, what: str) -> None:
    tree = builder.tree
    if what == 'cycle':
        tree['nodes'] = [{'children': [1]}, {'children': [0]}]
        tree['scenes'] = [{'nodes': [0]}]
    elif what == 'node':
        tree['scenes'] = [{'nodes': [9]}]
    elif what == 'bounds':
        tree['accessors'][0]['count'] = 1000
    elif what == 'index':
        tree['meshes'][0]['primitives'][0]['indices'] = builder.accessor(
            np.array([0, 1, 77], dtype=np.uint16), 5123
        )
    elif what == 'nan':
        builder.data = np.float32(np.nan).tobytes() + builder.data[4:]
    elif what == 'quaternion':
        tree['nodes'][0]['rotation'] = [0, 0, 0, 0]
    elif what == 'draco':
        tree['extensionsRequired'] = ['KHR_draco_mesh_compression']
    elif what == 'version':
        tree['asset']['version'] = '1.0'
    elif what == 'component':
        tree['accessors'][0]['componentType'] = 1
    elif what == 'material':
        tree['meshes'][0]['primitives'][0]['material'] = 3
    elif what == 'points':
        tree['meshes'][0]['primitives'][0]['mode'] = 0


@pytest.mark.filterwarnings('ignore:.*points and lines left out')
@pytest.mark.parametrize(
    'what, message',
    [
        ('cycle', 'own ancestor'),
        ('node', 'nodes 9'),
        ('bounds', 'needs 12000 bytes'),
        ('index', r'outside 0..2 \(the first: 77\)'),
        ('nan', '1 of 3 vertices'),
        ('quaternion', 'no length'),
        ('draco', 'KHR_draco_mesh_compression'),
        ('version', "'1.0'"),
        ('component', 'accessor 0 is malformed'),
        ('material', 'materials 3'),
        ('points', 'no triangles'),
    ],
)
def test_broken_documents(tmp_path: Path, what: str, message: str) -> None:
    builder = Builder()
    builder.tree['nodes'] = [{'mesh': builder.mesh()}]
    _break(builder, what)
    with pytest.raises(SceneError, match=message) as caught:
        load_mesh(builder.write(tmp_path / 'a.gltf'))
    assert 'a.gltf' in str(caught.value)


def test_missing_buffer_and_web_address(tmp_path: Path) -> None:
    builder = Builder()
    builder.tree['nodes'] = [{'mesh': builder.mesh()}]
    path = builder.write(tmp_path / 'a.gltf')
    tree = json.loads(path.read_text())
    for uri, message in (('absent.bin', 'no such file'), ('https://x.org/a.bin', 'only files')):
        tree['buffers'][0]['uri'] = uri
        path.write_text(json.dumps(tree))
        with pytest.raises(SceneError, match=message):
            load_mesh(path)
    path.write_text('{"asset": ')
    with pytest.raises(SceneError, match='JSON'):
        load_mesh(path)
