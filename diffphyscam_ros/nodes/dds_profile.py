# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""A Fast DDS profile with room for pictures.

Fast DDS sends between processes of one machine through a shared-memory segment of 512 KB, and a
best-effort reader loses most pictures that do not fit in it. The profile only enlarges it. It is
named in the environment, so it has to be there before the first node of the process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
import contextlib
import importlib.metadata
import itertools
import os
from pathlib import Path
import shutil
import tempfile

import yaml

NEW, OLD = 'FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'
LAST_OLD_RCLPY = 7
"""ROS 2 Jazzy's, the last with Fast DDS 2, which knows only the old variable."""

SHARED_MEMORY = Path('/dev/shm')
SMALLEST, LARGEST = 2 << 20, 256 << 20
BYTES_PER_PIXEL = 12 + 4  # the largest encoding, and depth
FRAMES = 1.5  # as many may wait to be read
SHARE = 4  # at most this part of the free shared memory (a container has 64 MB) is taken

_PROFILE = """\
<?xml version="1.0" encoding="UTF-8"?>
<dds xmlns="http://www.eprosima.com">
  <profiles>
    <transport_descriptors>
      <transport_descriptor>
        <transport_id>shared_memory</transport_id>
        <type>SHM</type>
        <segment_size>{size}</segment_size>
      </transport_descriptor>
      <transport_descriptor>
        <transport_id>network</transport_id>
        <type>UDPv4</type>{whitelist}
      </transport_descriptor>
    </transport_descriptors>
    <participant profile_name="diffphyscam_ros" is_default_profile="true">
      <rtps>
        <userTransports>
          <transport_id>shared_memory</transport_id>
          <transport_id>network</transport_id>
        </userTransports>
        <useBuiltinTransports>false</useBuiltinTransports>
      </rtps>
    </participant>
  </profiles>
</dds>
"""

_LOOPBACK = """
        <interfaceWhiteList>
          <address>127.0.0.1</address>
        </interfaceWhiteList>"""


def segment_size(width: int, height: int, free: int | None = None) -> int:
    """Return the bytes of shared memory for pictures of this size.

    :param free: bytes of shared memory that are free, None = unknown.
    """
    size = int(width * height * BYTES_PER_PIXEL * FRAMES)
    if free is not None:
        size = min(size, free // SHARE)
    return min(max(size, SMALLEST), LARGEST)


def image_size(arguments: Sequence[str]) -> tuple[int, int]:
    """Return the picture's width and height as the command line says, else 640x480.

    :param arguments: with ``-p name:=value`` and ``--params-file file`` after ``--ros-args``.
    """
    found = {'image_width': 640, 'image_height': 480}
    for flag, argument in itertools.pairwise(arguments):
        if flag == '--params-file':
            _look(_content(argument), found)
        elif flag in ('-p', '--param'):
            name, _, value = argument.partition(':=')
            if value.isdigit():
                _look({name.rpartition(':')[2]: int(value)}, found)
    return found['image_width'], found['image_height']


def _content(path: str) -> object:
    try:
        return yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None  # the node will say what is wrong with it


def _look(content: object, found: dict[str, int]) -> None:
    """Take the sizes from nested maps, whatever node they are for."""
    if not isinstance(content, dict):
        return
    for name, value in content.items():
        if name in found and isinstance(value, int):
            found[name] = value
        else:
            _look(value, found)


@contextlib.contextmanager
def arranged(
    arguments: Sequence[str], environment: MutableMapping[str, str] = os.environ
) -> Iterator[str | None]:
    """Point Fast DDS to a profile with a larger segment while the first node is created.

    Yields words for the log; None where nothing is done because the user has a profile, another
    middleware, or no shared memory.
    """
    middleware = environment.get('RMW_IMPLEMENTATION') or 'rmw_fastrtps_cpp'
    taken = environment.get(NEW) or environment.get(OLD)
    # Fast DDS reads a file of that name from the current folder.
    if 'fastrtps' not in middleware or taken or Path('DEFAULT_FASTDDS_PROFILES.xml').exists():
        yield None
        return
    try:
        free = shutil.disk_usage(SHARED_MEMORY).free
    except OSError:
        yield None
        return
    width, height = image_size(arguments)
    size = segment_size(width, height, free)
    try:
        file = tempfile.NamedTemporaryFile('w', suffix='.xml', encoding='utf-8')
    except OSError as error:
        yield f'best-effort images may be lost: no profile for Fast DDS can be written: {error}'
        return
    with file:
        file.write(profile(size, environment))
        file.flush()
        variable = _variable()
        environment[variable] = file.name
        try:
            yield (
                f'Fast DDS has {size / (1 << 20):.1f} MB of shared memory for {width}x{height} px '
                f'images; set {variable} to use a profile of your own'
            )
        finally:
            environment.pop(variable, None)


def _variable() -> str:
    """Return the variable that this Fast DDS reads without complaint."""
    try:
        major = int(importlib.metadata.version('rclpy').split('.')[0])
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return NEW
    return OLD if major <= LAST_OLD_RCLPY else NEW


def profile(size: int, environment: Mapping[str, str]) -> str:
    """Return the XML; where discovery is limited to this machine, so are the sockets."""
    local = (
        environment.get('ROS_AUTOMATIC_DISCOVERY_RANGE', '').upper() == 'LOCALHOST'
        or environment.get('ROS_LOCALHOST_ONLY') == '1'
    )
    return _PROFILE.format(size=size, whitelist=_LOOPBACK if local else '')
