# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""URDF: what is read of a description, what is painted how, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
import time

import cv2
import numpy as np
import pytest
import torch

from diffphyscam_ros.scene import load_robot, load_scene, SceneError, SceneWarning
from diffphyscam_ros.scene.colors import linear_from_srgb_color

OBJ = 'v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nf 1/1 2/2 3/3\n'
STL = (
    'solid s\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1000 0 0\nvertex 0 1000 0\n'
    'endloop\nendfacet\nendsolid s\n'
)


def robot_of(visual: str, rest: str = '', folder: Path | None = None, **options):
    """Return the robot of one link with a visual; of a file where a folder is given."""
    text = f'<robot name="r">\n<link name="base">\n{visual}\n</link>\n{rest}\n</robot>'
    if folder is None:
        return load_robot(text, **options)
    (folder / 'r.urdf').write_text(text)
    return load_robot(folder / 'r.urdf', **options)


def extent(item):
    """Return the size of an instance's bounding box."""
    points = item.mesh.vertices @ item.pose[:3, :3].T + item.pose[:3, 3]
    return np.ptp(points.numpy(), axis=0)


@pytest.mark.parametrize(
    ('shape', 'size', 'volume'),
    [
        ('<box size="1 2 3"/>', (1, 2, 3), 6.0),
        ('<cylinder radius="0.5" length="3"/>', (1, 1, 3), 0.75 * math.pi),
        ('<sphere radius="0.5"/>', (1, 1, 1), math.pi / 6),
        ('<capsule radius="0.5" length="3"/>', (1, 1, 4), 0.75 * math.pi + math.pi / 6),
    ],
)
def test_shapes_have_their_size_and_look_outward(shape, size, volume):
    (item,) = robot_of(f'<visual><geometry>{shape}</geometry></visual>').instances()
    assert extent(item) == pytest.approx(size, abs=1e-6)
    a, b, c = item.mesh.vertices[item.mesh.faces.long()].double().unbind(1)
    across = torch.linalg.cross(b - a, c - a)
    assert float((a * torch.linalg.cross(b, c)).sum() / 6) == pytest.approx(volume, rel=0.02)
    assert bool((torch.linalg.vector_norm(across, dim=1) > 1e-9).all())
    normals = item.mesh.normals[item.mesh.faces.long()].double()
    assert bool(((normals * across[:, None]).sum(-1) > 0).all())


def test_a_capsule_has_round_ends_and_a_seamless_texture():
    (item,) = robot_of(
        '<visual><geometry><capsule radius="0.5" length="3"/></geometry></visual>'
    ).instances()
    vertices = item.mesh.vertices
    nearest = vertices.clone()
    nearest[:, :2] = 0.0
    nearest[:, 2] = nearest[:, 2].clamp(-1.5, 1.5)
    assert torch.allclose((vertices - nearest).norm(dim=1), torch.tensor(0.5), atol=1e-6)
    assert torch.allclose(item.mesh.normals, (vertices - nearest) / 0.5, atol=1e-5)
    assert item.mesh.uvs.min() == 0.0 and item.mesh.uvs.max() == pytest.approx(1.0)


def test_origins_axes_and_limits():
    robot = load_robot("""
        <robot name="r"><link name="a"/><link name="b"><visual>
          <origin xyz="0 0 1" rpy="0 0 1.5707963267948966"/>
          <geometry><box size="1 2 3"/></geometry></visual></link><link name="c"/>
        <joint name="j" type="revolute"><parent link="a"/><child link="b"/>
          <origin xyz="1 0 0" quat_xyzw="0 0 0 2"/><axis xyz="0 0 5"/>
          <limit lower="-1" upper="2" effort="1" velocity="1"/></joint>
        <joint name="k" type="continuous"><parent link="b"/><child link="c"/></joint>
        </robot>""")
    (item,) = robot.instances({'j': math.pi / 2})
    assert extent(item) == pytest.approx((1, 2, 3), abs=1e-6)  # turned twice by a quarter
    assert item.pose[:3, 3].tolist() == pytest.approx([1, 0, 1])
    first, second = robot.joints
    assert (first.lower, first.upper) == (-1.0, 2.0)
    assert first.axis.tolist() == [0.0, 0.0, 1.0]
    assert second.axis.tolist() == [1.0, 0.0, 0.0]  # URDF's default
    assert (second.lower, second.upper) == (-math.inf, math.inf)


