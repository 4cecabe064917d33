# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The lens' stages on the CPU with gradients: compiled kernels, each with its adjoint.

Equal to ``stages.form_image`` in values and gradients within float32 rounding. What has no
adjoint of its own (the disk, occlusion, a rim, a vignetting map, the radius of glare) takes the
torch reference between the others.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch

from diffphyscam_ros.camera.aberration import is_achromatic
from diffphyscam_ros.camera.arrays import is_zero
from diffphyscam_ros.camera.circle_of_confusion import DEAD_ZONE_RAMP, SHORTEST_RAMP
from diffphyscam_ros.camera.defocus import defocus
from diffphyscam_ros.camera.glare import glare
from diffphyscam_ros.camera.intrinsics import Intrinsics
from diffphyscam_ros.camera.lens_models import fold_radius
from diffphyscam_ros.camera.plain import batch_row, batch_size, has_grad, plain_copy
from diffphyscam_ros.camera.sensor_model import SensorModel
from diffphyscam_ros.camera.settings import CameraSettings
from diffphyscam_ros.camera.vignetting import falloff_of, pupil_vignetting, vignetting_mask

_KINDS = {'plumb_bob': 1, 'rational_polynomial': 2, 'equidistant': 3}
_PINHOLE = ('fx', 'fy', 'cx', 'cy')
_SETTINGS = ('aperture', 'focal_length', 'focus_distance')
_SENSOR = (
    'pixel_size', 'distortion_coefficients', 'chromatic_scale', 'chromatic_curve',
    'vignetting_gain', 'vignetting_coefficients', 'vignetting_map', 'rim_radius', 'rim_distance',
    'defocus_gain', 'defocus_dead_zone', 'max_coc', 'glare_fraction', 'glare_radius',
)  # fmt: skip
"""The fields that the lens' stages read."""

_fold_radius = lru_cache(maxsize=16)(fold_radius)


def serves(image: torch.Tensor, depth: torch.Tensor | None) -> bool:
    """Return whether the kernels can form this picture, or these."""
    return (
        image.device.type == 'cpu'
        and image.dtype == torch.float32
        and image.ndim in (3, 4)
        and image.numel() > 0
        and min(image.shape[-3:-1]) >= 2
        and (
            depth is None
            or (
                depth.device.type == 'cpu'
                and depth.dtype == torch.float32
                and depth.ndim == image.ndim - 1
            )
        )
    )


def form_image(
    image: torch.Tensor,
    depth: torch.Tensor | None,
    settings: CameraSettings,
    sensor: SensorModel,
    stages: tuple[str, ...],
    source: Intrinsics,
    target: Intrinsics,
) -> torch.Tensor:
    """Apply the stages of the lens; parameters as of ``stages.form_image``.

    Pictures of a batch are formed one after the other.
    """
    parts = settings, sensor, source, target
    fields = _SETTINGS, _SENSOR, _PINHOLE, _PINHOLE
    sizes = [batch_size(part, names) for part, names in zip(parts, fields, strict=True)]
    if image.ndim == 3 and not any(sizes):
        return _form(image, depth, settings, sensor, stages, source, target)
    pictures = image if image.ndim == 4 else image[None]
    depths = depth if depth is None or depth.ndim == 3 else depth[None]
    sizes += [len(pictures), 0 if depths is None else len(depths)]
    count = max(sizes)
    if any(size not in (0, 1, count) for size in sizes):
        raise ValueError(
            f'a batch of {len(pictures)} pictures, settings, sensor and views of sizes '
            f'{sizes[:4]} (0: no batch): must be one size, or 1'
        )
    formed = []
    for i in range(count):
        one = pictures[i if len(pictures) > 1 else 0]
        far = None if depths is None else depths[i if len(depths) > 1 else 0]
        lens = batch_row(settings, i), batch_row(sensor, i)
        views = batch_row(source, i), batch_row(target, i)
        formed.append(_form(one, far, *lens, stages, *views))
    return torch.stack(formed)


def _form(
    image: torch.Tensor,
    depth: torch.Tensor | None,
    settings: CameraSettings,
    sensor: SensorModel,
    stages: tuple[str, ...],
    source: Intrinsics,
    target: Intrinsics,
) -> torch.Tensor:
    """Apply the stages to one picture, (H, W, 3), of at least 2 x 2 pixels."""
    mask = _mask(target, sensor, settings) if 'vignetting' in stages else None
    colours = sensor.chromatic_scale, sensor.chromatic_curve
    chromatic = 'aberration' in stages and not is_achromatic(*colours)
    if 'distortion' in stages or chromatic:
        image, depth = _warped(image, depth, sensor, stages, source, target, chromatic, mask)
    elif mask is not None:
        from diffphyscam_ros.kernels.lens_shade_adjoint import shade_picture

        image = shade_picture(image, mask)
    if 'defocus' in stages and depth is not None and not is_zero(sensor.defocus_gain):
        image = _blurred(image, depth, settings, sensor)
    if 'glare' in stages and not is_zero(sensor.glare_fraction):
        image = _with_glare(image, sensor)
    return image


def _with_glare(image: torch.Tensor, sensor: SensorModel) -> torch.Tensor:
    fraction, radius = _number(sensor.glare_fraction), _number(sensor.glare_radius)
    if has_grad(radius) or float(fraction.detach()) == 0.0:
        return glare(image, sensor.glare_fraction, sensor.glare_radius)
    from diffphyscam_ros.kernels.lens_glare_adjoint import glare_picture

    return glare_picture(image, fraction, float(radius))


def _number(value: Any) -> torch.Tensor:
    """Return one number as a () float64 tensor."""
    return torch.as_tensor(value, dtype=torch.float64).reshape(())


