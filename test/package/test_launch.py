# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The launch files: always read, and with the launch package run up to the processes."""

from __future__ import annotations

import ast
from collections.abc import Callable
import importlib.util
import json
import os
from pathlib import Path
import re
import subprocess
import sys

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
LAUNCH_FILES = sorted((REPOSITORY / 'launch').glob('*.launch.py'))

needs_launch = pytest.mark.skipif(
    importlib.util.find_spec('launch_ros') is None,
    reason='launch and launch_ros come with a ROS 2 distribution only, there is no wheel of them',
)


def calls(path: Path, function: str) -> list[ast.Call]:
    """Return the calls of a function by that name in a file."""
    tree = ast.parse(path.read_text(encoding='utf-8'))
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == function
    ]


@pytest.mark.parametrize('path', LAUNCH_FILES, ids=lambda p: p.name)
def test_file_describes_its_arguments(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding='utf-8'))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert 'generate_launch_description' in functions
    assert ast.get_docstring(tree)
    declarations = calls(path, 'DeclareLaunchArgument')
    assert declarations
    for call in declarations:
        assert {'default_value', 'description'} <= {keyword.arg for keyword in call.keywords}


def test_camera_arguments_are_parameters_of_the_node() -> None:
    """What camera.launch.py passes on exists in the node's parameter table."""
    tree = ast.parse((REPOSITORY / 'launch' / 'camera.launch.py').read_text(encoding='utf-8'))
    table = (REPOSITORY / 'diffphyscam_ros' / 'nodes' / 'parameters.py').read_text('utf-8')
    passed = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == 'PARAMETERS'
    )
    assert [name for name in passed if f"'{name}'" not in table] == []


def test_files_that_the_demo_names_exist() -> None:
    """The launch package only warns about a parameter file that is not there."""
    text = (REPOSITORY / 'launch' / 'demo.launch.py').read_text(encoding='utf-8')
    paths = re.findall(r"SHARE / ('[^)\n]+')\)", text)
    assert len(paths) >= 4
    for path in paths:
        assert REPOSITORY.joinpath(*re.findall(r"'([^']+)'", path)).is_file(), path


STUB = """#!{python}
import json, os, pathlib, sys, uuid
texts = [pathlib.Path(sys.argv[i + 1]).read_text()
         for i, word in enumerate(sys.argv) if word == '--params-file']
record = {{'program': pathlib.Path(sys.argv[0]).name, 'argv': sys.argv, 'parameters': texts}}
path = pathlib.Path(os.environ['RECORDS'], uuid.uuid4().hex)
path.write_text(json.dumps(record))
"""
RUN = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
path, *arguments = sys.argv[1:]
service = LaunchService()
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(
    PythonLaunchDescriptionSource(path),
    launch_arguments=[a.split(':=', 1) for a in arguments])]))
sys.exit(service.run())
"""


class Record:
    """How a node's program was called."""

    def __init__(self, program: str, argv: list[str], parameters: list[str]) -> None:
        self.program, self.argv = program, argv
        self.parameters: dict[str, object] = {}
        for text in parameters:
            for node in yaml.safe_load(text).values():
                self.parameters |= node['ros__parameters']

    def remap(self, name: str) -> str | None:
        """Return what ``__ns`` or ``__node`` was set to."""
        found = [word for word in self.argv if word.startswith(f'{name}:=')]
        return found[0].partition(':=')[2] if found else None


@pytest.fixture
def run_launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Record]]:
    """Return a function that runs a launch file with programs that only write down their calls."""
    programs, records = tmp_path / 'bin', tmp_path / 'records'
    programs.mkdir()
    records.mkdir()
    for name in (
        'camera_node', 'demo_robot_node', 'demo_scene_node', 'calibration_node', 'ros2'
    ):  # fmt: skip
        (programs / name).write_text(STUB.format(python=sys.executable), encoding='utf-8')
        (programs / name).chmod(0o755)
    monkeypatch.setenv('PATH', f'{programs}{os.pathsep}{os.environ["PATH"]}')
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))  # not the nodes of a workspace
    monkeypatch.setenv('ROS_LOG_DIR', str(tmp_path / 'log'))
    monkeypatch.setenv('RECORDS', str(records))

    def run(name: str, *arguments: str) -> list[Record]:
        command = [sys.executable, '-c', RUN, str(REPOSITORY / 'launch' / name), *arguments]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result.stdout + result.stderr
        found = [Record(**json.loads(path.read_text('utf-8'))) for path in records.iterdir()]
        return sorted(found, key=lambda record: (record.program, record.remap('__ns') or ''))

    return run


