# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""OBJ, STL, PLY and COLLADA: real files, files written here, and broken ones."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import trimesh

from diffphyscam_ros.scene import load_mesh, load_scene, SceneError, SceneWarning
from diffphyscam_ros.scene.colors import srgb_to_linear
from diffphyscam_ros.scene.types import Instance, Scene


def _corners(part: Instance) -> torch.Tensor:
    """Return the triangles (F, 3, 3) in the part's parent frame."""
    points = part.mesh.vertices @ part.pose[:3, :3].T + part.pose[:3, 3]
    return points[part.mesh.faces.long()]


def _texture(path: Path, value: int = 188) -> None:
    cv2.imwrite(str(path), np.full((4, 4, 3), value, dtype=np.uint8))


TWO_MATERIALS = """
# made by hand
mtllib paint.mtl
o thing
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
v 0 0 1
vt 0 0
vt 1 0
vt 1 1
vt 0 1
vn 0 0 1
usemtl red
f 1/1/1 2/2/1 3/3/1 4/4/1
usemtl shiny
f 1 2 -1
f -5 -3 -1
"""
PAINT = """
newmtl red
Kd 0.5 0.25 1
Ns 98
Ks 1 1 1
map_Kd -s 1 1 1 -o 0 0 my\\texture.png
newmtl shiny
Kd 1 0 0
Pr 0.3
Pm 1.0
Ke 0.5 0.5 0.5
"""


@pytest.fixture
def obj_file(tmp_path: Path) -> Path:
    """Write an OBJ file with two materials, a quad, negative indices and a texture."""
    (tmp_path / 'a.obj').write_text(TWO_MATERIALS)
    (tmp_path / 'paint.mtl').write_text(PAINT)
    (tmp_path / 'my').mkdir()
    _texture(tmp_path / 'my' / 'Texture.PNG')  # another case than the MTL says
    return tmp_path / 'a.obj'


def test_obj_materials_and_geometry(obj_file: Path) -> None:
    red, shiny = load_mesh(obj_file)
    assert (red.name, shiny.name) == ('thing/red', 'thing/shiny')
    assert red.mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert red.mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]
    assert red.mesh.uvs is not None and red.mesh.uvs.tolist() == [[0, 1], [1, 1], [1, 0], [0, 0]]
    assert red.mesh.normals is not None and red.mesh.normals.tolist() == [[0, 0, 1]] * 4
    linear = srgb_to_linear(torch.tensor([0.5, 0.25, 1.0])).tolist()
    assert red.material.base_color == pytest.approx(linear, rel=1e-5)
    assert red.material.roughness == pytest.approx((2 / 100) ** 0.25)
    assert red.material.base_color_texture is not None
    expected = float(srgb_to_linear(torch.tensor(188 / 255)))
    assert float(red.material.base_color_texture.image.mean()) == pytest.approx(expected, rel=1e-5)
    assert shiny.mesh.normals is None and shiny.mesh.uvs is None
    assert _corners(shiny).tolist() == [
        [[0, 0, 0], [1, 0, 0], [0, 0, 1]],
        [[0, 0, 0], [1, 1, 0], [0, 0, 1]],
    ]
    assert (shiny.material.roughness, shiny.material.metallic) == (0.3, 1.0)
    assert shiny.material.emissive == pytest.approx([0.2140411] * 3)


def test_obj_missing_texture_and_library_warn_once(obj_file: Path, tmp_path: Path) -> None:
    (tmp_path / 'my' / 'Texture.PNG').unlink()
    with pytest.warns(SceneWarning, match='no such file') as caught:
        red, _ = load_mesh(obj_file)
    assert len(caught) == 1 and red.material.base_color_texture is None
    (tmp_path / 'paint.mtl').unlink()
    with pytest.warns(SceneWarning) as caught:
        parts = load_mesh(obj_file)
    messages = ' '.join(str(warning.message) for warning in caught)
    assert 'paint.mtl: there is no such file' in messages and "'red' is not defined" in messages
    assert len(parts) == 2 and parts[0].material.base_color == (1.0, 1.0, 1.0)