def _numbers(*values: Any) -> torch.Tensor:
    """Return numbers, and tensors of them, as one float64 tensor."""
    if not any(isinstance(value, torch.Tensor) for value in values):
        flat: list[float] = []
        for value in values:
            flat.extend(value if isinstance(value, tuple) else (value,))
        return torch.tensor(flat, dtype=torch.float64)
    return torch.cat([torch.as_tensor(v, dtype=torch.float64).reshape(-1) for v in values])


def _pinhole(view: Intrinsics) -> tuple[Any, ...]:
    return view.fx, view.fy, view.cx, view.cy


def _mask(
    target: Intrinsics, sensor: SensorModel, settings: CameraSettings
) -> torch.Tensor | None:
    """Return the vignetting of every pixel, (H, W), or None where there is none."""
    parts: tuple[Any, ...] = (
        *_pinhole(target),
        sensor.vignetting_gain,
        sensor.vignetting_coefficients,
        sensor.vignetting_map,
        sensor.rim_radius,
        sensor.rim_distance,
    )
    rim = not (is_zero(sensor.rim_distance) or is_zero(sensor.rim_radius))
    if rim:
        parts = (*parts, settings.focal_length, settings.aperture)
    if not has_grad(*(part for part in parts if isinstance(part, torch.Tensor))):
        plain = vignetting_mask(plain_copy(target), plain_copy(sensor), plain_copy(settings))
        return None if plain is None else torch.from_numpy(plain)
    law = _law(target, sensor)
    if rim:
        lens = settings.focal_length, settings.aperture, sensor.rim_radius, sensor.rim_distance
        like = torch.zeros((), dtype=torch.float32)
        free = pupil_vignetting(target, like, *lens)[..., 0]
        law = free if law is None else law * free
    return law


def _law(target: Intrinsics, sensor: SensorModel) -> torch.Tensor | None:
    """Return the factor of the sensor's law, (H, W), or None where it is plainly 1."""
    from diffphyscam_ros.kernels.lens_shade_adjoint import COS4, falloff, RADIAL

    size = target.height, target.width
    if sensor.vignetting_model == 'cos4':
        if is_zero(sensor.vignetting_gain):
            return None
        return falloff(_numbers(*_pinhole(target), sensor.vignetting_gain), COS4, *size)
    if sensor.vignetting_model == 'radial':
        if len(sensor.vignetting_coefficients) == 0:
            return None
        law = _numbers(*_pinhole(target), sensor.vignetting_coefficients)
        return falloff(law, RADIAL, *size)
    if len(sensor.vignetting_map) == 0:
        return None
    return falloff_of(target, sensor, torch.zeros((), dtype=torch.float32))[..., 0]


def _warped(
    image: torch.Tensor,
    depth: torch.Tensor | None,
    sensor: SensorModel,
    stages: tuple[str, ...],
    source: Intrinsics,
    target: Intrinsics,
    chromatic: bool,
    mask: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    from diffphyscam_ros.kernels.lens_map import LENS, NONE, NUMBERS
    from diffphyscam_ros.kernels.lens_warp_adjoint import warp_picture

    moved = 'distortion' in stages
    coefficients: Any = sensor.distortion_coefficients if moved else ()
    pinholes = (*_pinhole(target), *_pinhole(source if moved else target))
    kind, limit = NONE, float('inf')
    rest: list[Any] = [torch.zeros(NUMBERS - LENS, dtype=torch.float64)]
    if len(coefficients):
        kind = _KINDS[sensor.distortion_model]
        plain = torch.as_tensor(coefficients, dtype=torch.float64).detach().tolist()
        limit = _fold_radius(sensor.distortion_model, tuple(plain))
        rest = [coefficients, rest[0][len(coefficients) :]]
    rays = _numbers(*pinholes)
    lens = _numbers(*rest)
    if chromatic:
        scale, curve = (
            torch.as_tensor(colour, dtype=torch.float64).reshape(-1).expand(3)
            for colour in (sensor.chromatic_scale, sensor.chromatic_curve)
        )
        colours = torch.stack((scale, curve), dim=1)
    else:
        colours = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    count = len(colours)
    parts = rays.expand(count, -1), colours, lens.expand(count, -1)
    numbers = torch.cat(parts, dim=1)
    size = target.height, target.width
    shading = torch.ones(size) if mask is None else mask
    far = None
    if chromatic and moved:
        far = torch.cat((rays, torch.tensor([1.0, 0.0], dtype=torch.float64), lens)).detach()
    given = depth if moved else None
    out, out_depth = warp_picture(image, given, shading, numbers, kind, limit, not moved, far)
    assert out is not None
    return out, out_depth if given is not None else depth


def _blurred(
    image: torch.Tensor, depth: torch.Tensor, settings: CameraSettings, sensor: SensorModel
) -> torch.Tensor:
    from diffphyscam_ros.kernels.defocus_adjoint import defocus_gaussian
    from diffphyscam_ros.kernels.lens_blur_adjoint import signed_circle_of_confusion

    zone = _number(sensor.defocus_dead_zone)
    ramp = max(DEAD_ZONE_RAMP * float(zone.detach()), SHORTEST_RAMP)
    coc = signed_circle_of_confusion(
        depth,
        _number(settings.aperture),
        _number(settings.focal_length),
        _number(settings.focus_distance),
        _number(sensor.pixel_size),
        _number(sensor.defocus_gain),
        zone,
        _number(sensor.max_coc),
        ramp,
    )
    if sensor.psf == 'gaussian' and not sensor.defocus_occlusion:
        return defocus_gaussian(image, coc)
    return defocus(
        image,
        coc,
        sensor.psf,
        occlusion=sensor.defocus_occlusion,
        blades=sensor.aperture_blades,
        rotation=sensor.aperture_rotation,
    )
