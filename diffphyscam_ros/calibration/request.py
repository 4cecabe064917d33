# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What is to be calibrated from what, and when it is good enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffphyscam_ros.calibration.errors import CalibrationError
from diffphyscam_ros.calibration.targets import Target
from diffphyscam_ros.calibration.types import ROLES
from diffphyscam_ros.camera.lens_models import COEFFICIENTS
from diffphyscam_ros.camera.sensor_model import SensorModel

MODELS = (*COEFFICIENTS, 'auto')

STAGE_NAMES = ('intrinsics', 'vignetting', 'response', 'noise', 'defocus', 'colour', 'joint')

_CONSTANTS = {
    'exposure_us': ('exposure_time', 1e-6),
    'exposure_ms': ('exposure_time', 1e-3),
    'exposure_time': ('exposure_time', 1.0),
    'gain_db': ('iso', 0.0),
    'iso': ('iso', 1.0),
    'aperture': ('aperture', 1.0),
    'focus_distance_m': ('focus_distance', 1.0),
    'focus_distance': ('focus_distance', 1.0),
    'focal_length_mm': ('focal_length', 1e-3),
    'focal_length': ('focal_length', 1.0),
}


def parse_constant(text: str) -> tuple[str, float]:
    """Return field and value, in SI, of a setting that never changed, as exposure_us=5000.

    :raises CalibrationError: for another name, or no number.
    """
    name, sign, number = text.partition('=')
    if not sign or name not in _CONSTANTS:
        raise CalibrationError(
            'constant', text, allowed=f'NAME=NUMBER, NAME one of {", ".join(_CONSTANTS)}'
        )
    try:
        value = float(number)
    except ValueError:
        raise CalibrationError(f'constant {name}', number, allowed='a number') from None
    field_, scale = _CONSTANTS[name]
    if name == 'gain_db':
        return field_, float(100.0 * 10.0 ** (value / 20.0))
    return field_, value * scale


def parse_role(text: str) -> tuple[str, str]:
    """Return bag and role of BAG=ROLE.

    :raises CalibrationError: for anything else.
    """
    bag, sign, name = text.rpartition('=')
    if not sign or not bag or name not in ROLES:
        raise CalibrationError('role', text, allowed=f'BAG=ROLE, ROLE one of {", ".join(ROLES)}')
    return bag.rstrip('/'), name


def load_sensor(name: str) -> SensorModel:
    """Return a sensor model by the name of a preset or of a file.

    :raises ValueError: for an unknown preset or a broken file.
    """
    if Path(name).suffix in ('.yaml', '.yml', '.json'):
        return SensorModel.load(name)
    return SensorModel.preset(name)


@dataclass(frozen=True)
class Thresholds:
    """What a calibration must reach to pass.

    :param reprojection: px, the most that corners may be off in views that were held out (rms).
    :param weak: whether parameters with little to go by are good enough.
    :param require: stages that must have estimated something.
    """

    reprojection: float = 0.5
    weak: bool = False
    require: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a limit that nothing can keep."""
        if not self.reprojection > 0:
            raise CalibrationError(
                'the reprojection threshold', self.reprojection, allowed='greater than 0 px'
            )
        for stage in self.require:
            if stage not in STAGE_NAMES:
                raise CalibrationError(
                    'required stage', stage, allowed=f'one of {", ".join(STAGE_NAMES)}'
                )


@dataclass(frozen=True)
class Request:
    """One calibration.

    :param bags: of one camera.
    :param target: the board; None = boards are not looked for.
    :param sensor: what is known of the camera before; None = nothing.
    :param sensor_name: what to call that in files.
    :param name: of the camera, and of its files.
    :param model: lens model, one of ``MODELS``.
    :param fixed: distortion coefficients that stay 0.
    :param image_topic, settings, csv, constants, roles, tolerance, driver, driver_node, encoding,
        bit_depth: as of ``Recording``.
    :param edge_distance: m along z, of the one slanted edge in frames of role 'focus'; None = the
        edges of the board are measured.
    :param cache: whether detected boards are remembered between runs.
    :param joint: whether what the stages found is refined together in the end.
    :param seed: of what is drawn by chance there: photosites, and which frames are held out.
    :param kalibr: write Kalibr's camchain too; ``tum``: TUM's response and vignette.
    """

    bags: tuple[Path, ...]
    target: Target | None = None
    sensor: SensorModel | None = None
    sensor_name: str = ''
    name: str = 'camera'
    model: str = 'plumb_bob'
    fixed: tuple[str, ...] = ()
    image_topic: str | None = None
    settings: str = 'auto'
    csv: Path | None = None
    constants: Mapping[str, Any] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    tolerance: float | None = None
    driver: str = ''
    driver_node: str = ''
    encoding: str = ''
    bit_depth: int = 0
    edge_distance: float | None = None
    cache: bool = True
    joint: bool = True
    seed: int = 0
    kalibr: bool = False
    tum: bool = False
    thresholds: Thresholds = field(default_factory=Thresholds)

    def __post_init__(self) -> None:
        """Refuse what cannot be a camera's name or a lens model."""
        if not self.name or any(sign in self.name for sign in '/\\\n'):
            raise CalibrationError('name', self.name, allowed='a word that can name files')
        if self.model not in MODELS:
            raise CalibrationError('lens model', self.model, allowed=f'one of {", ".join(MODELS)}')
        if self.seed < 0:
            raise CalibrationError('seed', self.seed, allowed='an integer >= 0')
