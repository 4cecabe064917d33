# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Shading by the CPU kernels with a hand-written gradient.

Equal to :func:`diffphyscam_ros.render.shading.shade` in values and gradients, in float32. The
gradient is the same bit for bit on any number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch.autograd.function import once_differentiable

from diffphyscam_ros.kernels.buffers import BufferPool
from diffphyscam_ros.kernels.schedule import spread_order
from diffphyscam_ros.kernels.shade_adjoint import shade_adjoint
from diffphyscam_ros.render.frame import Frame
from diffphyscam_ros.render.fused_shading import (
    environment_arrays,
    geometry_arrays,
    material_arrays,
    NO_PLACES,
    shade_fused,
    visibility_arrays,
)
from diffphyscam_ros.render.gradient_tables import band_count, GradientTables, NO_TABLE
from diffphyscam_ros.render.interpolation import normal_matrices
from diffphyscam_ros.render.lighting import turned_irradiance
from diffphyscam_ros.render.materials import NORMAL_TEXTURE
from diffphyscam_ros.render.radiance import Radiance
from diffphyscam_ros.render.reflectance import environment_table
from diffphyscam_ros.render.shading import CLOSED, Shaded

# The order of the inputs that carry gradients.
INPUTS = (
    'camera',
    'normals',
    'uvs',
    'colors',
    'atlas',
    'glossy',
    'picture',
    'factors',
    'lights',
    'irradiance',
    'turn',
    'rotate',
    'pinhole',
    'intensity',
)
TABLES = INPUTS[:7]
SUMS = INPUTS[7:]
SURFACE = ('camera', 'normals', 'uvs', 'colors', 'rotate', 'pinhole')

Gradients = dict[str, torch.Tensor | None]


@dataclass(frozen=True)
class _Plan:
    """What a backward pass needs besides the inputs.

    :param triangles: (H·W,) int32; ``places``: (H·W, 2).
    """

    triangles: npt.NDArray[np.int32]
    frame: Frame
    buffers: BufferPool
    tables: GradientTables
    places: npt.NDArray[np.float32] | None


class _ShadedPicture(torch.autograd.Function):
    """Colour, depth, normal, instance and alpha as a function of the ``INPUTS``."""

    @staticmethod
    def forward(ctx: Any, plan: _Plan, *inputs: torch.Tensor | None) -> tuple[Any, ...]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs)
        ctx.plan = plan
        camera = cast(torch.Tensor, inputs[0]).detach().numpy()
        triangles = torch.from_numpy(plan.triangles)
        shaded = shade_fused(triangles, plan.frame, camera, plan.buffers, plan.places)
        picture = shaded.radiance
        if shaded.alpha is not None:  # the kernel leaves closed pixels as they are
            closed = (torch.from_numpy(plan.triangles) == CLOSED).reshape(shaded.alpha.shape)
            for part in (picture.color, picture.depth, picture.normal, shaded.alpha):
                part[closed] = 0.0
        # Nothing behind the renderer should ask for derivatives that end here.
        wanted = dict(zip(INPUTS, ctx.needs_input_grad[1:], strict=True))
        flags = plan.frame.materials.flags
        bent = bool((flags[:, NORMAL_TEXTURE] >= 0).any())
        turned = any(wanted[name] for name in (*SURFACE, *(('atlas', 'factors') if bent else ())))
        moved = wanted['camera'] or wanted['pinhole']
        fixed = [picture.instance]
        fixed += [] if turned else [picture.normal]
        fixed += [] if moved else [picture.depth]
        ctx.mark_non_differentiable(*fixed)
        return picture.color, picture.depth, picture.normal, picture.instance, shaded.alpha

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,
        to_color: torch.Tensor | None,
        to_depth: torch.Tensor | None,
        to_normal: torch.Tensor | None,
        _: None,
        to_alpha: torch.Tensor | None,
    ) -> tuple[torch.Tensor | None, ...]:
        inputs = dict(zip(INPUTS, ctx.saved_tensors, strict=True))
        wanted = dict(zip(INPUTS, ctx.needs_input_grad[1:], strict=True))
        outputs = (to_color, to_depth, to_normal, to_alpha)
        if not any(wanted.values()) or all(output is None for output in outputs):
            return (None,) * (1 + len(INPUTS))
        gradients = _walk_back(ctx.plan, inputs, wanted, outputs)
        return None, *(gradients[name] for name in INPUTS)


def _given(output: torch.Tensor | None, *shape: int) -> npt.NDArray[np.float32]:
    """Return the derivative by an output as the kernel takes it; without rows where none came."""
    if output is None:
        return np.empty((0, *shape[1:]), np.float32)
    return output.contiguous().numpy().reshape(shape)