def test_obj_mixed_polygons_keep_their_order(tmp_path: Path) -> None:
    lines = [f'v {i} {i * i} 0' for i in range(6)]
    lines += ['f 1 2 3', 'f 1 2 3 4', 'f 2 3 4']
    lines += ['f 1 2 3 4 5']
    (tmp_path / 'a.obj').write_text('\n'.join(lines))
    (part,) = load_mesh(tmp_path / 'a.obj')
    assert part.mesh.faces.tolist() == [
        [0, 1, 2], [0, 1, 2], [0, 2, 3], [1, 2, 3], [0, 1, 2], [0, 2, 3], [0, 3, 4],
    ]  # fmt: skip


def test_obj_vertex_colors(tmp_path: Path) -> None:
    (tmp_path / 'a.obj').write_text('v 0 0 0 1 0 0\nv 1 0 0 0 .5 0\nv 0 1 0 0 0 1\nf 1 2 3\n')
    (part,) = load_mesh(tmp_path / 'a.obj')
    assert part.mesh.colors is not None
    assert part.mesh.colors[1].tolist() == pytest.approx([0, 0.21404, 0], abs=1e-5)


@pytest.mark.parametrize(
    'text, message',
    [
        ('v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n', 'outside 1..3'),
        ('v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 1 2\n', 'outside 1..3'),
        ('v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1/1 2/1 3/1\n', 'vt'),
        ('v 0 0 0\nv nan 0 0\nv 0 1 0\nf 1 2 3\n', '1 of 3 vertices'),
        ('v 0 0 0\nv 1 x 0\nv 0 1 0\nf 1 2 3\n', 'no number'),
        ('v 0 0\nv 1 1\nv 0 1\nf 1 2 3\n', 'has 2 numbers'),
        ('v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 three\n', 'no index'),
        ('v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 -0.5\n', 'line 4 holds something that is no index'),
        ('v 0 0 0\nv 1 0 0\nv 0 1 0\n', 'no triangles'),
        ('v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2\n', 'no triangles'),
        ('', 'empty'),
    ],
)
def test_broken_obj(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / 'a.obj').write_text(text)
    with pytest.raises(SceneError, match=message) as caught:
        load_mesh(tmp_path / 'a.obj')
    assert 'a.obj' in str(caught.value)


@pytest.mark.parametrize(
    'name, vertices, faces', [('bob/bob_tri', 5647, 10688), ('spot/spot', 3225, 5856)]
)
def test_real_obj(shared_data: Path, name: str, vertices: int, faces: int) -> None:
    scene = load_scene(shared_data / 'meshes' / f'{name}.obj')
    assert isinstance(scene, Scene) and len(scene.instances) == 1
    mesh, material = scene.instances[0].mesh, scene.instances[0].material
    assert (len(mesh.vertices), len(mesh.faces)) == (vertices, faces)
    assert mesh.normals is not None and mesh.uvs is not None
    assert material.base_color_texture is not None
    # The normals of the file agree with the winding of its faces.
    a, b, c = mesh.vertices[mesh.faces.long()].unbind(1)
    area = torch.linalg.cross(b - a, c - a)
    agree = (area * mesh.normals[mesh.faces.long()].sum(1)).sum(1) > 0
    assert float(agree.float().mean()) > 0.999
    assert scene.lights and scene.environment is not None, 'a file without light gets some'


def test_real_stl_in_millimetres(shared_data: Path) -> None:
    path = shared_data / 'meshes' / 'turtlebot3_burger' / 'burger_base.stl'
    (part,) = load_mesh(path, scale=0.001)
    corners = _corners(part)
    assert len(corners) == (path.stat().st_size - 84) // 50
    size = corners.reshape(-1, 3).amax(0) - corners.reshape(-1, 3).amin(0)
    assert 0.1 < float(size.max()) < 0.2, 'the robot is about 14 cm wide'
    assert part.mesh.normals is None
    assert len(part.mesh.vertices) < len(corners)
    raw = np.frombuffer(path.read_bytes()[84:], dtype=[('n', '<f4', 3), ('v', '<f4', (3, 3)),
                                                       ('a', '<u2')])  # fmt: skip
    assert torch.equal(
        part.mesh.vertices[part.mesh.faces.long()], torch.from_numpy(raw['v'].copy())
    )


