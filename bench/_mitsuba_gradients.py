# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Gradients by Mitsuba 3: of a weighted sum of a picture, to texels and to an object's place."""

from __future__ import annotations

from dataclasses import dataclass
import time
from typing import Any

from _mitsuba_scene import build, GltfBsdf
import drjit as dr
import mitsuba as mi
import numpy as np
import torch

from diffphyscam_ros.camera.intrinsics import Intrinsics
from diffphyscam_ros.scene.types import Scene

mi.set_log_level(mi.LogLevel.Error)


class FrontBsdf(GltfBsdf):
    """The same for surfaces that are seen from the front alone.

    Which side is seen cannot be told at the outlines, where the projective integrators look.
    """

    @staticmethod
    def _sides(si: Any, wo: Any) -> tuple[Any, Any]:
        return si.wi, wo


mi.register_bsdf('gltf_front', FrontBsdf)


def _integrator(name: str) -> Any:
    """Return an integrator of direct light; of the projective ones no light's own outlines."""
    settings: dict[str, Any] = {'type': name}
    if name == 'direct_projective':
        settings['sppi'] = 0
    else:
        settings['max_depth'] = 2
    return mi.load_dict(settings)


def _sensor(pinhole: Intrinsics, camera_to_world: torch.Tensor) -> Any:
    """Return a pinhole whose principal point is the middle of the picture, with a box filter."""
    pose = camera_to_world.double().numpy()
    to_world = pose @ np.diag([-1.0, -1.0, 1.0, 1.0])  # x left, y up, z forward
    fov = np.degrees(2.0 * np.arctan(pinhole.width / 2.0 / float(pinhole.fx)))
    return mi.load_dict(
        {
            'type': 'perspective',
            'fov': float(fov),
            'fov_axis': 'x',
            'near_clip': 1e-3,
            'far_clip': 1e3,
            'to_world': mi.ScalarTransform4f(to_world),
            'film': {
                'type': 'hdrfilm',
                'width': pinhole.width,
                'height': pinhole.height,
                'rfilter': {'type': 'box'},
            },
        }
    )


@dataclass(frozen=True)
class Found:
    """One gradient, and how long forward and backward pass took together."""

    gradient: np.ndarray
    milliseconds: float


class MitsubaGradients:
    """A scene, and which of its instances is moved.

    :param scene: ours; the instance of that number stands as ``scene`` says and has a picture as
        its colour where ``to_texels`` is asked for.
    :param weights: (H, W, 3) of the loss, the mean of weights · picture.
    """

    def __init__(
        self,
        scene: Scene,
        pinhole: Intrinsics,
        camera_to_world: torch.Tensor,
        weights: np.ndarray,
        moved: int = 0,
    ) -> None:
        """Build Mitsuba's scene."""
        self._world = build(scene, 'gltf_front')
        self._sensor = _sensor(pinhole, camera_to_world)
        self._weights = mi.TensorXf(np.ascontiguousarray(weights, np.float32))
        self._parameters = mi.traverse(self._world)
        self._vertices = f'mesh{moved}.vertex_positions'
        self._texels = f'mesh{moved}.bsdf.base_color.data'
        self._start = mi.Point3f(dr.unravel(mi.Point3f, self._parameters[self._vertices]))

    def _picture(self, name: str, samples: int, seed: int) -> Any:
        return mi.render(
            self._world,
            self._parameters,
            sensor=self._sensor,
            integrator=_integrator(name),
            spp=samples,
            seed=seed,
        )

    def _place(self, offset: Any) -> None:
        self._parameters[self._vertices] = dr.ravel(self._start + offset)
        self._parameters.update()

    def loss(self, offset: np.ndarray, samples: int, seed: int) -> float:
        """Return the loss with the object moved by an offset in metres."""
        self._place(mi.Point3f(*(float(v) for v in offset)))
        picture = np.array(self._picture('prb', samples, seed), np.float64)
        return float((picture * np.array(self._weights)).mean())

    def to_place(self, name: str, samples: int, seed: int) -> Found:
        """Return the gradient (3,) by the object's place."""
        start = time.perf_counter()
        offset = mi.Point3f(0.0, 0.0, 0.0)
        dr.enable_grad(offset)
        self._place(offset)
        loss = dr.mean(self._picture(name, samples, seed) * self._weights, axis=None)
        dr.backward(loss)
        gradient = np.array(dr.grad(offset)).ravel()
        return Found(gradient, 1e3 * (time.perf_counter() - start))

    def to_texels(self, name: str, samples: int, seed: int) -> Found:
        """Return the gradient (h, w, 3) by the texels of its colour."""
        start = time.perf_counter()
        texels = self._parameters[self._texels]
        dr.enable_grad(texels)
        self._parameters.update()
        loss = dr.mean(self._picture(name, samples, seed) * self._weights, axis=None)
        dr.backward(loss)
        gradient = np.array(dr.grad(texels))
        dr.disable_grad(texels)
        return Found(gradient, 1e3 * (time.perf_counter() - start))

    def motion(self, name: str, samples: int, seed: int, direction: np.ndarray) -> np.ndarray:
        """Return the change of the picture (H, W, 3) as the object moves in a direction."""
        offset = mi.Point3f(0.0, 0.0, 0.0)
        dr.enable_grad(offset)
        self._place(offset)
        picture = self._picture(name, samples, seed)
        dr.set_grad(offset, mi.Point3f(*(float(v) for v in direction)))
        dr.forward_to(picture)
        return np.array(dr.grad(picture))
