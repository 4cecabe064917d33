# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The one table of the camera node's parameters.

Declaration, validation, services' limits, config/camera.yaml and the table in the documentation
all come from it. Those of the sensor model come from its own table (camera/sensor_model.py).

``python -m diffphyscam_ros.nodes.parameter_docs --write`` renews the files made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffphyscam_ros.camera.sensor_model import Parameter as SensorField
from diffphyscam_ros.camera.sensor_model import PARAMETERS as SENSOR_FIELDS
from diffphyscam_ros.nodes.automatic_parameters import AUTOMATIC
from diffphyscam_ros.nodes.compressed import FORMATS
from diffphyscam_ros.nodes.conversions import OUTPUT_ENCODINGS
from diffphyscam_ros.nodes.parameter import Parameter, ParameterError, Value
from diffphyscam_ros.nodes.robot_parameters import ROBOTS
from diffphyscam_ros.nodes.units import gain_from_iso


def _from_sensor(field: str, entry: SensorField) -> Parameter:
    """Return the row of a field of the sensor model."""
    choices: tuple[str, ...] = ()
    if entry.flag:
        kind = 'bool'
    elif entry.choices:
        kind, choices = 'string', entry.choices
    elif entry.size != 1:
        kind = 'double_array'
    else:
        kind = 'integer' if entry.whole else 'double'
    return Parameter(
        _SENSOR_NAMES.get(field, field),
        kind,
        None,
        '' if entry.unit == '1' else entry.unit,
        _SENSOR_WORDS.get(field, entry.about),
        low=entry.low,
        high=_SENSOR_LIMITS.get(field, entry.high),
        open_low=entry.open_low,
        length=entry.size if kind == 'double_array' else None,
        choices=choices,
        infinite=entry.optional and kind == 'double',
        sensor_field=field,
    )


# Camera drivers and ROS_INTERFACE name it so.
_SENSOR_NAMES = {'distortion_coefficients': 'distortion_coeffs'}
_SENSOR_LIMITS = {'image_width': 16384.0, 'image_height': 16384.0}
_SENSOR_WORDS = {
    'pixel_size': 'Pixel pitch C of the sensor.',
    'focal_scale': 'The fx and fy of K in units of f/C; 1 for a lens as it should be.',
    'quantum_efficiency': 'Electrons for each photon: red, green, blue.',
    'scene_illuminance': 'Illuminance P of a scene of radiance 1.',
    'defocus_gain': 'Gain a of the blur; 0 = everything sharp.',
    'defocus_dead_zone': 'Depth range b about the focus distance that stays sharp.',
    'max_coc': 'Largest diameter of the blur.',
    'vignetting_gain': 'Gain G_v of the vignetting: 0 = none, 1 = cos^4.',
    'aggregator_gain': 'Gain G_a from light to electrons.',
    'response_gains': 'Gain g of the response: red, green, blue.',
    'response_biases': 'Bias o of the response: red, green, blue.',
    'response_gamma': 'Exponent of the gamma response.',
    'dark_current': 'Dark current D: red, green, blue.',
    'shot_noise_gain': 'Shot noise n_s, times the root of the electrons: red, green, blue.',
    'read_noise': 'Standard deviation of the fixed pattern: red, green, blue.',
    'fixed_pattern_seed': 'Which fixed pattern this camera has.',
    'distortion_coefficients': 'Lens distortion, in the order of CameraInfo.',
    'image_width': 'Columns. Another size than the calibration keeps its field of view.',
    'image_height': 'Rows.',
    'principal_point': 'The cx and cy of K; moves along when the image size is changed.',
}

EXPOSURE_TIME = (1.0, 10_000_000.0)  # µs
ISO = (10.0, 1_000_000.0)

