# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""From digital values back to light: what a light meter in the camera reads."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.camera.plain import plain_copy
from diffphyscam_ros.camera.response import respond
from diffphyscam_ros.camera.sensor_model import SensorModel

TOP = 1.0 - 1.0 / 512.0
"""A digital value from here on is full scale: half a step of 8 bits below 1."""

STEPS = 4096
"""Of the inverse of a response table."""

LEAST = 1e-20


def light_of(values: torch.Tensor, sensor: SensorModel) -> torch.Tensor:
    """Return the light of a picture's values, as a share of that at the end of the response.

    The inverse of the response (CAMERA_MODEL.md eq. 5), channel by channel. White balance is
    undone before the curve and applied again after it, so that 1 is also what the balanced picture
    can show. The colour matrix is not undone.

    :param values: (..., 3) digital values in [0, 1].
    :param sensor: the camera that took them; its tensors are taken as plain numbers.
    :return: (..., 3) in [0, 1].
    """
    model = plain_copy(sensor)
    gains = _colour(model.response_gains, values).clamp(min=LEAST)
    biases = _colour(model.response_biases, values)
    balance = _colour(model.white_balance, values).clamp(min=LEAST)
    kind, gamma = model.response_type, float(model.response_gamma)
    table = tuple(model.response_table)

    def signal(curve: torch.Tensor) -> torch.Tensor:
        if kind == 'linear':
            return (curve - biases) / gains
        if kind == 'gamma':
            return torch.exp2(((curve - biases) / gains).clamp(min=0.0) ** (1.0 / gamma))
        if kind == 'sigmoid':
            return (torch.logit(curve.clamp(1.0 - TOP, TOP)) - biases) / gains
        return (_position(curve, table) - biases) / gains

    full = signal(torch.ones_like(gains))
    plain = bool((balance == 1.0).all())
    light = signal(values if plain else values / balance) / full.clamp(min=LEAST)
    light = light.clamp(0.0, 1.0)
    return light if plain else (light * balance).clamp(max=1.0)


def saturated(values: torch.Tensor, sensor: SensorModel, iso: float) -> torch.Tensor:
    """Return which pixels have a channel at its end, (...): of the response or the full well.

    :param values: (..., 3) digital values in [0, 1].
    :param iso: S of the picture.
    """
    model = plain_copy(sensor)
    ends = _colour(model.white_balance, values).clamp(max=1.0) * TOP
    if model.full_well is not None:
        well = torch.full_like(ends, float(model.full_well))[None, None]
        level = respond(
            well,
            iso,
            model.response_type,
            model.response_gains,
            model.response_biases,
            model.response_gamma,
            table=model.response_table,
        )
        ends = torch.minimum(ends, level[0, 0] * _colour(model.white_balance, values) * TOP)
    return (values >= ends).any(dim=-1)


def _colour(value: object, like: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(value, dtype=like.dtype, device=like.device)


@lru_cache(maxsize=4)
def _inverse_table(table: tuple[float, ...]) -> npt.NDArray[np.float32]:
    """Return where in [0, 1] a table that never falls reaches each of ``STEPS`` even values."""
    places = np.interp(np.linspace(0.0, 1.0, STEPS), table, np.linspace(0.0, 1.0, len(table)))
    return places.astype(np.float32)


def _position(curve: torch.Tensor, table: tuple[float, ...]) -> torch.Tensor:
    """Return where in [0, 1] a response table reaches these values, to 1/8192."""
    # Not with torch, whose indexing starts its threads for a few thousand values.
    values = curve.detach().cpu().numpy()
    index = (values.clip(0.0, 1.0) * (STEPS - 1) + 0.5).astype(np.int32)
    return torch.from_numpy(_inverse_table(table)[index]).to(curve)