def test_a_mesh_is_scaled_and_read_once(tmp_path):
    (tmp_path / 'part.stl').write_text(STL)
    mesh = '<geometry><mesh filename="part.stl" scale="0.001 0.002 -0.001"/></geometry>'
    first, second = robot_of(
        f'<visual>{mesh}</visual><visual><origin xyz="0 0 1"/>{mesh}</visual>', folder=tmp_path
    ).instances()
    assert extent(first) == pytest.approx((1, 2, 0))
    assert first.mesh is second.mesh
    assert (first.name, second.name) == ('base', 'base_2')
    assert second.pose[2, 3] == 1.0


def test_colours_are_srgb_and_found_by_name():
    materials = '<material name="red"><color rgba="1 0.5 0 1"/></material>'
    box = '<geometry><box size="1 1 1"/></geometry>'
    visuals = (
        f'<visual>{box}<material name="red"/></visual>'
        f'<visual>{box}<material name="glass"><color rgba="0 0 1 0.25"/></material></visual>'
        f'<visual>{box}<material name="glass"/></visual>'
        f'<visual>{box}</visual>'
    )
    found = [item.material for item in robot_of(visuals, materials).instances()]
    assert found[0].base_color == pytest.approx(linear_from_srgb_color((1.0, 0.5, 0.0)))
    assert found[0].alpha_mode == 'opaque'
    assert (found[1].alpha, found[1].alpha_mode) == (0.25, 'blend')
    assert found[2] is found[1]
    assert found[3].base_color == pytest.approx(linear_from_srgb_color((0.7, 0.7, 0.7)))
    with pytest.warns(SceneWarning, match=r"material 'blue' is not defined.* are red"):
        robot_of(f'<visual>{box}<material name="blue"/></visual>', materials)


def test_a_file_that_has_colours_keeps_them(tmp_path):
    (tmp_path / 'plain.obj').write_text(OBJ)
    (tmp_path / 'm.mtl').write_text('newmtl green\nKd 0 1 0\n')
    (tmp_path / 'green.obj').write_text('mtllib m.mtl\nusemtl green\n' + OBJ)
    paint = '<material name=""><color rgba="1 0 0 1"/></material>'
    plain, green = robot_of(
        ''.join(
            f'<visual><geometry><mesh filename="{name}.obj"/></geometry>{paint}</visual>'
            for name in ('plain', 'green')
        ),
        folder=tmp_path,
    ).instances()
    assert plain.material.base_color == (1.0, 0.0, 0.0)
    assert green.material.base_color == (0.0, 1.0, 0.0)


def test_a_texture_replaces_the_colour(tmp_path):
    (tmp_path / 'pic').mkdir()
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 2] = 255
    cv2.imwrite(str(tmp_path / 'pic' / 'red.png'), red)
    box = '<geometry><box size="1 1 1"/></geometry>'
    material = '<material name="m"><color rgba="0 0 1 1"/><texture filename="{}"/></material>'
    (item,) = robot_of(
        f'<visual>{box}{material.format("pic/red.png")}</visual>', folder=tmp_path
    ).instances()
    assert item.material.base_color == (1.0, 1.0, 1.0)
    assert item.material.base_color_texture.image[..., :3].mean((0, 1)).tolist() == [1, 0, 0]
    with pytest.warns(SceneWarning, match=r'line 3.*<texture> filename.*no such file'):
        (item,) = robot_of(
            f'<visual>{box}{material.format("pic/none.png")}</visual>', folder=tmp_path
        ).instances()
    assert item.material.base_color == (0.0, 0.0, 1.0)


@pytest.fixture
def package(tmp_path):
    """Make a package with a mesh, and a file outside of it."""
    folder = tmp_path / 'share' / 'my_robot'
    (folder / 'meshes').mkdir(parents=True)
    (folder / 'urdf').mkdir()
    (folder / 'meshes' / 'part.obj').write_text(OBJ)
    (tmp_path / 'secret.obj').write_text(OBJ)
    return folder


def mesh_visual(url):
    """Return a visual that shows a file."""
    return f'<visual><geometry><mesh filename="{url}"/></geometry></visual>'


def test_packages_are_found_in_every_way_that_there_is(package):
    prefix = package.parents[1]
    visual = mesh_visual('package://my_robot/meshes/part.obj')
    for paths in ({'my_robot': package}, [package], [package.parent], [prefix]):
        assert robot_of(visual, package_paths=paths).instances()
    assert robot_of(visual, folder=package / 'urdf').instances()  # it lies in its package
    for url in (
        'model://my_robot/meshes/part.obj',
        package.as_uri() + '/meshes/part.obj',
        f'{package}/meshes/part.obj',
    ):
        assert robot_of(mesh_visual(url), package_paths=[prefix]).instances()
    with pytest.raises(SceneError, match="line 3, link 'base': <mesh> filename: package 'my_rob"):
        robot_of(visual)
    with pytest.raises(SceneError, match='must be a list of folders'):
        robot_of(visual, package_paths=str(package))