@pytest.mark.parametrize('kind', ['stl', 'stl_ascii'])
def test_stl_written_here(tmp_path: Path, kind: str) -> None:
    cube = trimesh.creation.box((1, 2, 3))
    (tmp_path / 'a.STL').write_bytes(
        data.encode() if isinstance(data := cube.export(file_type=kind), str) else data
    )
    (part,) = load_mesh(tmp_path / 'a.STL')
    assert len(part.mesh.vertices) == 8 and len(part.mesh.faces) == 12
    expected = torch.tensor(cube.triangles, dtype=torch.float32)
    torch.testing.assert_close(part.mesh.vertices[part.mesh.faces.long()], expected)


def test_binary_stl_whose_header_says_solid(tmp_path: Path) -> None:
    data = bytearray(trimesh.creation.box().export(file_type='stl'))
    data[:80] = b'solid exported by a well-known program'.ljust(80)
    (tmp_path / 'a.stl').write_bytes(bytes(data))
    assert len(load_mesh(tmp_path / 'a.stl')[0].mesh.faces) == 12


@pytest.mark.parametrize('suffix', ['stl', 'ply', 'glb', 'obj', 'dae'])
def test_files_cut_short(tmp_path: Path, suffix: str) -> None:
    if suffix == 'dae':
        pytest.importorskip('collada')
    data = trimesh.creation.icosphere(2).export(file_type=suffix)
    data = data.encode() if isinstance(data, str) else data
    path = tmp_path / f'a.{suffix}'
    for length in (3, 90, len(data) // 2):
        path.write_bytes(data[:length])
        with pytest.raises(SceneError, match=f'a.{suffix}'):
            load_mesh(path)
    path.write_bytes(b'')
    with pytest.raises(SceneError, match='empty'):
        load_mesh(path)


def test_nan_in_stl_is_counted(tmp_path: Path) -> None:
    data = bytearray(trimesh.creation.box().export(file_type='stl'))
    data[84 + 12 : 84 + 16] = np.float32(np.nan).tobytes()
    (tmp_path / 'a.stl').write_bytes(bytes(data))
    with pytest.raises(SceneError, match=r'1 of 9 vertices are NaN'):
        load_mesh(tmp_path / 'a.stl')


@pytest.mark.parametrize('encoding', ['ascii', 'binary'])
def test_ply_with_colors_and_normals(tmp_path: Path, encoding: str) -> None:
    cube = trimesh.creation.box()
    colors = np.arange(32, dtype=np.uint8).reshape(8, 4) * 7
    cube.visual.vertex_colors = colors
    data = cube.export(file_type='ply', encoding=encoding, vertex_normal=True)
    (tmp_path / 'a.ply').write_bytes(data)
    (part,) = load_mesh(tmp_path / 'a.ply')
    assert part.mesh.faces.tolist() == cube.faces.tolist()
    np.testing.assert_allclose(part.mesh.vertices.numpy(), cube.vertices, atol=1e-6)
    np.testing.assert_allclose(part.mesh.normals, cube.vertex_normals, atol=1e-5)
    linear = srgb_to_linear(torch.from_numpy(colors[:, :3].astype(np.float32) / 255))
    torch.testing.assert_close(part.mesh.colors, linear)


def test_ply_face_colors(tmp_path: Path) -> None:
    (tmp_path / 'a.ply').write_text(
        'ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\n'
        'property float z\nelement face 2\nproperty list uchar int vertex_indices\n'
        'property uchar red\nproperty uchar green\nproperty uchar blue\nend_header\n'
        '0 0 0\n1 0 0\n1 1 0\n0 1 0\n3 0 1 2 255 0 0\n3 0 2 3 0 255 0\n'
    )
    (part,) = load_mesh(tmp_path / 'a.ply')
    assert part.mesh.colors is not None
    colors = part.mesh.colors[part.mesh.faces.long()]
    assert colors.tolist() == [[[1, 0, 0]] * 3, [[0, 1, 0]] * 3]


def test_ply_with_ragged_rows(tmp_path: Path) -> None:
    data = trimesh.creation.box().export(file_type='ply', encoding='ascii').decode()
    (tmp_path / 'a.ply').write_text(
        data.replace('0.50000000 0.50000000 0.50000000\n', '0.5 0.5\n')
    )
    with pytest.raises(SceneError, match='broken'):
        load_mesh(tmp_path / 'a.ply')


def test_ply_of_points_only(tmp_path: Path) -> None:
    (tmp_path / 'a.ply').write_text(
        'ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\n'
        'property float z\nend_header\n0 0 0\n'
    )
    with pytest.raises(SceneError, match='no triangles'):
        load_mesh(tmp_path / 'a.ply')


def test_collada(tmp_path: Path) -> None:
    pytest.importorskip('collada')
    cube = trimesh.creation.box((1, 2, 3))
    cube.visual = trimesh.visual.TextureVisuals(
        uv=np.random.default_rng(0).uniform(size=(8, 2)),
        material=trimesh.visual.material.PBRMaterial(baseColorFactor=[128, 64, 255, 255]),
    )
    text = cube.export(file_type='dae').decode()
    assert '<up_axis>' in text
    text = text.replace('<up_axis>', '<unit name="millimeter" meter="0.001"/><up_axis>')
    (tmp_path / 'a.dae').write_text(text)
    (part,) = load_mesh(tmp_path / 'a.dae')
    expected = torch.tensor(cube.triangles, dtype=torch.float32) * 0.001
    torch.testing.assert_close(_corners(part), expected)
    assert part.mesh.uvs is not None and part.mesh.normals is not None
    assert part.material.base_color == pytest.approx([0.2158605, 0.0512695, 1.0], rel=1e-3)


def test_collada_without_its_package_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__('sys').modules, 'collada', None)
    (tmp_path / 'a.dae').write_text('<COLLADA/>')
    with pytest.raises(SceneError, match='pip install pycollada'):
        load_mesh(tmp_path / 'a.dae')


