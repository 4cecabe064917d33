# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What calibration finds: a camera body with its lens."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
import math
from pathlib import Path
from typing import Any

import torch

from diffphyscam_ros.camera.arrays import Colour
from diffphyscam_ros.camera.demosaic import DEMOSAICS
from diffphyscam_ros.camera.intrinsics import Intrinsics, Scalar
from diffphyscam_ros.camera.lens_models import check_coefficients, COEFFICIENTS, Coefficients
from diffphyscam_ros.camera.mosaic import BAYER_PATTERNS
from diffphyscam_ros.camera.response import KINDS
from diffphyscam_ros.camera.settings import CameraSettings

Pair = tuple[float, float] | torch.Tensor

PSFS = ('gaussian', 'disk', 'polygon')
VIGNETTING_MODELS = ('cos4', 'radial', 'map')


@dataclass(frozen=True)
class Parameter:
    """What is known about one field of the sensor model.

    :param unit: as written in the YAML file; '' for words and flags.
    :param about: one line for people.
    :param size: 1 for a number, n for n numbers, None for any count.
    :param low: smallest allowed value.
    :param high: largest allowed value.
    :param open_low: ``low`` itself is not allowed.
    :param whole: only integers.
    :param choices: the allowed words; such a field is no number.
    :param flag: true or false.
    :param optional: may be None.
    """

    unit: str
    about: str
    size: int | None = 1
    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    whole: bool = False
    choices: tuple[str, ...] = ()
    flag: bool = False
    optional: bool = False

    @property
    def numeric(self) -> bool:
        """Whether the field holds numbers (and so has a unit in the YAML file)."""
        return not (self.choices or self.flag)


def _field(default: Any, unit: str, about: str, **limits: Any) -> Any:
    return field(default=default, metadata={'parameter': Parameter(unit, about, **limits)})


