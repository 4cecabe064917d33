# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Scene files in YAML: what they say is there, and every mistake names its place and remedy."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import trimesh

from diffphyscam_ros.scene import (
    DirectionalLight,
    load_scene,
    PointLight,
    pose_from_quaternion,
    Scene,
    SceneError,
)
from diffphyscam_ros.scene.types import Instance

HEAD = 'schema: diffphyscam_ros/scene/1\n'
FULL = """
meshes:
  - name: part
    file: meshes/a.stl
    position: [1, 2, 3]
    quaternion: [0, 0, 1, 1]
    scale: 1e-3
    material: {base_color: [1, 0.5, 0], metallic: 1, roughness: 0.25, emissive: 2}
  - file: meshes/a.stl
    rpy: [0, 0, 3.14159265]
    scale: [1, 2, 3]
    shading: smooth
    up_axis: y
  - box: {size: [1, 2, 3]}
    material:
      base_color_texture: paint.png
      normal_texture: {noise: {cells: 4, size: 32}}
      double_sided: false
  - sphere: {radius: 0.5, segments: 8, rings: 4}
    shading: flat
  - cylinder: {radius: 0.5, height: 2}
    name: part
  - plane: {size: 2}
    uv_scale: [2, 4]
lights:
  - directional: {direction: [0, 0, -2], irradiance: 3.14}
  - point: {position: [1, 2, 3], intensity: [1, 0.5, 0.25]}
environment: {constant: [0.1, 0.2, 0.3], intensity: 2}
background: 0.5
"""


def _extent(part: Instance) -> list[float]:
    points = part.mesh.vertices @ part.pose[:3, :3].T
    return (points.amax(0) - points.amin(0)).tolist()


def _write(folder: Path, text: str) -> Path:
    path = folder / 'scene.yaml'
    path.write_text(HEAD + text)
    return path


@pytest.fixture
def full(tmp_path: Path) -> Scene:
    """Write a scene that uses everything, with a mesh and a picture beside it, and load it."""
    (tmp_path / 'meshes').mkdir()
    data = trimesh.creation.box((1, 2, 3)).export(file_type='stl')
    (tmp_path / 'meshes' / 'a.stl').write_bytes(data)
    cv2.imwrite(str(tmp_path / 'paint.png'), np.full((2, 2, 3), 255, np.uint8))
    return load_scene(_write(tmp_path, FULL))


def test_meshes(full: Scene) -> None:
    assert full.names == ('part', 'a', 'box_2', 'sphere_3', 'part_2', 'plane_5')
    first, second, box, sphere, _, plane = full.instances
    turn = pose_from_quaternion((1, 2, 3), (0, 0, 1, 1))
    expected = turn @ torch.diag(torch.tensor([1e-3, 1e-3, 1e-3, 1.0]))
    torch.testing.assert_close(first.pose, expected)
    assert first.material.base_color == (1.0, 0.5, 0.0)
    assert (first.material.metallic, first.material.roughness) == (1.0, 0.25)
    assert first.material.emissive == (2.0, 2.0, 2.0)
    assert _extent(second) == pytest.approx([1, 6, 6], abs=1e-4), 'turned up, then scaled'
    assert second.mesh.normals is not None and first.mesh.normals is None
    assert _extent(box) == pytest.approx([1, 2, 3])
    texture = box.material.base_color_texture
    assert texture is not None and texture.image.eq(1).all()
    assert box.material.normal_texture is not None and not box.material.double_sided
    assert box.material.normal_texture.image.shape == (32, 32, 3)
    assert sphere.mesh.normals is None
    assert plane.mesh.uvs is not None and plane.mesh.uvs.amax(0).tolist() == [2, 4]


def test_light(full: Scene) -> None:
    sun, lamp = full.lights
    assert isinstance(sun, DirectionalLight) and isinstance(lamp, PointLight)
    assert sun.direction == (0, 0, -2) and sun.irradiance == (3.14, 3.14, 3.14)
    assert lamp.position == (1, 2, 3) and lamp.intensity == (1, 0.5, 0.25)
    assert full.environment is not None and full.environment.intensity == 2
    assert full.environment.image.reshape(3).tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert full.background == (0.5, 0.5, 0.5)


