# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Markers as a scene: shapes, colours, lights, and the rules of RViz; no ROS graph is needed."""

from __future__ import annotations

import math

from camera_harness import marker
import cv2
import numpy as np
import pytest
from std_msgs.msg import ColorRGBA
import torch
from visualization_msgs.msg import Marker, UVCoordinate

from diffphyscam_ros.nodes import marker_drawing, marker_scene
from diffphyscam_ros.nodes.marker_drawing import ARROW_STRIP, draw, MarkerError
from diffphyscam_ros.nodes.marker_meshes import ResourceCache
from diffphyscam_ros.nodes.marker_scene import MarkerScene
from diffphyscam_ros.nodes.pose_math import matrix_from_pose
from diffphyscam_ros.nodes.scene_source import load_scene_file, SceneSource
from diffphyscam_ros.nodes.tf_buffer import TransformBuffer
from diffphyscam_ros.scene.colors import srgb_to_linear
from diffphyscam_ros.scene.types import DirectionalLight, Environment, PointLight

SECOND = 10**9
NOWHERE = TransformBuffer()


def triangles(drawing):
    """Return the corners of all triangles of a drawing, (F, 3, 3), in the marker's frame."""
    found = []
    for part in drawing.parts:
        vertices = part.mesh.vertices.double().numpy()
        placed = vertices @ part.pose[:3, :3].T + part.pose[:3, 3]
        found.append(placed[part.mesh.faces.long().numpy()])
    return np.concatenate(found)