def test_scale_and_up_axis(tmp_path: Path) -> None:
    (tmp_path / 'a.stl').write_bytes(trimesh.creation.box((1, 2, 3)).export(file_type='stl'))
    for axis, size in ((None, (2, 8, 18)), ('z', (2, 8, 18)), ('y', (2, 12, 12))):
        (part,) = load_mesh(tmp_path / 'a.stl', scale=(2, 4, 6), up_axis=axis)
        extent = _corners(part).reshape(-1, 3).amax(0) * 2
        torch.testing.assert_close(extent, torch.tensor(size, dtype=torch.float32))
    for scale in (0.0, float('nan'), (1.0, 2.0)):
        with pytest.raises(SceneError, match='scale'):
            load_mesh(tmp_path / 'a.stl', scale=scale)  # type: ignore[arg-type]
    with pytest.raises(SceneError, match='up_axis'):
        load_mesh(tmp_path / 'a.stl', up_axis='x')


def test_names_of_files_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r'absent.obj: there is no such file'):
        load_scene(tmp_path / 'absent.obj')
    with pytest.raises(SceneError, match=r'format .xyz is not read; known are .dae, .glb'):
        load_scene(tmp_path / 'a.xyz')
    (tmp_path / 'folder.obj').mkdir()
    with pytest.raises(SceneError, match='is a folder'):
        load_mesh(tmp_path / 'folder.obj')


def test_a_million_triangles(tmp_path: Path) -> None:
    """STL and PLY of a million triangles go through whole: a size, not a time, is checked."""
    side = 708
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2)
    vertices = np.concatenate([grid, np.sin(grid[:, :1])], 1).astype(np.float32)
    corner = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).reshape(-1)
    faces = np.concatenate([
        np.stack([corner, corner + 1, corner + side], 1),
        np.stack([corner + 1, corner + side + 1, corner + side], 1),
    ])  # fmt: skip
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    for kind in ('stl', 'ply'):
        (tmp_path / f'a.{kind}').write_bytes(mesh.export(file_type=kind))
        (part,) = load_mesh(tmp_path / f'a.{kind}')
        assert len(part.mesh.faces) == len(faces) > 999_000
        assert len(part.mesh.vertices) == side * side