def test_nothing_else_is_opened_unless_it_is_allowed(package):
    secret = package.parents[1] / 'secret.obj'
    for url in (
        secret.as_uri(),
        str(secret),
        '../../../secret.obj',
        'package://my_robot/../../secret.obj',
        'package://my_robot/%2e%2e/%2e%2e/secret.obj',
    ):
        with pytest.raises(SceneError, match=r'is not opened; name that folder in package_paths'):
            robot_of(mesh_visual(url), folder=package / 'urdf')
        assert robot_of(mesh_visual(url), folder=package / 'urdf', anywhere=True).instances()
    with pytest.raises(SceneError, match='is relative, but the description is no file'):
        robot_of(mesh_visual('part.obj'), package_paths=[package])
    with pytest.raises(SceneError, match='must be a path, or begin with'):
        robot_of(mesh_visual('http://example.org/part.obj'))


def test_what_is_missing_may_be_left_out(package):
    said = []
    robot = robot_of(
        mesh_visual('package://my_robot/none.obj') + '<visual><geometry><box size="1 1 1"/>'
        '</geometry></visual>',
        package_paths=[package],
        on_missing=said.append,
    )
    assert len(robot.instances()) == 1
    assert len(said) == 1 and 'no such file' in said[0] and "link 'base'" in said[0]


BOX = '<visual><geometry><box size="{}"/></geometry></visual>'


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('<robot><link', 'broken XML: unclosed token: line 1'),
        ('<a/>', r'root element is <a>, must be <robot>'),
        ('<robot name="r"/>', 'has no <link>'),
        ('<robot>\n<link/></robot>', r"line 2, link 'without a name': <link> needs .* 'name'"),
        (
            f'<robot>\n\n<link name="a">{BOX.format("1 1")}</link></robot>',
            r"line 3, link 'a': <box> size = '1 1': must be 3 finite numbers",
        ),
        (f'<robot><link name="a">{BOX.format("1 1 nan")}</link></robot>', '3 finite numbers'),
        (f'<robot><link name="a">{BOX.format("1 1 -1")}</link></robot>', 'must be > 0'),
        (
            '<robot><link name="a"><visual><geometry><cone/></geometry></visual></link></robot>',
            r'holds <cone>: must hold one of <mesh>, <box>',
        ),
        (
            '<robot><link name="a"/><link name="b"/><joint name="j" type="hinge">'
            '<parent link="a"/><child link="b"/></joint></robot>',
            r"joint 'j': type 'hinge': must be one of revolute, continuous",
        ),
        (
            '<robot><link name="a"/><link name="b"/><joint name="j" type="revolute">'
            '<parent link="a"/></joint></robot>',
            r"joint 'j': <joint> needs a <child>",
        ),
        (
            '<robot><link name="a"/><link name="b"/><joint name="j" type="revolute">'
            '<parent link="a"/><child link="b"/><axis xyz="0 0 0"/></joint></robot>',
            'must have a length',
        ),
        (
            '<robot><link name="a"/><material name="m"><color rgba="255 0 0 1"/></material>'
            '</robot>',
            r"material 'm': <color> rgba.*divide by 255",
        ),
        (
            '<robot xmlns:xacro="http://www.ros.org/wiki/xacro"><xacro:arm/></robot>',
            'is a macro that was not expanded; run xacro',
        ),
        ('<robot><x>' + '<y>' * 200, 'within each other'),
    ],
)
def test_mistakes_are_named_with_their_place(text, words):
    with pytest.raises(SceneError, match=words):
        load_robot(text)


def test_entities_neither_expand_nor_fetch():
    laughs = ''.join(f'<!ENTITY l{i + 1} "{f"&l{i};" * 10}">' for i in range(12))
    for inside in (f'<!ENTITY l0 "ha">{laughs}', '<!ENTITY l12 SYSTEM "file:///etc/passwd">'):
        begin = time.monotonic()
        with pytest.raises(SceneError, match='a document type'):
            load_robot(f'<!DOCTYPE robot [{inside}]><robot name="&l12;"><link name="a"/></robot>')
        assert time.monotonic() - begin < 5.0
    with pytest.raises(SceneError, match='bytes of XML: at most'):
        load_robot('<robot>' + ' ' * 17_000_000 + '</robot>')