@needs_launch
def test_camera_passes_on_what_was_given_only(run_launch: Callable[..., list[Record]]) -> None:
    arguments = ('camera_name:=7', 'publish_optical_tf:=true', 'namespace:=robot', 'name:=eye')
    (camera,) = run_launch('camera.launch.py', *arguments)
    assert camera.parameters == {
        'camera_name': '7',  # a name, whatever it looks like
        'publish_optical_tf': True,
        'use_sim_time': False,
    }
    assert (camera.remap('__ns'), camera.remap('__node')) == ('/robot', 'eye')


@needs_launch
def test_arguments_override_the_parameter_file(
    run_launch: Callable[..., list[Record]], tmp_path: Path
) -> None:
    file = tmp_path / 'camera.yaml'
    text = '/**:\n  ros__parameters:\n    iso: 200.0\n    world_frame: map\n    device: cpu\n'
    file.write_text(text, encoding='utf-8')
    (camera,) = run_launch('camera.launch.py', f'params_file:={file}', 'world_frame:=odom')
    expected = {'iso': 200.0, 'world_frame': 'odom', 'device': 'cpu', 'use_sim_time': False}
    assert camera.parameters == expected


@needs_launch
def test_demo_starts_camera_and_world(run_launch: Callable[..., list[Record]]) -> None:
    camera, world = run_launch('demo.launch.py', 'speed:=2')
    assert (camera.program, world.program) == ('camera_node', 'demo_scene_node')
    assert camera.parameters['device'] == 'cpu'
    assert Path(str(camera.parameters['scene_file'])).is_file()
    assert Path(str(camera.parameters['calibration_file'])).is_file()
    assert world.parameters == {'camera': 'camera', 'speed': 2.0, 'use_sim_time': False}


@needs_launch
def test_robot_starts_camera_and_arm(run_launch: Callable[..., list[Record]]) -> None:
    camera, robot = run_launch('robot.launch.py', 'speed:=0.5')
    assert (camera.program, robot.program) == ('camera_node', 'demo_robot_node')
    assert Path(str(camera.parameters['scene_file'])).is_file()
    assert Path(str(robot.parameters['urdf'])).is_file()
    assert robot.parameters['speed'] == 0.5


@needs_launch
def test_robot_of_somebody_else(run_launch: Callable[..., list[Record]]) -> None:
    (alone,) = run_launch('robot.launch.py', 'demo_robot:=false')
    assert alone.program == 'camera_node'


@needs_launch
def test_each_of_several_cameras_has_its_own_namespace_and_file(
    run_launch: Callable[..., list[Record]], tmp_path: Path
) -> None:
    text = '/**:\n  ros__parameters:\n    iso: 400.0\n'
    (tmp_path / 'b.yaml').write_text(text, encoding='utf-8')
    cameras = run_launch(
        'multi_camera.launch.py', 'cameras:=a,b', f'params_folder:={tmp_path}', 'device:=cpu'
    )
    assert [camera.remap('__ns') for camera in cameras] == ['/a', '/b']
    assert [camera.parameters['camera_name'] for camera in cameras] == ['a', 'b']
    assert [camera.parameters['device'] for camera in cameras] == ['cpu', 'cpu']
    assert [camera.parameters.get('iso') for camera in cameras] == [None, 400.0]


def test_calibration_arguments_are_parameters_of_the_node() -> None:
    """Every argument is in the node's table, and every parameter of it an argument."""
    tree = ast.parse((REPOSITORY / 'launch' / 'calibrate.launch.py').read_text(encoding='utf-8'))
    passed = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == 'PARAMETERS'
    )
    path = REPOSITORY / 'diffphyscam_ros' / 'nodes' / 'calibration_parameters.py'
    names = [call.args[0].value for call in calls(path, 'Parameter')]
    assert sorted(passed) == sorted(names)


def recorded_topics(driver: str, namespace: str = '', extra: str = '') -> list[str]:
    """Return what record.launch.py records; its function needs nothing of ROS."""
    tree = ast.parse((REPOSITORY / 'launch' / 'record.launch.py').read_text(encoding='utf-8'))
    wanted = ('DRIVERS', 'ALWAYS', 'topics')
    body = [
        node
        for node in tree.body
        if (isinstance(node, ast.Assign) and node.targets[0].id in wanted)
        or (isinstance(node, ast.FunctionDef) and node.name in wanted)
    ]
    space: dict[str, object] = {}
    exec(compile(ast.Module(body, []), 'record.launch.py', 'exec'), space)
    return space['topics'](driver, namespace, extra)  # type: ignore[operator]


