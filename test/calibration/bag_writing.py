# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Writes bags for the tests, of every kind that the reader reads."""

from __future__ import annotations

from collections.abc import Mapping
import json
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rosbags', reason='rosbags is not installed')

from rosbags import rosbag1, rosbag2
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.typesys import get_types_from_msg, get_typestore, Stores

from diffphyscam_ros.calibration.message_types import (
    CAMERA_METADATA,
    FLIR_METADATA,
    PYLON_PARAMETERS,
    REALSENSE_METADATA,
)
from diffphyscam_ros.resources import find_resource

START = 1_700_000_000_000_000_000
PERIOD = 100_000_000  # ns between frames

# as pylon-ros-camera, branch humble, has it; without the comments
_PYLON = {
    'uint32': 'offset_x offset_y',
    'bool': 'reverse_x reverse_y',
    'int32': 'black_level pgi_mode demosaicing_mode',
    'float32': 'noise_reduction sharpness_enhancement',
    'int32 ': 'light_source_preset balance_white_auto sensor_readout_mode acquisition_frame_count '
    'trigger_selector trigger_mode trigger_source trigger_activation',
    'float32 ': 'trigger_delay',
    'int32  ': 'user_set_selector user_set_default_selector',
    'bool ': 'is_sleeping',
    'float32  ': 'brightness exposure gain gamma',
    'uint32 ': 'binning_x binning_y',
    'float32   ': 'temperature',
    'int32   ': 'max_num_buffer',
    'sensor_msgs/RegionOfInterest': 'roi',
    'string[]': 'available_image_encoding',
    'string': 'current_image_encoding current_image_ros_encoding',
    'bool  ': 'success',
    'string ': 'message',
}

DEFINITIONS = {
    PYLON_PARAMETERS: ''.join(
        f'{kind.strip()} {name}\n' for kind, names in _PYLON.items() for name in names.split()
    ),
    CAMERA_METADATA: find_resource('msg/CameraMetadata.msg').read_text(encoding='utf-8'),
    FLIR_METADATA: 'std_msgs/Header header\nuint64 camera_time\nint16 brightness\n'
    'uint32 exposure_time\nuint32 max_exposure_time\nfloat32 gain\n',
    REALSENSE_METADATA: 'std_msgs/Header header\nstring json_data\n',
}


def stamp_of(number: int) -> int:
    """Return the stamp of the n-th frame, ns."""
    return START + number * PERIOD