XACRO = """<robot xmlns:xacro="http://www.ros.org/wiki/xacro" name="x">
<xacro:include filename="$(find my_robot)/urdf/size.xacro"/>
<xacro:macro name="part" params="name z"><link name="${name}"><visual><origin xyz="0 0 ${2*z}"/>
<geometry><box size="${size} 1 1"/></geometry></visual></link></xacro:macro>
<xacro:part name="base" z="1.5"/></robot>"""


def test_xacro_is_expanded_without_ros(package):
    pytest.importorskip('xacro', reason='the package xacro is not installed')
    urdf = package / 'urdf'
    (urdf / 'x.urdf.xacro').write_text(XACRO)
    with pytest.raises(SceneError, match=r'xacro refuses it: .*size\.xacro'):
        load_robot(urdf / 'x.urdf.xacro')
    (urdf / 'size.xacro').write_text(
        '<robot xmlns:xacro="http://www.ros.org/wiki/xacro">'
        '<xacro:property name="size" value="4"/></robot>'
    )
    (item,) = load_robot(urdf / 'x.urdf.xacro').instances()
    assert extent(item) == pytest.approx((4, 1, 1))
    assert item.pose[2, 3] == 3.0
    (urdf / 'y.xacro').write_text(XACRO.replace('my_robot', 'other'))
    with pytest.raises(SceneError, match=r"package 'other' was not found.*package_paths"):
        load_robot(urdf / 'y.xacro')


def test_a_robot_is_a_scene(repository):
    file = repository / 'examples' / 'robots' / 'arm.urdf'
    scene = load_scene(file, joint_positions={'gripper': 0.02})
    assert scene.lights and scene.environment is not None
    assert len(set(scene.names)) == len(scene.names) == 10
    fingers = [item for item in scene.instances if 'finger' in item.name]
    apart = fingers[0].pose[:3, 3] - fingers[1].pose[:3, 3]
    assert apart.tolist() == pytest.approx([0.0, 0.016 + 2 * 0.02, 0.0])
    with pytest.raises(SceneError, match='are stated for each mesh'):
        load_scene(file, 2.0)
    with pytest.raises(SceneError, match='joint_positions are for robots'):
        load_scene(repository / 'examples/scenes/table.yaml', joint_positions={'gripper': 0.1})


@pytest.fixture(scope='session')
def burger(shared_data, tmp_path_factory):
    """Return a TurtleBot3 Burger: its own description, meshes and (stated here) colours."""
    pytest.importorskip('xacro', reason='the package xacro is not installed')
    data = shared_data / 'meshes' / 'turtlebot3_burger'
    if not data.is_dir():
        pytest.skip(f'{data} is absent')
    folder = tmp_path_factory.mktemp('packages') / 'turtlebot3_description'
    for name, place in {
        'burger_base.stl': 'meshes/bases',
        'left_tire.stl': 'meshes/wheels',
        'right_tire.stl': 'meshes/wheels',
        'lds.stl': 'meshes/sensors',
        'turtlebot3_burger.urdf.xacro': 'urdf',
    }.items():
        (folder / place).mkdir(parents=True, exist_ok=True)
        (folder / place / name).symlink_to(data / name)
    (folder / 'urdf' / 'turtlebot3_burger.gazebo.xacro').write_text('<robot/>')
    (folder / 'urdf' / 'common_properties.xacro').write_text(
        '<robot><material name="dark"><color rgba="0.3 0.3 0.3 1"/></material>'
        '<material name="light_black"><color rgba="0.4 0.4 0.4 1"/></material></robot>'
    )
    return load_robot(folder / 'urdf' / 'turtlebot3_burger.urdf.xacro')


def test_the_burger_has_the_size_of_the_real_one(burger):
    """138 x 178 x 192 mm (length, width, height) in the maker's data sheet."""
    items = burger.instances({'wheel_left_joint': 1.0})
    assert [item.name for item in items] == [
        'base_link',
        'wheel_left_link',
        'wheel_right_link',
        'base_scan',
    ]
    points = torch.cat([i.mesh.vertices @ i.pose[:3, :3].T + i.pose[:3, 3] for i in items])
    assert np.ptp(points.numpy(), axis=0) == pytest.approx((0.138, 0.178, 0.192), abs=0.004)
    assert float(points[:, 2].min()) == pytest.approx(0.0, abs=0.002)  # stands on the ground
    wheel = items[1]
    assert extent(wheel) == pytest.approx((0.066, 0.018, 0.066), abs=0.003)