def test_a_file_used_twice_is_one_mesh(full: Scene, tmp_path: Path) -> None:
    text = 'meshes: [{file: meshes/a.stl}, {file: meshes/a.stl, position: [1, 0, 0]}]'
    first, second = load_scene(_write(tmp_path, text)).instances
    assert first.mesh is second.mesh


def test_empty_scene_has_no_light_of_its_own(tmp_path: Path) -> None:
    scene = load_scene(_write(tmp_path, ''))
    assert (scene.instances, scene.lights) == ((), ())
    assert scene.environment is None and scene.background is None


def test_environment_file_and_rotation(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'sky.hdr'), np.full((2, 4, 3), 3.0, np.float32))
    text = 'environment: {file: sky.hdr, rotation: 1.5, intensity: 0.5}'
    environment = load_scene(_write(tmp_path, text)).environment
    assert environment is not None
    assert (environment.rotation, environment.intensity) == (1.5, 0.5)
    assert environment.image.shape == (2, 4, 3) and float(environment.image[0, 0, 0]) == 3.0


def test_checkerboard_decides_the_planes_size(tmp_path: Path) -> None:
    board = 'base_color_texture: {checkerboard: {rows: 6, columns: 8, square_m: 0.025}}'
    text = 'meshes: [{plane: %s, material: {' + board + '}}]'
    (part,) = load_scene(_write(tmp_path, text % '{}')).instances
    assert _extent(part)[:2] == pytest.approx([0.275, 0.225])
    assert load_scene(_write(tmp_path, text % '{size: [0.275, 0.225]}')).instances
    with pytest.raises(SceneError, match=r'measures \[0.275, 0.225\] m: leave the size out'):
        load_scene(_write(tmp_path, text % '{size: [0.3, 0.225]}'))


def test_example_scene(repository: Path) -> None:
    scene = load_scene(repository / 'examples' / 'scenes' / 'table.yaml')
    assert len(set(scene.names)) == len(scene.names) >= 10
    names = dict(zip(scene.names, scene.instances, strict=True))
    assert _extent(names['table_top']) == pytest.approx([0.8, 1.4, 0.04])
    board = names['calibration_board'].pose
    facing = board[:3, 2]
    assert float(facing[0]) < -0.8, 'the board faces the camera, which looks along +x'
    assert float(board[2, 1]) > 0.8, 'and stands upright'
    assert float(names['wall'].pose[0, 2]) == pytest.approx(-1.0, abs=1e-5)


