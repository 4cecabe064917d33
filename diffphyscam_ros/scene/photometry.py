# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Lux, candela and lumen in the units of our lights."""

from __future__ import annotations

import math

NOMINAL_ILLUMINANCE = 1000.0
"""lux on a white diffuser that makes radiance 1 (the default of SensorModel.scene_illuminance)."""


def photometric_scale(nominal_illuminance: float) -> float:
    """Return what a lux is in our irradiance, and a candela in our intensity.

    Radiance 1 is a white diffuser under the nominal illuminance, so that illuminance is the
    irradiance π: E = π · lux / nominal.
    """
    return math.pi / nominal_illuminance


def solid_angle_of_spot(inner_angle: float, outer_angle: float) -> float:
    """Return ∫ of a spot light's fading over the sphere: lumen = candela on the axis · this.

    The fading is a square that rises linearly in the cosine, see
    :class:`diffphyscam_ros.scene.types.SpotLight`.

    :param inner_angle, outer_angle: radians from the axis.
    """
    inner, outer = math.cos(inner_angle), math.cos(outer_angle)
    return 2.0 * math.pi * ((1.0 - inner) + (inner - outer) / 3.0)
