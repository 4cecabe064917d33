# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""How large a point at a given depth appears on the sensor (CAMERA_MODEL.md eq. 2)."""

from __future__ import annotations

import torch

from diffphyscam_ros.camera.intrinsics import Scalar

DEAD_ZONE_RAMP, SHORTEST_RAMP = 0.25, 1e-3
"""Depth over which the gradient to the dead zone is taken: a share of it, and at least that, m."""


def circle_of_confusion(
    depth: torch.Tensor,
    aperture: Scalar,
    focal_length: Scalar,
    focus_distance: Scalar,
    pixel_size: Scalar,
    gain: Scalar = 1.0,
    dead_zone: Scalar = 0.0,
    max_coc: Scalar | None = None,
    signed: bool = False,
) -> torch.Tensor:
    """Return the diameter of the blur circle of every pixel, (..., H, W) px.

    CAMERA_MODEL.md eq. 2: c = a·f²·|d − U| / (N·C·d·(U − f)), 0 where |d − U| ≤ b, at most
    max_coc. It is evaluated in inverse distances, c = a·f²/(N·C) · |1/U − 1/d| / (1 − f/U),
    which needs no special case for a focus or a point at infinity.

    Differentiable in depth and in every argument that is a tensor, with these exceptions: inside
    the dead zone every gradient is zero; so it is where c is cut at max_coc (the cut passes it to
    max_coc), exactly in focus (the kink of |·|), and to a depth that means infinitely far. The
    dead zone is a hard switch. Its own gradient is that of a ramp from b outwards, a quarter of b
    long: the slope of a sum over a surface whose depth varies smoothly, not of a single pixel.

    :param depth: (..., H, W) z-depth in m; 0, below 0, inf or NaN mean infinitely far.
    :param aperture: f-number N > 0. This and all that follow: a number, or a tensor () or (B,).
    :param focal_length: f > 0 in m.
    :param focus_distance: U > f in m, may be inf.
    :param pixel_size: pixel pitch C > 0 in m.
    :param gain: defocus gain a ≥ 0.
    :param dead_zone: b ≥ 0 in m.
    :param max_coc: largest diameter in px, ≥ 0; None for no limit.
    :param signed: give c a minus sign in front of the focus (d < U). Then it grows with depth,
        linear in 1/d: surfaces are in its order along a ray.
    :return: the dtype of depth; (B, H, W) for settings of shape (B,) and one depth picture.
    :raises ValueError: for a value out of range or a wrong shape.
    """
    if depth.ndim < 2 or not depth.is_floating_point():
        raise ValueError(
            f'depth has shape {tuple(depth.shape)} and dtype {depth.dtype}: must be a '
            'floating-point (..., H, W) in metres'
        )
    work = torch.promote_types(depth.dtype, torch.float32)  # f² underflows in half precision
    f = _setting('focal_length', focal_length, depth, work)
    n = _setting('aperture', aperture, depth, work)
    pitch = _setting('pixel_size', pixel_size, depth, work)
    a = _setting('gain', gain, depth, work, zero_allowed=True)
    b = _setting('dead_zone', dead_zone, depth, work, zero_allowed=True)
    u = _setting('focus_distance', focus_distance, depth, work, infinite_allowed=True)
    if not bool((torch.as_tensor(u).detach() > torch.as_tensor(f).detach()).all()):
        raise ValueError(
            f'focus_distance = {focus_distance} m: must be greater than the focal length '
            f'{focal_length} m; a lens cannot focus nearer'
        )

    d = depth.to(work)
    hit = (d > 0) & torch.isfinite(d)
    inverse_depth = torch.where(hit, 1.0 / torch.where(hit, d, 1.0), 0.0)
    inverse_focus = 1.0 / u
    scale = a * f * f / (n * pitch * (1.0 - f * inverse_focus))
    offset = inverse_focus - inverse_depth
    coc = scale * offset.abs()
    in_dead_zone = hit & ((d - u).abs() <= b)
    switched = torch.where(in_dead_zone, 0.0, coc)
    if isinstance(b, torch.Tensor) and b.requires_grad:
        switched = switched + _slope_of_dead_zone(coc, hit, d - u, b)
    coc = switched
    if max_coc is not None:
        limit = _setting('max_coc', max_coc, depth, work, zero_allowed=True)
        coc = torch.minimum(coc, torch.as_tensor(limit, dtype=work, device=depth.device))
    if signed:
        coc = torch.where(offset < 0, -coc, coc)
    return coc.to(depth.dtype)


def _slope_of_dead_zone(
    coc: torch.Tensor, hit: torch.Tensor, offset: torch.Tensor, dead_zone: torch.Tensor
) -> torch.Tensor:
    """Return zeros whose gradient is that of a ramp instead of the switch.

    :param coc: c without the dead zone; offset: d − U in m.
    """
    ramp = (DEAD_ZONE_RAMP * dead_zone.detach()).clamp(min=SHORTEST_RAMP)
    beyond = (offset.detach().abs() - dead_zone) / ramp  # 0 where the zone ends, 1 a ramp farther
    there = hit & (beyond > 0) & (beyond < 1)
    covered = torch.where(there, coc.detach() * beyond, 0.0)
    return covered - covered.detach()


def _setting(
    name: str,
    value: Scalar,
    depth: torch.Tensor,
    dtype: torch.dtype,
    *,
    zero_allowed: bool = False,
    infinite_allowed: bool = False,
) -> Scalar:
    """Check one number and shape it to broadcast against (..., H, W)."""
    plain = torch.as_tensor(value).detach()
    if plain.ndim > 1:
        raise ValueError(f'{name} has shape {tuple(plain.shape)}: must be () or (B,)')
    good = (plain >= 0) if zero_allowed else (plain > 0)
    if not infinite_allowed:
        good = good & torch.isfinite(plain)
    if not bool(good.all()):
        allowed = '>= 0' if zero_allowed else '> 0'
        finite = '' if infinite_allowed else ' and finite'
        raise ValueError(f'{name} = {plain.tolist()}: must be {allowed}{finite}')
    if not isinstance(value, torch.Tensor):
        return float(value)
    value = value.to(device=depth.device, dtype=dtype)
    return value[:, None, None] if value.ndim == 1 else value