@pytest.mark.parametrize(
    'text, message',
    [
        ('mesh: []', r"unknown 'mesh' \(did you mean meshes\?\); allowed: schema, meshes"),
        ('meshes: [{bx: {size: 1}}]', r"meshes\[0\]: unknown 'bx'.*allowed: name, file, box"),
        ('meshes: [{name: a}]', 'exactly one of file, box, .* found none'),
        ('meshes: [{box: {size: 1}, plane: {size: 1}}]', 'found box and plane'),
        ('meshes: [{box: {}}]', r'meshes\[0\]: box: size is missing'),
        ('meshes: [{box: {size: [1, 2]}}]', 'list of 3 numbers'),
        ('meshes: [{box: {size: [1, 2, 0]}}]', 'must be > 0'),
        ('meshes: [{box: {size: 1, radius: 2}}]', "unknown 'radius'.*allowed: size"),
        ('meshes: [{sphere: {radius: -1}}]', 'radius = -1.0: must be > 0'),
        ('meshes: [{sphere: {radius: .nan}}]', 'radius = nan'),
        ('meshes: [{sphere: {radius: true}}]', 'must be a number, not True'),
        ('meshes: [{sphere: {radius: 1, rings: 1.5}}]', 'whole number'),
        ('meshes: [{plane: {}}]', 'size is missing'),
        ('meshes: [{plane: {size: 1}, scale: 0}]', 'scale = 0.0: must be finite and not zero'),
        ('meshes: [{plane: {size: 1}, up_axis: y}]', 'for files only'),
        ('meshes: [{plane: {size: 1}, shading: round}]', 'one of file, flat, smooth'),
        ('meshes: [{plane: {size: 1}, quaternion: [0, 0, 0, 0]}]', 'no length'),
        ('meshes: [{plane: {size: 1}, quaternion: [0, 0, 0, 1], rpy: [0, 0, 0]}]', 'not both'),
        ('meshes: [{plane: {size: 1}, position: [0, .inf, 0]}]', 'position = inf'),
        ('meshes: [{file: absent.stl}]', r'meshes\[0\]: file: .*absent.stl: there is no such'),
        ('meshes: [{plane: {size: 1}, material: {colour: 1}}]', "unknown 'colour'"),
        ('meshes: [{plane: {size: 1}, material: {base_color: 2}}]', r'in \[0, 1\]'),
        ('meshes: [{plane: {size: 1}, material: {metallic: -1}}]', r'in \[0, 1\]'),
        ('meshes: [{plane: {size: 1}, material: {double_sided: 1}}]', 'true or false'),
        (
            'meshes: [{plane: {size: 1}, material: {base_color_texture: {tiles: {}}}}]',
            'allowed: checkerboard, grid, brick, wood, noise',
        ),
        (
            'meshes: [{plane: {size: 1}, material: {base_color_texture: {brick: {rows: 3}}}}]',
            'rows even',
        ),
        ('meshes: {box: {size: 1}}', 'must be a list'),
        ('meshes: [box]', r"mapping .* is needed, not 'box'"),
        ('lights: [{spot: {}}]', r'intensity is missing \(or candela or lumen'),
        ('lights: [{directional: {direction: [0, 0, 0], irradiance: 1}}]', 'have a length'),
        ('lights: [{directional: {direction: [0, 0, 1]}}]', 'irradiance is missing'),
        ('lights: [{point: {position: [0, 0, 0], intensity: -1}}]', 'at least 0'),
        ('lights: [{point: {intensity: 1}}]', 'position is missing'),
        (
            'lights: [{point: {position: [0, 0, 0], candela: 1, lumen: 1}}]',
            'found candela and lumen',
        ),
        (
            'lights: [{spot: {position: [0, 0, 0], direction: [0, 0, 1], intensity: 1, '
            'inner_angle: 0.9}}]',
            'must be below outer_angle 0.785',
        ),
        ('lights: [{laser: {}}]', 'allowed: directional, point, spot'),
        ('lights: [{directional: {direction: [0, 0, 1], lux: 1, angle: 2}}]', 'angle = 2'),
        (
            'meshes: [{plane: {size: 1}, material: {alpha_mode: add}}]',
            'must be one of opaque, mask, blend',
        ),
        ('environment: {constant: 1, file: a.hdr}', 'exactly one'),
        ('environment: {file: absent.hdr}', 'environment: file: .*no such file'),
        ('environment: 3', 'mapping'),
        ('background: [1, 2]', 'list of 3'),
        ('meshes: []\nmeshes: []', "the key 'meshes' stands twice"),
        ('meshes: [', 'no valid YAML'),
        ('[meshes]: 1', 'YAML'),
    ],
)
def test_mistakes(tmp_path: Path, text: str, message: str) -> None:
    path = _write(tmp_path, text)
    with pytest.raises(SceneError, match=message) as caught:
        load_scene(path)
    assert str(path) in str(caught.value), 'the message names the file'


def test_schema_is_required(tmp_path: Path) -> None:
    path = tmp_path / 'a.yaml'
    for text, message in (
        ('meshes: []', 'schema is missing'),
        ('schema: diffphyscam_ros/scene/9', "must be 'diffphyscam_ros/scene/1'"),
        ('- 1', 'mapping'),
        ('', 'empty'),
    ):
        path.write_text(text)
        with pytest.raises(SceneError, match=message):
            load_scene(path)
    with pytest.raises(SceneError, match='no such file'):
        load_scene(tmp_path / 'absent.yaml')


def test_scale_of_a_whole_scene_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match='for each mesh'):
        load_scene(_write(tmp_path, ''), scale=2.0)


def test_quarter_turn_by_rpy(tmp_path: Path) -> None:
    text = f'meshes: [{{plane: {{size: 1}}, rpy: [{math.pi / 2}, 0, 0]}}]'
    (part,) = load_scene(_write(tmp_path, text)).instances
    torch.testing.assert_close(part.pose[:3, 2], torch.tensor([0.0, -1.0, 0.0]))
