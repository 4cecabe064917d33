# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The services of a camera. They set parameters, clamped to what the camera can do."""

from __future__ import annotations

from collections.abc import Callable
import math
from typing import Any

from sensor_msgs.srv import SetCameraInfo

from diffphyscam_ros.msg import CameraState
from diffphyscam_ros.nodes import calibration_info
from diffphyscam_ros.nodes.camera_state import calibration_changes, Configuration
from diffphyscam_ros.nodes.parameter import ParameterError
from diffphyscam_ros.nodes.parameter_server import ParameterServer
from diffphyscam_ros.nodes.parameters import TABLE
from diffphyscam_ros.srv import (
    GetState,
    SetAperture,
    SetExposure,
    SetFocus,
    SetGain,
    SetIso,
)

SETTERS = {
    'exposure': (SetExposure, 'exposure_time'),
    'gain': (SetGain, 'gain'),
    'iso': (SetIso, 'iso'),
    'aperture': (SetAperture, 'aperture'),
    'focus': (SetFocus, 'focus_distance'),
}
"""Service ~/set_<name>: its type, and the parameter that it sets."""

NEAREST_FOCUS = 1.1
"""The nearest distance that a lens focuses at, in focal lengths."""


def limits(configuration: Configuration, name: str) -> tuple[float, float]:
    """Return the lowest and highest value that a setting can reach now."""
    row = TABLE[name]
    low, high = row.low, row.high
    if name == 'focus_distance':
        low = max(low, NEAREST_FOCUS * configuration.number('focal_length'))
    return low, high


def depth_of_field(configuration: Configuration) -> tuple[float, float]:
    """Return from where to where, in m, the blur is at most one pixel (CAMERA_MODEL.md eq. 2).

    With k = N·C·(1 − f/U) / (a·f²), the inverse distance at which the blur is one pixel differs
    by k from that of the focus.
    """
    sensor, settings = configuration.sensor, configuration.settings
    focus, focal = float(settings.focus_distance), float(settings.focal_length)
    gain = float(sensor.defocus_gain)
    if gain == 0.0 or not configuration.flag('enable_defocus'):
        return 0.0, math.inf
    blur = float(settings.aperture) * float(sensor.pixel_size) / (gain * focal**2)
    blur *= 1.0 - focal / focus
    dead_zone = float(sensor.defocus_dead_zone)
    near = min(1.0 / (1.0 / focus + blur), max(focus - dead_zone, 0.0))
    inverse_far = 1.0 / focus - blur
    far = math.inf if inverse_far <= 0.0 else max(1.0 / inverse_far, focus + dead_zone)
    return near, far


class CameraServices:
    """Creates the services of a node and answers them."""

    def __init__(self, node: ParameterServer, state: Callable[[], CameraState]) -> None:
        """Offer the services.

        :param state: gives the answer of ~/get_state.
        """
        self._node = node
        self._state = state
        for name, (kind, parameter) in SETTERS.items():
            node.create_service(kind, f'~/set_{name}', self._setter(name, parameter))
        node.create_service(GetState, '~/get_state', self._get_state)
        # ROS 2 Humble's drivers offer it in the namespace, Jazzy's under the node's name.
        for where in ('set_camera_info', '~/set_camera_info'):
            node.create_service(SetCameraInfo, where, self._set_camera_info)

    def _setter(self, name: str, parameter: str) -> Callable[[Any, Any], Any]:
        def answer(request: Any, response: Any) -> Any:
            target = getattr(request, f'target_{name}')
            response.success, response.message = self._set(parameter, target)
            now = self._node.configuration
            setattr(response, f'reached_{name}', now.number(parameter))
            if name == 'focus':
                response.near_limit, response.far_limit = depth_of_field(now)
            return response

        return answer

    def _set(self, parameter: str, target: float) -> tuple[bool, str]:
        """Set a parameter to the nearest value that can be reached."""
        row = TABLE[parameter]
        unit = f' {row.unit}' if row.unit else ''
        low, high = limits(self._node.configuration, parameter)
        allowed = f'must be from {low:.6g} to {high:.6g}{unit}'
        if math.isnan(target) or (math.isinf(target) and not row.infinite):
            return False, f'{parameter} = {target}: {allowed}'
        if target <= 0 and low > 0:
            return False, f'{parameter} = {target}: must be above 0; {allowed}'
        value = min(max(target, low), high)
        result = self._node.change({parameter: value})
        if not result.successful:
            return False, str(result.reason)
        if value == target:
            return True, ''
        return True, f'clamped to {value:.6g}{unit}: {parameter} {allowed}'

    def _get_state(self, request: GetState.Request, response: Any) -> Any:
        response.state = self._state()
        return response

    def _set_camera_info(self, request: Any, response: Any) -> Any:
        try:
            calibration = calibration_info.from_message(request.camera_info)
            changes = calibration_changes(self._node.configuration, calibration)
        except (ParameterError, ValueError) as error:
            response.success, response.status_message = False, str(error)
            return response
        result = self._node.change(changes, calibration)
        response.success = result.successful
        response.status_message = result.reason or 'in effect; not written to any file'
        return response
