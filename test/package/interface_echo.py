# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The other process of test_interfaces.py: sends back every message, answers every service."""

from __future__ import annotations

import signal
import sys

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

import diffphyscam_ros.msg
import diffphyscam_ros.srv


def filled(message: object, number: int = 1) -> object:
    """Set every field of a message to something other than its default, and return it."""
    for position, (field, kind) in enumerate(message.get_fields_and_field_types().items(), number):
        value = getattr(message, field)
        if isinstance(value, bool):
            setattr(message, field, True)
        elif isinstance(value, int):
            setattr(message, field, position)
        elif isinstance(value, float):
            setattr(message, field, position + 0.25)
        elif isinstance(value, str):
            setattr(message, field, f'{field} {position}')
        elif kind == 'sequence<string>':
            setattr(message, field, ['one', 'two'])
        elif kind == 'sequence<double>':
            setattr(message, field, [position + 0.5, position + 0.75])
        elif hasattr(value, 'get_fields_and_field_types'):
            filled(value, position)
        else:  # a fixed array of numbers
            value[:] = range(position, position + len(value))
    return message


def main(names: list[str]) -> None:
    """Echo the named types, as msg/CameraState or srv/SetIso, until told to stop."""
    rclpy.init()
    node = Node('interface_echo')
    for name in names:
        kind, _, type_name = name.partition('/')
        interface = getattr(getattr(diffphyscam_ros, kind), type_name)
        if kind == 'msg':
            publisher = node.create_publisher(interface, f'echo/{name}', 10)
            node.create_subscription(interface, f'call/{name}', publisher.publish, 10)
        else:
            node.create_service(interface, f'call/{name}', lambda _, answer: filled(answer))
    print('ready', flush=True)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main(sys.argv[1:])
