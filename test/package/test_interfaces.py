# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Every message and service of the package, exchanged with another process over DDS."""

from __future__ import annotations

from collections.abc import Iterator
import importlib
from pathlib import Path
import runpy
import subprocess
import sys
import time

import pytest

rclpy = pytest.importorskip(
    'rclpy',
    reason='no rclpy: source ROS 2, or pip install -r requirements/kilted.in',
)
HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
MESSAGES = sorted(f'msg/{path.stem}' for path in (REPOSITORY / 'msg').glob('*.msg'))
SERVICES = sorted(f'srv/{path.stem}' for path in (REPOSITORY / 'srv').glob('*.srv'))
PATIENCE = 20.0  # s; discovery takes well under one, on a busy machine a few


def interface(name: str) -> type:
    """Return the class of ``msg/CameraState`` and the like."""
    kind, _, type_name = name.partition('/')
    return getattr(importlib.import_module(f'diffphyscam_ros.{kind}'), type_name)


def filled(message: object) -> object:
    """Return the message, with no field at its default."""
    return runpy.run_path(str(HERE / 'interface_echo.py'))['filled'](message)


@pytest.fixture(scope='module')
def node() -> Iterator[object]:
    """Return a node of this process, while the echo runs in another."""
    command = [sys.executable, str(HERE / 'interface_echo.py'), *MESSAGES, *SERVICES]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as echo:
        try:
            assert echo.stdout.readline() == 'ready\n'
            rclpy.init()
            node = rclpy.create_node('interface_test')
            yield node
            node.destroy_node()
            rclpy.shutdown()
        finally:
            echo.terminate()


def test_there_are_interfaces() -> None:
    assert {'msg/CameraState', 'msg/CameraMetadata'} <= set(MESSAGES)
    assert {'srv/SetExposure', 'srv/GetState'} <= set(SERVICES)


@pytest.mark.parametrize('name', MESSAGES)
def test_message_comes_back_unchanged(node: object, name: str) -> None:
    kind = interface(name)
    sent, received = filled(kind()), []
    assert sent != kind()
    publisher = node.create_publisher(kind, f'call/{name}', 10)
    node.create_subscription(kind, f'echo/{name}', received.append, 10)
    end = time.monotonic() + PATIENCE
    while not received and time.monotonic() < end:
        publisher.publish(sent)
        rclpy.spin_once(node, timeout_sec=0.1)
    assert received, f'no answer within {PATIENCE} s'
    assert received[0] == sent


@pytest.mark.parametrize('name', SERVICES)
def test_service_answers(node: object, name: str) -> None:
    kind = interface(name)
    client = node.create_client(kind, f'call/{name}')
    assert client.wait_for_service(timeout_sec=PATIENCE)
    future = client.call_async(filled(kind.Request()))
    rclpy.spin_until_future_complete(node, future, timeout_sec=PATIENCE)
    assert future.done(), f'no answer within {PATIENCE} s'
    assert future.result() == filled(kind.Response())


def test_fields_have_units(repository: Path) -> None:
    """A number without a unit in its comment invites mistakes."""
    bare = [
        f'{path.name}: {line}'
        for path in [*repository.glob('msg/*.msg'), *repository.glob('srv/*.srv')]
        for line in path.read_text(encoding='utf-8').splitlines()
        if line.startswith('float') and '#' not in line
    ]
    assert not bare