_TABLE: tuple[Parameter, ...] = (
    # What the camera is called and where its data come from.
    Parameter(
        'camera_name',
        'string',
        'camera',
        '',
        'Name of the camera, from which frame_id is made.',
        read_only=True,
    ),
    Parameter(
        'frame_id',
        'string',
        '',
        '',
        'Optical frame (x right, y down, z forward) in all headers; '
        'empty = <camera_name>_optical_frame.',
    ),
    Parameter('world_frame', 'string', 'world', '', 'Frame in which the scene stands.'),
    Parameter(
        'publish_optical_tf',
        'bool',
        False,
        '',
        'Publish <camera_name>_link to frame_id on /tf_static.',
        read_only=True,
    ),
    Parameter(
        'calibration_file',
        'string',
        'generic_vga',
        '',
        'Sensor model: a file, file:// or package:// URL, or the name of a preset. Loading one '
        'replaces every parameter that comes from it.',
    ),
    Parameter(
        'camera_info_url',
        'string',
        '',
        '',
        'Calibration (file:// or package://, YAML as camera_calibration writes it) whose image '
        'size, K and distortion replace those of calibration_file.',
        aliases=('camerainfo_url',),
    ),
    Parameter(
        'scene_file',
        'string',
        '',
        '',
        'Scene to show: glTF, GLB, OBJ, YAML or URDF; a file, file:// or package:// URL.',
    ),
    *ROBOTS,
    # The camera pose.
    Parameter(
        'default_pose',
        'double_array',
        (-2.0, 0.0, 0.5, -0.5, 0.5, -0.5, 0.5),
        'm, quaternion',
        'Pose x y z qx qy qz qw of the optical frame in world_frame, until one is known. The '
        'default stands 2 m behind the origin and looks along +x.',
        length=7,
    ),
    Parameter(
        'wait_for_pose', 'bool', False, '', 'Take no picture before a pose has been received.'
    ),
    Parameter(
        'tf_timeout',
        'double',
        0.1,
        's',
        'Longest wait for a pose as new as the exposure, while poses arrive.',
        low=0.0,
        high=10.0,
    ),
    # The picture and when it is taken.
    Parameter(
        'output_encoding',
        'string',
        'rgb8',
        '',
        'Encoding of image_raw.',
        choices=tuple(OUTPUT_ENCODINGS),
    ),
    Parameter(
        'frame_rate',
        'double',
        30.0,
        'Hz',
        'Pictures per second; an exposure longer than its period slows it down.',
        low=0.01,
        high=1000.0,
        aliases=('framerate',),
    ),
    Parameter(
        'stamp_mode',
        'string',
        'mid',
        '',
        'Which moment of the exposure the stamp is; the pose is that at mid-exposure.',
        choices=('start', 'mid', 'end'),
    ),
    Parameter(
        'latency',
        'double',
        0.0,
        's',
        'Delay from the end of the exposure to publication; never changes the stamp.',
        low=0.0,
        high=10.0,
    ),
    Parameter(
        'latency_jitter',
        'double',
        0.0,
        's',
        'Standard deviation of the latency, cut at zero.',
        low=0.0,
        high=10.0,
    ),
    Parameter(
        'always_render',
        'bool',
        False,
        '',
        'Render also while nobody subscribes to a picture.',
    ),
    Parameter(
        'enable_depth',
        'bool',
        False,
        '',
        'Publish depth/image_raw (32FC1, m, inf = nothing there) and depth/camera_info.',
    ),
    Parameter(
        'image_raw.compressed.format',
        'string',
        'jpeg',
        '',
        'Codec of image_raw/compressed.',
        choices=FORMATS,
    ),
    Parameter(
        'image_raw.compressed.jpeg_quality',
        'integer',
        95,
        '',
        'JPEG quality, higher is better.',
        low=1,
        high=100,
    ),
    Parameter(
        'image_raw.compressed.png_level',
        'integer',
        3,
        '',
        'PNG compression, higher is smaller and slower.',
        low=0,
        high=9,
    ),
    Parameter(
        'device',
        'string',
        'auto',
        '',
        'Where to render: auto (CUDA if there, else the CPU), cpu, cuda or cuda:N.',
    ),
    Parameter('shadows', 'bool', True, '', 'Lights cast shadows, soft ones if they have a size.'),
    Parameter(
        'ambient_occlusion',
        'bool',
        False,
        '',
        'Objects keep the light of the environment away from each other.',
    ),
    Parameter('antialias', 'bool', True, '', 'Smooth the edges of objects.'),
    # What a photographer turns.
    Parameter(
        'exposure_time',
        'double',
        None,
        'µs',
        'Exposure time.',
        low=EXPOSURE_TIME[0],
        high=EXPOSURE_TIME[1],
        setting='exposure_time',
    ),
    Parameter(
        'iso',
        'double',
        None,
        '',
        'ISO speed; 100 = 0 dB.',
        low=ISO[0],
        high=ISO[1],
        setting='iso',
    ),
    Parameter(
        'gain',
        'double',
        None,
        'dB',
        'The ISO speed in decibels, 20·log10(iso / 100); setting one sets the other.',
        low=gain_from_iso(ISO[0]),
        high=gain_from_iso(ISO[1]),
        setting='iso',
    ),
    Parameter(
        'aperture',
        'double',
        None,
        '',
        'The f-number, focal length / aperture diameter.',
        low=0.5,
        high=128.0,
        setting='aperture',
    ),
    Parameter(
        'focal_length',
        'double',
        None,
        'm',
        'Focal length; K scales with it.',
        low=0.0002,
        high=5.0,
        setting='focal_length',
    ),
    Parameter(
        'focus_distance',
        'double',
        None,
        'm',
        'Distance in focus, along z, beyond the focal length; inf = far away.',
        low=0.0002,
        infinite=True,
        setting='focus_distance',
    ),
    *AUTOMATIC,
    # Switches of the camera model.
    Parameter('enable_distortion', 'bool', True, '', 'Lens distortion, camera_info included.'),
    Parameter('enable_aberration', 'bool', True, '', 'Colour fringes of the lens.'),
    Parameter('enable_vignetting', 'bool', True, '', 'Darker corners.'),
    Parameter('enable_defocus', 'bool', True, '', 'Blur of what is out of focus.'),
    Parameter('enable_glare', 'bool', True, '', 'Light that the lens scatters widely.'),
    Parameter(
        'enable_motion_blur',
        'bool',
        False,
        '',
        'Blur of what moves during the exposure, and the rolling shutter; without it a picture '
        'is of one moment, that at mid-exposure.',
    ),
    Parameter(
        'motion_blur_samples',
        'integer',
        17,
        '',
        'The most renderings of one picture; less motion takes fewer, none takes one. An even '
        'number counts as the next lower one.',
        low=3,
        high=1001,
    ),
    Parameter('enable_noise', 'bool', True, '', 'Noise of photons and electronics.'),
    Parameter(
        'noise_seed',
        'integer',
        -1,
        '',
        'Noise is a function of this and of the frame number; -1 = another at each start.',
        low=-1,
        high=2**31 - 1,
    ),
    # The body and the lens.
    *(_from_sensor(field, entry) for field, entry in SENSOR_FIELDS.items()),
)

TABLE: dict[str, Parameter] = {row.name: row for row in _TABLE}
"""Every parameter by its name."""

ALIASES: dict[str, str] = {alias: row.name for row in _TABLE for alias in row.aliases}
"""Every alias, and the name it stands for."""

GAIN_TOLERANCE = 0.01  # dB, up to which iso and gain in one call agree


def checked_changes(changes: Mapping[str, Any]) -> dict[str, Value]:
    """Return changes under their proper names and in their types; of iso and gain only iso.

    :param changes: names and values; those that are not in the table are left out.
    :raises ParameterError: for a value that is not allowed, or two that contradict each other.
    """
    result: dict[str, Value] = {}
    given: dict[str, str] = {}
    for name, value in changes.items():
        proper = ALIASES.get(name, name)
        row = TABLE.get(proper)
        if row is None:
            continue
        checked = row.check(value)
        if proper in result and result[proper] != checked:
            raise ParameterError(
                f'{given[proper]} = {result[proper]!r} and {name} = {checked!r} contradict each '
                'other: they are one parameter, set one of them'
            )
        result[proper] = checked
        given[proper] = name
    return result