def test_record_knows_the_topics_of_every_driver() -> None:
    assert recorded_topics('camera_node', '/left') == [
        '/left/image_raw', '/left/camera_info', '/left/metadata', '/parameter_events'
    ]  # fmt: skip
    assert '/flir_camera/meta' in recorded_topics('spinnaker')
    assert '/camera/camera/color/metadata' in recorded_topics('realsense')
    assert '/my_camera/pylon_ros2_camera_node/current_params' in recorded_topics('pylon')
    for driver in ('usb_cam', 'v4l2_camera', 'camera_ros', 'pylon'):
        names = recorded_topics(driver, extra='/imu, /tf')
        assert sum(name.endswith('/image_raw') for name in names) == 1
        assert names[-3:] == ['/parameter_events', '/imu', '/tf']


@needs_launch
def test_calibration_passes_on_what_was_given_only(
    run_launch: Callable[..., list[Record]],
) -> None:
    (node,) = run_launch('calibrate.launch.py', 'bags:=a,b', 'max_error:=1', 'dry_run:=true')
    assert node.program == 'calibration_node'
    assert node.parameters == {'bags': 'a,b', 'max_error': 1.0, 'dry_run': True}


@needs_launch
@pytest.mark.parametrize(('distribution', 'option'), [('humble', []), ('kilted', ['--topics'])])
def test_record_runs_ros2_bag(
    run_launch: Callable[..., list[Record]],
    monkeypatch: pytest.MonkeyPatch,
    distribution: str,
    option: list[str],
) -> None:
    monkeypatch.setenv('ROS_DISTRO', distribution)
    (bag,) = run_launch('record.launch.py', 'driver:=usb_cam', 'output:=flat')
    words = bag.argv[1:]
    assert words[: 3 + len(option)] == ['bag', 'record', *option, '/image_raw']
    assert '/parameter_events' in words
    assert words[words.index('--output') + 1] == 'flat'


def test_rviz_shows_the_topics_of_the_demo() -> None:
    config = yaml.safe_load((REPOSITORY / 'config' / 'demo.rviz').read_text(encoding='utf-8'))
    displays = config['Visualization Manager']['Displays']
    topics = {
        (d['Class'].rpartition('/')[2], d['Topic']['Value']) for d in displays if 'Topic' in d
    }
    assert {('Image', '/image_raw'), ('MarkerArray', '/camera/scene')} <= topics
    assert {'TF', 'Camera'} <= {display['Class'].rpartition('/')[2] for display in displays}


# RViz ignores what it does not know: names as in its sources (rviz_common, rviz_default_plugins).
RVIZ_PROPERTIES = {
    'Grid': {'Cell Size', 'Plane Cell Count'},
    'TF': {'Marker Scale'},
    'MarkerArray': {'Topic'},
    'Pose': {'Topic', 'Shape', 'Axes Length', 'Axes Radius'},
    'Image': {'Topic', 'Normalize Range'},
    'Camera': {'Topic', 'Image Rendering', 'Overlay Alpha'},
}
RVIZ_QOS = {
    'Reliability Policy': {'System Default', 'Reliable', 'Best Effort'},
    'Durability Policy': {'System Default', 'Transient Local', 'Volatile'},
}
RVIZ_TOOLS = {'Interact', 'MoveCamera', 'Select', 'FocusCamera', 'Measure'}


def test_rviz_knows_every_class_and_property() -> None:
    text = (REPOSITORY / 'config' / 'demo.rviz').read_text(encoding='utf-8')
    manager = yaml.safe_load(text)['Visualization Manager']
    for display in manager['Displays']:
        package, name = display['Class'].split('/')
        assert package == 'rviz_default_plugins'
        assert set(display) - {'Class', 'Name', 'Enabled'} <= RVIZ_PROPERTIES[name]
        topic = display.get('Topic', {'Value': '/'})
        assert set(topic) <= {'Value', 'Depth', *RVIZ_QOS}
        for policy, allowed in RVIZ_QOS.items():
            assert topic.get(policy, 'System Default') in allowed
    tools = {tool['Class'].removeprefix('rviz_default_plugins/') for tool in manager['Tools']}
    assert 'MoveCamera' in tools  # without a tool the mouse moves nothing
    assert tools <= RVIZ_TOOLS
    assert set(manager['Views']['Current']) <= {
        *('Class', 'Name', 'Target Frame', 'Distance', 'Pitch', 'Yaw', 'Focal Point')
    }
