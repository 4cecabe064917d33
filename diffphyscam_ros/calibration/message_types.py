# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Reads messages without ROS: the types that the reader needs, from the bag or from here.

mcap bags and newer sqlite3 bags carry the definitions of their messages; older ones do not, and
then those below and the ones that rosbags knows are used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
import struct
from typing import Any

from diffphyscam_ros.calibration.errors import CalibrationError
from diffphyscam_ros.resources import find_resource

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'
CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
PARAMETER_EVENT = 'rcl_interfaces/msg/ParameterEvent'
CAMERA_METADATA = 'diffphyscam_ros/msg/CameraMetadata'
FLIR_METADATA = 'flir_camera_msgs/msg/ImageMetaData'
REALSENSE_METADATA = 'realsense2_camera_msgs/msg/Metadata'
PYLON_PARAMETERS = 'pylon_ros2_camera_interfaces/msg/CurrentParams'

NEEDED = (
    IMAGE,
    COMPRESSED_IMAGE,
    CAMERA_INFO,
    PARAMETER_EVENT,
    CAMERA_METADATA,
    FLIR_METADATA,
    REALSENSE_METADATA,
    PYLON_PARAMETERS,
)
"""All types that are ever deserialised."""

_DEFINITIONS = {
    FLIR_METADATA: """
std_msgs/Header header
uint64 camera_time
int16 brightness
uint32 exposure_time
uint32 max_exposure_time
float32 gain
""",
    REALSENSE_METADATA: """
std_msgs/Header header
string json_data
""",
    PYLON_PARAMETERS: """
uint32 offset_x
uint32 offset_y
bool reverse_x
bool reverse_y
int32 black_level
int32 pgi_mode
int32 demosaicing_mode
float32 noise_reduction
float32 sharpness_enhancement
int32 light_source_preset
int32 balance_white_auto
int32 sensor_readout_mode
int32 acquisition_frame_count
int32 trigger_selector
int32 trigger_mode
int32 trigger_source
int32 trigger_activation
float32 trigger_delay
int32 user_set_selector
int32 user_set_default_selector
bool is_sleeping
float32 brightness
float32 exposure
float32 gain
float32 gamma
uint32 binning_x
uint32 binning_y
float32 temperature
int32 max_num_buffer
sensor_msgs/RegionOfInterest roi
string[] available_image_encoding
string current_image_encoding
string current_image_ros_encoding
bool success
string message
""",
}


def normal_type(name: str) -> str:
    """Return the name of a type with ``/msg/``, which early ROS 2 and ROS 1 leave out."""
    parts = name.split('/')
    return f'{parts[0]}/msg/{parts[1]}' if len(parts) == 2 else name


class MessageTypes:
    """Turns the bytes of messages into objects.

    :param ros1: of a ROS 1 bag, which are laid out otherwise.
    :param definitions: pairs of type and text as the bag has them, ``ros2msg`` or ROS 1; they
        count more than those known here.
    """

    def __init__(self, ros1: bool, definitions: Iterable[tuple[str, str]] = ()) -> None:
        """See the class."""
        from rosbags.typesys import get_types_from_msg, get_typestore, Stores, TypesysError

        base = get_typestore(Stores.ROS1_NOETIC if ros1 else Stores.LATEST)
        types: dict[str, Any] = dict(base.fielddefs)
        for name, text in _DEFINITIONS.items():
            types.update(get_types_from_msg(text, name))
        with suppress(FileNotFoundError):  # then only bags that define it have it
            ours = find_resource('msg/CameraMetadata.msg').read_text(encoding='utf-8')
            types.update(get_types_from_msg(ours, CAMERA_METADATA))
        self.messages: list[str] = []
        for name, text in definitions:
            try:
                own = get_types_from_msg(text, name)
                candidate = {**types, **own}
                for each in own:
                    _check(candidate, each, types.get(each) if each in NEEDED else None)
                types = candidate
            except (TypesysError, ValueError, KeyError) as error:
                self.messages.append(
                    f'the definition of {name} in the bag cannot be used ({error}): that of '
                    'the newest ROS is taken'
                )
        self._store = get_typestore(Stores.EMPTY)
        self._store.register(_with_parts(types, NEEDED))
        self._ros1 = ros1

    def read(self, data: bytes, name: str, place: str) -> Any:
        """Return the message.

        :param place: which one, for the error.
        :raises CalibrationError: for bytes that are no such message.
        """
        from rosbags.serde import SerdeError

        try:
            if self._ros1:
                return self._store.deserialize_ros1(data, name)
            if name == PARAMETER_EVENT:
                return self._read_loosely(data, name)
            return self._store.deserialize_cdr(data, name)
        except (SerdeError, ValueError, struct.error, LookupError, OverflowError) as error:
            raise CalibrationError(
                f'message of {place}',
                f'{len(data)} bytes',
                allowed=f'a {name} ({error})',
                remedy='the message is damaged or of another version of that type',
            ) from error

    def _read_loosely(self, data: bytes, name: str) -> Any:
        """Read a message that may be followed by bytes without meaning.

        Fast DDS reserves too much for sequences of structures, and rosbags refuses the rest.
        """
        definition = self._store.get_msgdef(name)
        little = data[1:2] == b'\x01'
        read = definition.deserialize_cdr_le if little else definition.deserialize_cdr_be
        return read(data[4:], 0, definition.cls, self._store)[0]


def _check(types: Mapping[str, Any], name: str, known: Any) -> None:
    """Refuse a definition that lacks fields of the known one, or whose parts are not defined.

    :raises ValueError: naming what is missing.
    """
    own = {field.lower() for field, _ in types[name][1]}
    missing = {field for field, _ in known[1] if field.lower() not in own} if known else ()
    if missing:
        raise ValueError(f'without {", ".join(sorted(missing))}')
    for part in _with_parts(types, [name]).values():
        for _, kind in part[1]:
            unknown = [word for word in _strings(kind) if '/' in word and word not in types]
            if unknown:
                raise ValueError(f'{unknown[0]} is not defined')


def _with_parts(types: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return some of the types and all that they are made of."""
    found: dict[str, Any] = {}
    waiting = [name for name in names if name in types]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = types[name]
            waiting += [part for part in _strings(types[name]) if part in types]
    return found


def _strings(value: Any) -> Iterator[str]:
    """Yield every string in nested tuples and lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _strings(item)