def volume(corners):
    """Return the enclosed volume: positive where the faces look outward."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    return float(np.einsum('ij,ij->i', a, np.cross(b, c)).sum() / 6.0)


PATH = [(0, 0, 0), (2, 0, 0), (2, 0, 1)]
SHAPES = {
    'cube': (marker(Marker.CUBE, scale=(1, 2, 3)), (1, 2, 3), 6.0),
    'sphere': (marker(Marker.SPHERE, scale=(1, 2, 3)), (1, 2, 3), math.pi),
    'cylinder': (marker(Marker.CYLINDER, scale=(2, 2, 3)), (2, 2, 3), 3 * math.pi),
    'arrow': (
        marker(Marker.ARROW, scale=(2, 0.1, 0.1)),
        (2, 0.2, 0.2),
        None,
    ),
    'arrow of points': (
        marker(Marker.ARROW, scale=(0.1, 0.3, 0.5), points=[(0, 0, 0), (2, 0, 0)]),
        (2, 0.3, 0.3),
        None,
    ),
    'arrow strip': (
        marker(ARROW_STRIP, scale=(0.1, 0.1, 0.1), points=PATH),
        (2.05, 0.1, 1.05),
        None,
    ),
    'line strip': (
        marker(Marker.LINE_STRIP, scale=(0.1, 0, 0), points=PATH),
        (2.05, 0.1, 1.05),
        0.03,
    ),
    'line list': (
        marker(Marker.LINE_LIST, scale=(0.1, 0, 0), points=[*PATH, (2, 0, 2)]),
        (2.05, 0.1, 2.05),
        0.03,
    ),
    'cube list': (
        marker(Marker.CUBE_LIST, scale=(1, 1, 2), points=[(0, 0, 0), (3, 0, 0)]),
        (4, 1, 2),
        4.0,
    ),
    'sphere list': (
        marker(Marker.SPHERE_LIST, scale=(1, 1, 1), points=[(0, 0, 0), (3, 0, 0)]),
        (4, 1, 1),
        math.pi / 3,
    ),
    'points': (marker(Marker.POINTS, scale=(0.1, 0.2, 0), points=PATH), (2.1, 0.1, 1.2), 6e-3),
}


@pytest.mark.parametrize('name', SHAPES)
def test_a_shape_has_the_size_that_rviz_gives_it(name):
    item, extent, expected = SHAPES[name]
    corners = triangles(draw(item, ResourceCache()))
    size = np.ptp(corners.reshape(-1, 3), axis=0)
    assert size == pytest.approx(extent, rel=0.02, abs=1e-6)
    if expected is not None:  # an arrow's shaft is open where the head covers it
        assert volume(corners) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize('name', SHAPES)
def test_normals_look_the_way_the_faces_do(name):
    for part in draw(SHAPES[name][0], ResourceCache()).parts:
        mesh = part.mesh
        faces = mesh.faces.long()
        a, b, c = (mesh.vertices[faces[:, i]] for i in range(3))
        across = torch.linalg.cross(b - a, c - a)
        solid = torch.linalg.vector_norm(across, dim=1) > 1e-9
        agreement = (across[:, None] * mesh.normals[faces]).sum(-1)[solid]
        assert (agreement > -1e-9).all()


def test_a_triangle_list_is_scaled_and_coloured():
    points = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 1)]
    item = marker(Marker.TRIANGLE_LIST, scale=(2, 2, 2), points=points)
    item.colors = [ColorRGBA(r=0.5, g=float(i), b=0.0, a=1.0) for i in (0, 1)]
    (part,) = draw(item, ResourceCache()).parts
    assert np.allclose(part.mesh.vertices, 2 * np.array(points))
    assert part.material.base_color == (1.0, 1.0, 1.0)
    linear = float(srgb_to_linear(torch.tensor(0.5)))
    assert np.allclose(part.mesh.colors[:3], [linear, 0, 0], atol=1e-6)
    assert np.allclose(part.mesh.colors[3:], [linear, 1, 0], atol=1e-6)


def test_a_triangle_list_may_have_a_texture():
    item = marker(Marker.TRIANGLE_LIST, points=[(0, 0, 0), (1, 0, 0), (0, 1, 0)])
    item.texture_resource = 'embedded://red'
    item.uv_coordinates = [UVCoordinate(u=u, v=v) for u, v in ((0, 0), (1, 0), (0, 1))]
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 2] = 255
    item.texture.data = cv2.imencode('.png', red)[1].tobytes()
    (part,) = draw(item, ResourceCache()).parts
    assert np.allclose(part.material.base_color_texture.image, [1.0, 0.0, 0.0])
    item.uv_coordinates.pop()
    with pytest.raises(MarkerError, match='uv_coordinates'):
        draw(item, ResourceCache())


@pytest.fixture
def box_file(tmp_path):
    """Write a triangle with a green material."""
    (tmp_path / 'm.mtl').write_text('newmtl green\nKd 0 1 0\n')
    path = tmp_path / 'm.obj'
    path.write_text('mtllib m.mtl\nusemtl green\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n')
    return path


def test_a_mesh_has_its_own_colours_or_those_of_the_marker(box_file):
    item = marker(Marker.MESH_RESOURCE, scale=(2, 2, -2), color=(1, 0, 0, 1))
    item.mesh_resource = box_file.as_uri()
    resources = ResourceCache()

    def color():
        (part,) = draw(item, resources).parts
        return np.asarray(part.material.base_color)

    assert np.allclose(color(), [1, 0, 0])
    item.mesh_use_embedded_materials = True
    item.color = ColorRGBA()
    own = color()
    assert own[1] > 0.5 and own[0] == own[2] == 0
    item.color = ColorRGBA(r=1.0, g=0.5, b=1.0, a=1.0)
    linear = float(srgb_to_linear(torch.tensor(0.5)))
    assert np.allclose(color(), own * [1, linear, 1])
    assert np.ptp(triangles(draw(item, resources)).reshape(-1, 3), axis=0)[:2] == pytest.approx(2)
    assert resources.mesh(item.mesh_resource) is resources.mesh(str(box_file))


def test_a_mesh_file_that_changes_is_read_again(box_file):
    resources = ResourceCache()
    first = resources.mesh(str(box_file))
    box_file.write_text('v 0 0 0\nv 5 0 0\nv 0 5 0\nf 1 2 3\n')
    assert resources.mesh(str(box_file)) is not first


def test_a_broken_mesh_is_named(tmp_path):
    path = tmp_path / 'broken.stl'
    path.write_bytes(b'this is no mesh')
    item = marker(Marker.MESH_RESOURCE)
    for url, words in (
        (path.as_uri(), 'broken.stl'),
        ('file:///nowhere.dae', 'no such file'),
        ('http://x/y.stl', 'file:// or package://'),
        ('embedded://x', 'not read'),
        ('', 'empty'),
        (str(tmp_path / 'm.xyz'), 'no such file'),
    ):
        item.mesh_resource = url
        with pytest.raises(MarkerError, match=words):
            draw(item, ResourceCache())


@pytest.mark.parametrize(
    ('item', 'words'),
    [
        (marker(scale=(1, 0, 1)), 'scale'),
        (marker(scale=(1, -1, 1)), 'scale'),
        (marker(scale=(1, math.nan, 1)), 'not finite'),
        (marker(color=(math.inf, 0, 0, 1)), 'not finite'),
        (marker(place=(math.nan, 0, 0)), 'position'),
        (marker(color=(1, 1, 1, 0)), 'color.a'),
        (marker(13), 'unknown'),
        (marker(Marker.LINE_STRIP, points=[(0, 0, 0)]), 'at least 2'),
        (marker(Marker.LINE_LIST, points=PATH), 'multiple of 2'),
        (marker(Marker.CUBE_LIST), 'at least 1'),
        (marker(Marker.ARROW, points=PATH), 'none or 2'),
        (marker(Marker.POINTS, points=[(math.nan, 0, 0)]), '1 of 1 points'),
    ],
)
def test_what_cannot_be_drawn_says_why(item, words):
    with pytest.raises(MarkerError, match=words):
        draw(item, ResourceCache())


def test_colors_must_be_as_many_as_points():
    item = marker(Marker.CUBE_LIST, points=PATH)
    item.colors = [ColorRGBA(a=1.0)]
    with pytest.raises(MarkerError, match='1 colors for 3 points'):
        draw(item, ResourceCache())


def test_huge_lists_are_refused_before_they_are_built(monkeypatch):
    monkeypatch.setattr(marker_drawing, 'MAX_TRIANGLES', 20)
    with pytest.raises(MarkerError, match='36 triangles: at most 20'):
        draw(marker(Marker.CUBE_LIST, points=PATH), ResourceCache())
    with pytest.raises(MarkerError, match='99 points: at most 60'):
        draw(marker(Marker.TRIANGLE_LIST, points=PATH * 33), ResourceCache())


def test_an_unchanged_shape_keeps_its_mesh():
    """The renderer packs meshes anew when they are other objects."""
    first = draw(marker(Marker.CUBE_LIST, points=PATH), ResourceCache())
    moved = draw(marker(Marker.CUBE_LIST, place=(1, 2, 3), points=PATH), ResourceCache(), first)
    assert moved.parts is first.parts and moved.pose[0, 3] == 1.0
    other = draw(marker(Marker.CUBE_LIST, points=PATH[:2]), ResourceCache(), first)
    assert other.parts is not first.parts


def test_lights():
    def light(kind, **fields):
        return draw(marker(kind, namespace='lights', **fields), ResourceCache()).light

    sun = light(Marker.ARROW, color=(1.0, 0.5, 0.0, 2.0))
    assert isinstance(sun, DirectionalLight) and sun.direction == (1.0, 0.0, 0.0)
    assert sun.irradiance == pytest.approx((2 * math.pi, math.pi, 0.0))
    aimed = light(Marker.ARROW, points=[(0, 0, 3), (0, 0, 1)])
    assert aimed.direction == (0.0, 0.0, -2.0)
    assert isinstance(light(Marker.SPHERE), PointLight)
    sky = light(Marker.CUBE, color=(0.2, 0.4, 0.6, 0.5))
    assert isinstance(sky, Environment)
    assert np.allclose(sky.image.reshape(3), [0.1, 0.2, 0.3])
    for bad in (
        marker(Marker.CYLINDER, namespace='lights'),
        marker(Marker.ARROW, namespace='lights/sun', points=PATH),
        marker(Marker.SPHERE, namespace='lights', color=(-1, 0, 0, 1)),
    ):
        with pytest.raises(MarkerError):
            draw(bad, ResourceCache())


def names(scene, now=0, transforms=NOWHERE):
    return [item.name for item in scene.view(now, 'world', transforms).instances]


def test_markers_are_applied_in_their_order():
    scene = MarkerScene()
    scene.apply(
        [
            marker(identity=1),
            marker(identity=2),
            Marker(ns='test', id=1, action=Marker.DELETE),
            marker(identity=3),
            Marker(ns='nobody', action=Marker.DELETEALL),
            marker(identity=3, place=(1, 0, 0)),
        ],
        0,
    )
    view = scene.view(0, 'world', NOWHERE)
    assert [item.name for item in view.instances] == ['test/2', 'test/3']
    assert view.instances[1].pose[0, 3] == 1.0
    assert scene.view(0, 'world', NOWHERE) is view
    scene.apply([Marker(action=Marker.DELETEALL), marker(identity=4)], 0)
    assert names(scene) == ['test/4']


def test_a_marker_that_goes_bad_disappears_and_may_come_back():
    scene = MarkerScene()
    assert scene.apply([marker()], 0) == []
    (said,) = scene.apply([marker(scale=(0, 1, 1))], 0)
    assert said.startswith('test/0: scale')
    assert names(scene) == [] and scene.problems() == [said]
    assert scene.apply([marker(scale=(0, 1, 1))], 0) == []  # named once
    scene.apply([marker()], 0)
    assert names(scene) == ['test/0'] and scene.problems() == []


def test_there_is_a_largest_number_of_markers(monkeypatch):
    monkeypatch.setattr(marker_scene, 'MAX_MARKERS', 3)
    scene = MarkerScene()
    news = scene.apply([marker(identity=i) for i in range(10)], 0)
    assert len(names(scene)) == 3 and len(news) == 7
    assert len(scene.problems()) == 3
    assert scene.apply([marker(identity=1, place=(5, 0, 0))], 0) == []  # a known one moves


def test_lifetimes_run_from_the_arrival_and_begin_anew_when_the_clock_is_set_back():
    scene = MarkerScene()
    item = marker()
    item.lifetime.sec = 2
    scene.apply([item, marker(identity=1)], 10 * SECOND)
    assert names(scene, 11 * SECOND) == ['test/0', 'test/1']
    scene.clock_jumped(SECOND)
    assert names(scene, 2 * SECOND) == ['test/0', 'test/1']
    assert names(scene, 3 * SECOND) == ['test/1']


def test_frames_are_looked_up_once_or_always():
    buffer = TransformBuffer()
    scene = MarkerScene()
    free, locked = marker(frame='robot'), marker(identity=1, frame='robot')
    locked.frame_locked = True
    scene.apply([free, locked], 0)
    assert names(scene, 1, buffer) == []
    assert all("'robot' is unknown" in item for item in scene.problems())
    for second in (0, 1):
        pose = matrix_from_pose((second, 0, 0), (0, 0, 0, 1))
        buffer.add('world', 'robot', second * SECOND, pose)
    first = scene.view(1, 'world', buffer)
    later = scene.view(SECOND, 'world', buffer)
    assert [float(item.pose[0, 3]) for item in first.instances] == pytest.approx([0, 0], abs=1e-6)
    assert [float(item.pose[0, 3]) for item in later.instances] == pytest.approx([0, 1], abs=1e-6)
    assert scene.problems() == []


def test_lights_move_with_their_markers():
    scene = MarkerScene()
    sun, lamp = (
        marker(kind, identity=i, namespace='lights', place=(1, 2, 3))
        for i, kind in enumerate((Marker.ARROW, Marker.SPHERE))
    )
    sun.pose.orientation.y = sun.pose.orientation.w = math.sqrt(0.5)  # x turns to -z
    scene.apply([sun, lamp], 0)
    view = scene.view(0, 'world', NOWHERE)
    assert view.lights[0].direction == pytest.approx((0, 0, -1), abs=1e-6)
    assert view.lights[1].position == (1.0, 2.0, 3.0)


def test_markers_join_the_scene_of_the_file(tmp_path):
    path = tmp_path / 'scene.obj'
    path.write_text('v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n')
    source = SceneSource(NOWHERE)
    dark = source.at(0, 'world')
    assert dark.lights and dark.environment is not None
    source.file = load_scene_file(str(path))
    source.apply([marker(), marker(Marker.CUBE, namespace='lights')], 0)
    scene = source.at(0, 'world')
    assert len(scene.instances) == 2 and source.at(0, 'world') is scene
    assert np.allclose(
        scene.environment.image * scene.environment.intensity,
        source.file.environment.image * source.file.environment.intensity + 1.0,
    )
    with pytest.raises(ValueError, match='scene_file'):
        load_scene_file(str(tmp_path))