class BagWriter:
    """A bag under construction; a context manager.

    :param kind: 'ros1', 'sqlite3', 'mcap'.
    :param compression: '', 'message', 'file', 'storage'; of ROS 1 'bz2', 'lz4'.
    """

    def __init__(self, path: Path, kind: str = 'mcap', compression: str = '') -> None:
        self.path, self.ros1 = path, kind == 'ros1'
        self.store = get_typestore(Stores.ROS1_NOETIC if self.ros1 else Stores.LATEST)
        for name, text in DEFINITIONS.items():
            self.store.register(get_types_from_msg(text, name))
        self._connections: dict[str, Any] = {}
        if self.ros1:
            self._writer = rosbag1.Writer(path)
            if compression:
                form = rosbag1.Writer.CompressionFormat[compression.upper()]
                self._writer.set_compression(form)
        else:
            plugin = StoragePlugin[kind.upper()]
            self._writer = rosbag2.Writer(path, version=9, storage_plugin=plugin)
            if compression:
                mode = CompressionMode[compression.upper()]
                self._writer.set_compression(mode, CompressionFormat.ZSTD)

    def __enter__(self) -> BagWriter:
        self._writer.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._writer.close()

    def topic(self, name: str, kind: str) -> Any:
        """Announce a topic."""
        if name not in self._connections:
            self._connections[name] = self._writer.add_connection(name, kind, typestore=self.store)
        return self._connections[name]

    def write(self, topic: str, kind: str, message: Any, received: int) -> None:
        connection = self.topic(topic, kind)
        serialize = self.store.serialize_ros1 if self.ros1 else self.store.serialize_cdr
        self._writer.write(connection, received, serialize(message, kind))

    def make(self, kind: str, **values: Any) -> Any:
        return self.store.types[kind](**values)

    def time(self, stamp: int) -> Any:
        return self.make('builtin_interfaces/msg/Time', sec=stamp // 10**9, nanosec=stamp % 10**9)

    def header(self, stamp: int) -> Any:
        extra = {'seq': 0} if self.ros1 else {}
        return self.make(
            'std_msgs/msg/Header', stamp=self.time(stamp), frame_id='optical', **extra
        )

    def image(
        self,
        number: int,
        pixels: np.ndarray,
        encoding: str = 'mono8',
        topic: str = '/cam/image_raw',
        stamp: int | None = None,
        **changes: Any,
    ) -> None:
        """Write an Image; its fields can be changed to wrong ones."""
        data = np.ascontiguousarray(pixels).view(np.uint8).reshape(-1)
        values = {
            'header': self.header(stamp_of(number) if stamp is None else stamp),
            'height': pixels.shape[0],
            'width': pixels.shape[1],
            'encoding': encoding,
            'is_bigendian': 0,
            'step': pixels[0].nbytes,
            'data': data,
        }
        kind = 'sensor_msgs/msg/Image'
        self.write(topic, kind, self.make(kind, **{**values, **changes}), stamp_of(number))

    def compressed(
        self,
        number: int,
        data: bytes,
        form: str = 'jpeg',
        topic: str = '/cam/image_raw/compressed',
    ) -> None:
        kind = 'sensor_msgs/msg/CompressedImage'
        message = self.make(
            kind,
            header=self.header(stamp_of(number)),
            format=form,
            data=np.frombuffer(data, np.uint8),
        )
        self.write(topic, kind, message, stamp_of(number))

    def camera_info(
        self, number: int, size: tuple[int, int], topic: str = '/cam/camera_info'
    ) -> None:
        kind = 'sensor_msgs/msg/CameraInfo'
        k = np.array([500.0, 0, size[0] / 2, 0, 500.0, size[1] / 2, 0, 0, 1])
        region = self.make(
            'sensor_msgs/msg/RegionOfInterest',
            x_offset=0,
            y_offset=0,
            height=0,
            width=0,
            do_rectify=False,
        )
        names = ('D', 'K', 'R', 'P') if self.ros1 else ('d', 'k', 'r', 'p')
        arrays = (np.zeros(5), k, np.eye(3).reshape(-1), np.zeros(12))
        message = self.make(
            kind,
            header=self.header(stamp_of(number)),
            width=size[0],
            height=size[1],
            distortion_model='plumb_bob',
            binning_x=0,
            binning_y=0,
            roi=region,
            **dict(zip(names, arrays, strict=True)),
        )
        self.write(topic, kind, message, stamp_of(number))

    def metadata(
        self, number: int, exposure_us: float, topic: str = '/cam/metadata', **changes: Any
    ) -> None:
        """Write what our node publishes with a frame."""
        values: dict[str, Any] = {
            'frame_number': number,
            'exposure_start': self.time(stamp_of(number)),
            'exposure_end': self.time(stamp_of(number)),
            'exposure_time': exposure_us,
            'gain': 0.0,
            'iso': 100.0,
            'aperture': 2.0,
            'focal_length': 0.004,
            'focus_distance': 1.5,
            'white_balance': np.array([2.0, 1.0, 1.5]),
            'mean_level': 0.5,
            'saturated_fraction': 0.0,
            'black_fraction': 0.0,
            'noise_seed': 1,
            'device': 'cpu',
            'render_ms': 1.0,
            'calibration_id': 'x',
        }
        message = self.make(
            CAMERA_METADATA, header=self.header(stamp_of(number)), **{**values, **changes}
        )
        self.write(topic, CAMERA_METADATA, message, stamp_of(number))

    def flir(self, number: int, exposure_us: int, gain_db: float) -> None:
        message = self.make(
            FLIR_METADATA,
            header=self.header(stamp_of(number)),
            camera_time=0,
            brightness=100,
            exposure_time=exposure_us,
            max_exposure_time=30000,
            gain=gain_db,
        )
        self.write('/cam/meta', FLIR_METADATA, message, stamp_of(number))

    def realsense(self, number: int, topic: str, about: Mapping[str, Any]) -> None:
        message = self.make(
            REALSENSE_METADATA, header=self.header(stamp_of(number)), json_data=json.dumps(about)
        )
        self.write(topic, REALSENSE_METADATA, message, stamp_of(number))

    def pylon(self, received: int, topic: str, exposure_us: float) -> None:
        """Write what a pylon driver publishes after a frame."""
        values: dict[str, Any] = {
            name: {'string[]': [], 'string': '', 'bool': True}.get(kind.strip(), 0)
            for kind, names in _PYLON.items()
            for name in names.split()
        }
        region = dict.fromkeys(('x_offset', 'y_offset', 'height', 'width'), 0)
        values['roi'] = self.make('sensor_msgs/msg/RegionOfInterest', **region, do_rectify=False)
        message = self.make(PYLON_PARAMETERS, **{**values, 'exposure': exposure_us, 'gain': 0.5})
        self.write(topic, PYLON_PARAMETERS, message, received)

    def parameters(
        self, stamp: int, node: str, values: Mapping[str, Any], received: int | None = None
    ) -> None:
        """Write an event in which these parameters changed."""
        kind = 'rcl_interfaces/msg/ParameterEvent'
        changed = [self._parameter(name, value) for name, value in values.items()]
        message = self.make(
            kind,
            stamp=self.time(stamp),
            node=node,
            new_parameters=[],
            changed_parameters=changed,
            deleted_parameters=[],
        )
        self.write('/parameter_events', kind, message, stamp if received is None else received)

    def _parameter(self, name: str, value: Any) -> Any:
        types = {bool: 1, int: 2, float: 3, str: 4}
        number = types[type(value)]
        empty: dict[str, Any] = {
            'bool_value': False,
            'integer_value': 0,
            'double_value': 0.0,
            'string_value': '',
        }
        empty[list(empty)[number - 1]] = value
        arrays = {
            'byte_array_value': np.zeros(0, np.uint8),
            'bool_array_value': np.zeros(0, np.bool_),
            'integer_array_value': np.zeros(0, np.int64),
            'double_array_value': np.zeros(0),
            'string_array_value': [],
        }
        holder = self.make('rcl_interfaces/msg/ParameterValue', type=number, **empty, **arrays)
        return self.make('rcl_interfaces/msg/Parameter', name=name, value=holder)


def pattern(number: int, height: int = 24, width: int = 32) -> np.ndarray:
    """Return a picture that tells which frame it is."""
    rows, columns = np.mgrid[:height, :width]
    return ((rows * 7 + columns * 3 + number * 11) % 251).astype(np.uint8)


def encoded(extension: str, pixels: np.ndarray) -> bytes:
    """Return the file of a picture; of three channels the first is blue."""
    good, data = cv2.imencode(extension, pixels)
    assert good
    return data.tobytes()


def write_frames(path: Path, kind: str, count: int = 6, compression: str = '') -> Path:
    """Write a bag of ``pattern`` frames with metadata and camera_info; return its path."""
    with BagWriter(path, kind, compression) as bag:
        for number in range(count):
            bag.image(number, pattern(number))
            bag.metadata(number, 1000.0 * (number + 1))
            bag.camera_info(number, (32, 24))
    return path