@dataclass(frozen=True)
class SensorModel:
    """A camera body with a lens (CAMERA_MODEL.md, "What calibration finds").

    Every number may be a float, a tuple, or a tensor that requires grad; the picture is
    differentiable in all but the sizes and seeds. ``PARAMETERS`` lists the fields with unit and
    range; ``dataclasses.replace`` changes some.

    :raises ValueError: for a value out of range, naming field, value and what is allowed.
    """

    name: str = 'ideal'
    image_width: int = _field(640, 'px', 'columns', low=1, whole=True)
    image_height: int = _field(480, 'px', 'rows', low=1, whole=True)
    pixel_size: Scalar = _field(6e-6, 'm', 'pixel pitch C', low=0, open_low=True)
    focal_scale: Pair = _field(
        (1.0, 1.0), '1', 'fx and fy of K in units of f/C', size=2, low=0, open_low=True
    )
    principal_point: Pair | None = _field(
        None, 'px', 'cx and cy of K; null = the centre', size=2, optional=True
    )
    quantum_efficiency: Colour = _field(
        (1.0, 1.0, 1.0), '1', 'QE of red, green, blue', size=3, low=0
    )
    scene_illuminance: Scalar = _field(1000.0, 'lux', 'P, at radiance 1', low=0, open_low=True)
    defocus_gain: Scalar = _field(1.0, '1', 'a; 0 = everything sharp', low=0)
    defocus_dead_zone: Scalar = _field(0.0, 'm', 'b, depth range that stays sharp', low=0)
    max_coc: Scalar = _field(31.0, 'px', 'largest blur diameter', low=1, high=101)
    psf: str = _field('gaussian', '', 'shape of the blur', choices=PSFS)
    aperture_blades: int = _field(6, '1', 'n of the polygon PSF', low=3, high=32, whole=True)
    aperture_rotation: float = _field(0.0, 'rad', 'of the polygon PSF, clockwise')
    defocus_occlusion: bool = _field(False, '', 'near surfaces hide far ones', flag=True)
    vignetting_model: str = _field('cos4', '', 'law of the vignetting', choices=VIGNETTING_MODELS)
    vignetting_gain: Scalar = _field(0.0, '1', 'G_v of cos4; 1 = cos^4', low=0, high=1)
    vignetting_coefficients: Coefficients = _field(
        (), '1', 'k of radial: 1 + k1 r^2 + k2 r^4 ..., r = tan(theta)', size=None
    )
    vignetting_map: Coefficients = _field(
        (), '1', 'of map: rows of a grid over the picture', size=None, low=0
    )
    vignetting_map_columns: int = _field(0, '1', 'columns of that grid', low=0, whole=True)
    rim_radius: Scalar = _field(0.0, 'm', 'radius of the front rim; 0 = wide', low=0)
    rim_distance: Scalar = _field(
        0.0, 'm', 'rim to entrance pupil; 0 = no mechanical vignetting', low=0
    )
    chromatic_scale: Colour = _field(
        (1.0, 1.0, 1.0), '1', 'magnification of red, green, blue', size=3, low=0.5, high=2
    )
    chromatic_curve: Colour = _field(
        (0.0, 0.0, 0.0), '1', 'growth of it with r^2, r = tan(theta)', size=3, low=-1, high=1
    )
    glare_fraction: Scalar = _field(0.0, '1', 'share of light scattered widely', low=0, high=1)
    glare_radius: Scalar = _field(8.0, 'px', 'sigma of the narrowest glare', low=1, high=256)
    aggregator_gain: Scalar = _field(
        1e8, 'e-/(lux.m2.s)', 'G_a, electrons gathered', low=0, open_low=True
    )
    response_type: str = _field('linear', '', 'shape of the response curve', choices=KINDS)
    response_gains: Colour = _field((1.0, 1.0, 1.0), '1', 'g of red, green, blue', size=3)
    response_biases: Colour = _field((0.0, 0.0, 0.0), '1', 'o of red, green, blue', size=3)
    response_gamma: Scalar = _field(1.0, '1', 'exponent of the gamma response', low=0)
    response_table: Coefficients = _field(
        (0.0, 1.0), '1', 'of table: values at even steps of g*S*X + o', size=None, low=0, high=1
    )
    dark_current: Colour = _field((0.0, 0.0, 0.0), 'e-/s', 'D of each channel', size=3, low=0)
    shot_noise_gain: Colour = _field(
        (0.0, 0.0, 0.0), 'sqrt(e-)', 'n_s of each channel', size=3, low=0
    )
    read_noise: Colour = _field((0.0, 0.0, 0.0), 'e-', 'sigma_r of each channel', size=3, low=0)
    read_noise_fixed: bool = _field(
        True,
        '',
        'read noise is one fixed pattern, as in the paper; false = new each frame',
        flag=True,
    )
    dsnu: Colour = _field((0.0, 0.0, 0.0), 'e-', 'fixed pattern in the dark', size=3, low=0)
    prnu: Colour = _field((0.0, 0.0, 0.0), '1', 'fixed pattern of the gain', size=3, low=0)
    hot_pixel_fraction: float = _field(0.0, '1', 'share of hot photosites', low=0, high=1)
    hot_pixel_current: Scalar = _field(0.0, 'e-/s', 'mean dark current of a hot photosite', low=0)
    fixed_pattern_seed: int = _field(1234, '1', 'which fixed pattern', whole=True)
    full_well: Scalar | None = _field(
        None,
        'e-',
        'most that a photosite holds; null = no limit',
        low=0,
        open_low=True,
        optional=True,
    )
    black_level: Scalar = _field(0.0, '1', 'digital value of darkness', low=0, high=0.9)
    bit_depth: int = _field(0, 'bit', '8 to 16; 0 = not quantised', low=0, high=16, whole=True)
    bayer_pattern: str = _field('none', '', 'colours of the photosites', choices=BAYER_PATTERNS)
    demosaic: str = _field('malvar', '', 'from mosaic to colours', choices=DEMOSAICS)
    white_balance: Colour = _field(
        (1.0, 1.0, 1.0), '1', 'gains of red, green, blue', size=3, low=0
    )
    color_matrix: Coefficients = _field(
        (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
        '1',
        'rows; applied to balanced colours',
        size=9,
    )
    shutter_mode: str = _field('global', '', 'how rows are exposed', choices=('global', 'rolling'))
    readout_time: Scalar = _field(0.0, 's', 'first to last row of a rolling shutter', low=0)
    distortion_model: str = _field(
        'plumb_bob', '', 'lens model of CameraInfo', choices=tuple(COEFFICIENTS)
    )
    distortion_coefficients: Coefficients = _field(
        (), '1', "in CameraInfo's order; [] = no distortion", size=None
    )
    focus_breathing: bool = _field(False, '', 'K follows the focus distance', flag=True)
    settings: CameraSettings = field(default_factory=CameraSettings)

    def __post_init__(self) -> None:
        """Check every field and turn lists and integers into tuples and floats."""
        for name, parameter in PARAMETERS.items():
            object.__setattr__(self, name, _checked(name, getattr(self, name), parameter))
        check_coefficients(self.distortion_model, self.distortion_coefficients)
        self._check_tables()
        gamma = torch.as_tensor(self.response_gamma).detach()
        if self.response_type == 'gamma' and not bool((gamma > 0).all()):
            raise ValueError(
                f'response_gamma = {self.response_gamma}: must be > 0 where response_type is '
                "'gamma'"
            )
        if not isinstance(self.settings, CameraSettings):
            raise ValueError(f'settings = {self.settings!r}: must be CameraSettings')

    def _check_tables(self) -> None:
        """Refuse tables of a wrong size or order."""
        if self.bit_depth and self.bit_depth < 8:
            raise ValueError(f'bit_depth = {self.bit_depth}: must be 8 to 16, or 0 for none')
        table = torch.as_tensor(self.response_table, dtype=torch.float64).detach()
        if table.shape[-1] < 2 or bool((table.diff(dim=-1) < 0).any()):
            raise ValueError(
                f'response_table = {self.response_table!r}: must be at least 2 values that never '
                'fall'
            )
        count, columns = len(self.vignetting_map), self.vignetting_map_columns
        if count and (columns < 2 or count % columns or count < 2 * columns):
            raise ValueError(
                f'vignetting_map has {count} values, vignetting_map_columns = {columns}: must be '
                'at least 2 rows of that many columns, at least 2'
            )
        if self.vignetting_model == 'map' and not count:
            raise ValueError("vignetting_model = 'map': vignetting_map must not be empty")

    @classmethod
    def load(cls, path: str | Path) -> SensorModel:
        """Read our YAML, or the reference implementation's JSON.

        :raises ValueError: naming the file and every unknown, missing or bad entry.
        """
        from diffphyscam_ros.camera.sensor_model_io import load

        return load(Path(path))

    def save(self, path: str | Path) -> None:
        """Write our YAML; the file is replaced at once or not at all."""
        from diffphyscam_ros.camera.sensor_model_io import save

        save(self, Path(path))

    @classmethod
    def preset(cls, name: str) -> SensorModel:
        """Load one of the cameras in config/cameras by the name of its file.

        :raises ValueError: for an unknown name, listing those there are.
        """
        from diffphyscam_ros.camera.presets import preset_path

        return cls.load(preset_path(name))

    def intrinsics(self, settings: CameraSettings | None = None) -> Intrinsics:
        """Return K as published in camera_info, for these settings or the nominal ones.

        fx = focal_scale·f/C; with ``focus_breathing`` f is replaced by the distance of the image
        plane, v = f·U / (U − f).
        """
        settings = settings or self.settings
        focal = settings.focal_length
        if self.focus_breathing:
            focal = focal / (1 - focal / settings.focus_distance)
        scale = focal / self.pixel_size
        if self.principal_point is None:
            cx: Scalar = (self.image_width - 1) / 2.0
            cy: Scalar = (self.image_height - 1) / 2.0
        else:
            cx, cy = self.principal_point[0], self.principal_point[1]
        return Intrinsics(
            self.image_width,
            self.image_height,
            self.focal_scale[0] * scale,
            self.focal_scale[1] * scale,
            cx,
            cy,
        )

    def resized(self, width: int, height: int) -> SensorModel:
        """Return the same body and lens giving pictures of another size, as by binning.

        The horizontal field of view stays: the pixels grow by W₀/W, the rows are cut or added
        symmetrically. Neighbours are averaged, not summed, so brightness stays (G_a shrinks by
        the square); the largest blur keeps its size on the sensor.
        """
        ratio = width / self.image_width
        centre = ((self.image_width - 1) / 2.0, (self.image_height - 1) / 2.0)
        new_centre = ((width - 1) / 2.0, (height - 1) / 2.0)
        point = self.principal_point
        if isinstance(point, torch.Tensor):
            point = (point - point.new_tensor(centre)) * ratio + point.new_tensor(new_centre)
        elif point is not None:
            point = (
                (point[0] - centre[0]) * ratio + new_centre[0],
                (point[1] - centre[1]) * ratio + new_centre[1],
            )
        return replace(
            self,
            image_width=width,
            image_height=height,
            pixel_size=self.pixel_size / ratio,
            aggregator_gain=self.aggregator_gain * ratio**2,
            max_coc=_within(self.max_coc * ratio, 1.0, 101.0),
            principal_point=point,
            glare_radius=_within(self.glare_radius * ratio, 1.0, 256.0),
        )


PARAMETERS: dict[str, Parameter] = {
    item.name: item.metadata['parameter']
    for item in fields(SensorModel)
    if 'parameter' in item.metadata
}
"""The fields of the sensor model but name and settings, with unit, range and description."""


def _within(value: Scalar, low: float, high: float) -> Scalar:
    """Hold a number or a tensor to a range."""
    if isinstance(value, torch.Tensor):
        return value.clamp(low, high)
    return min(max(value, low), high)


def _range_text(parameter: Parameter) -> str:
    kind = 'an integer' if parameter.whole else 'a number'
    if parameter.size != 1:
        kind = f'{parameter.size or "any count of"} numbers'
    if parameter.low > -math.inf:
        kind += f' {">" if parameter.open_low else ">="} {parameter.low:g}'
    if parameter.high < math.inf:
        kind += f' and <= {parameter.high:g}'
    if parameter.unit:
        kind += f' [{parameter.unit}]'
    return kind + (', or null' if parameter.optional else '')


def _in_range(value: Any, parameter: Parameter) -> torch.Tensor | None:
    """Return a field's numbers, or None where they are none or not allowed."""
    if isinstance(value, (bool, str)):
        return None
    try:
        numbers = torch.as_tensor(value, dtype=torch.float64).detach()
    except (TypeError, ValueError, RuntimeError):
        return None
    if parameter.size == 1:
        shaped = numbers.ndim == 0 or (isinstance(value, torch.Tensor) and numbers.ndim == 1)
    else:
        shaped = 1 <= numbers.ndim <= 2 and parameter.size in (None, numbers.shape[-1])
    low_enough = numbers > parameter.low if parameter.open_low else numbers >= parameter.low
    good = numbers.isfinite() & low_enough & (numbers <= parameter.high)
    if parameter.whole:
        good = good & (numbers == numbers.round())
    return numbers if shaped and bool(good.all()) else None


def _checked(name: str, value: Any, parameter: Parameter) -> Any:
    """Return a field's value in its canonical type, or refuse it."""
    if parameter.flag:
        if not isinstance(value, bool):
            raise ValueError(f'{name} = {value!r}: must be true or false')
        return value
    if parameter.choices:
        if value not in parameter.choices:
            raise ValueError(f'{name} = {value!r}: must be one of {", ".join(parameter.choices)}')
        return value
    if value is None and parameter.optional:
        return None
    numbers = _in_range(value, parameter)
    if numbers is None:
        raise ValueError(f'{name} = {value!r}: must be {_range_text(parameter)}')
    if parameter.whole:
        return int(value)
    if isinstance(value, torch.Tensor):
        return value
    return float(value) if parameter.size == 1 else tuple(float(number) for number in value)