def _walk_back(
    plan: _Plan,
    inputs: dict[str, torch.Tensor | None],
    wanted: dict[str, bool],
    outputs: tuple[torch.Tensor | None, ...],
) -> Gradients:
    """Run the adjoint kernel and collect the gradients wanted."""
    frame, view = plan.frame, plan.frame.view
    illumination, pixels = frame.illumination, view.width * view.height
    held = {name: value.detach() for name, value in inputs.items() if value is not None}
    geometry = replace(
        frame.geometry, normals=held['normals'], uvs=held['uvs'], colors=held['colors']
    )
    materials = replace(frame.materials, factors=held['factors'], atlas=held['atlas'])
    # Rows of colours; a picture of one colour is one row of the prefiltered ones.
    rows = {name: held[name].reshape(-1, held[name].shape[-1]) for name in TABLES if name in held}
    bands = band_count(max(value.numel() for value in rows.values()), view.height)
    with plan.tables.lock:
        try:
            tables = [
                plan.tables.take(name, bands, *rows[name].shape)
                if wanted[name]
                else NO_TABLE[rows[name].shape[-1] if name in rows else 3]
                for name in TABLES
            ]
            shapes = {name: held[name].shape if name in held else (31, 3) for name in SUMS}
            sums = {name: np.zeros((bands, *shapes[name])) for name in SUMS}
            shade_adjoint(
                plan.triangles,
                view.width,
                view.height,
                view.pinhole(),
                geometry_arrays(geometry, held['camera'].numpy()),
                np.ascontiguousarray(held['rotate'].numpy()),
                material_arrays(materials),
                held['lights'].numpy(),
                visibility_arrays(illumination),
                illumination.maps is not None,
                environment_arrays(illumination, held.get('irradiance')),
                environment_table().numpy(),
                np.ascontiguousarray(held['turn'].numpy()),
                np.float32(held['intensity'].item()),
                illumination.background is None and illumination.maps is not None,
                spread_order(bands),
                NO_PLACES if plan.places is None else plan.places,
                plan.places is not None,
                _given(outputs[0], pixels, 3),
                _given(outputs[1], pixels),
                _given(outputs[2], pixels, 3),
                _given(outputs[3], pixels),
                tuple(output is not None for output in outputs),
                (any(wanted[name] for name in SURFACE), *(wanted[name] for name in INPUTS)),
                tuple(array for table in tables for array in (table.values, table.flags)),
                tuple(sums[name] for name in SUMS),
            )
        except BaseException:
            plan.tables.forget()
            raise
        collected: Gradients = {
            name: table.collect(plan.buffers).reshape(held[name].shape) if wanted[name] else None
            for name, table in zip(TABLES, tables, strict=True)
        }
    for name in SUMS:
        total = torch.from_numpy(sums[name].sum(0))
        collected[name] = total.to(torch.float32) if wanted[name] else None
    return collected


def shade_with_gradient(
    triangles: torch.Tensor,
    frame: Frame,
    camera: torch.Tensor,
    buffers: BufferPool,
    tables: GradientTables,
    places: npt.NDArray[np.float32] | None = None,
) -> Shaded:
    """Turn triangle numbers into a picture, as :func:`diffphyscam_ros.render.shading.shade` does.

    :param triangles: (H·W,) int32, see there; may be written to again afterwards.
    :param frame: in float32, on the CPU.
    :param camera: (V, 3) vertices in the optical frame.
    :param buffers: lends the memory of the picture, ``tables`` that of the gradients.
    :param places: (H·W, 2) float32, see there.
    """
    kept = buffers.take(len(triangles)).view(np.int32)
    np.copyto(kept, triangles.numpy())
    geometry, materials, light = frame.geometry, frame.materials, frame.illumination
    maps = light.maps
    inputs = {
        'camera': camera,
        'normals': geometry.normals,
        'uvs': geometry.uvs,
        'colors': geometry.colors,
        'atlas': materials.atlas,
        'glossy': None if maps is None else maps.glossy,
        'picture': None if maps is None else maps.picture,
        'factors': materials.factors,
        'lights': light.lights,
        'irradiance': None
        if maps is None
        else turned_irradiance(maps, light.turn, light.intensity),
        'turn': light.turn,
        'rotate': normal_matrices(frame.mesh_to_camera).to(torch.float32),
        'pinhole': frame.pinhole,
        'intensity': light.intensity.reshape(1),
    }
    color, depth, normal, instance, alpha = _ShadedPicture.apply(  # type: ignore[no-untyped-call]
        _Plan(kept, frame, buffers, tables, places), *(inputs[name] for name in INPUTS)
    )
    return Shaded(Radiance(color, depth, normal, instance), alpha)
