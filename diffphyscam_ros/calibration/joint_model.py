# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What the camera makes of a board at single photosites, differentiable in everything.

Each sample is a picture of one pixel, taken by a camera of its own that differs from the others
in nothing but its principal point: so vignetting, exposure, response and colour are literally the
stages of ``PhysicalCamera``, on a batch. Its lens is that of ``camera/lens_models.py``. The board
is a function (``joint_pattern``), whose convolution with the blur is written down instead of
sampled; how much blur there is every frame says for itself.

As every sample has its own copy of all parameters, one backward pass of the sum of all values
gives the whole Jacobian.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import torch

from diffphyscam_ros.calibration.joint_parameters import (
    Array,
    BLEED,
    BLUR,
    CameraNumbers,
    COURSE,
    INK,
    LEVEL,
    PHOTOMETRIC,
    PLACE,
)
from diffphyscam_ros.calibration.joint_pattern import BoardPattern
from diffphyscam_ros.calibration.joint_samples import BoardFrame
from diffphyscam_ros.calibration.targets import Target
from diffphyscam_ros.camera import CameraSettings, Intrinsics, PhysicalCamera, SensorModel
from diffphyscam_ros.camera.lens_models import (
    distort_points,
    distortion_slopes,
    undistort_points,
)
from diffphyscam_ros.camera.vignetting import vignette

PIXEL = 0.5
"""px, half the width of the box over which a photosite gathers light."""


class JointModel:
    """The camera before the boards of some frames.

    :param sensor: all that the stages have found; for what moves, the given numbers count.
    :param camera: names and lens model of the numbers.
    :param raw: whether the recorded values are those of a mosaic's photosites.
    """

    def __init__(
        self,
        sensor: SensorModel,
        target: Target,
        camera: CameraNumbers,
        frames: Sequence[BoardFrame],
        *,
        raw: bool,
    ) -> None:
        """See the class."""
        self.frames = tuple(frames)
        self.counts = np.array([len(frame.values) for frame in frames])
        self.starts = np.concatenate([[0], np.cumsum(self.counts)])
        self.index = torch.from_numpy(np.repeat(np.arange(len(frames)), self.counts))
        self.pixels = torch.from_numpy(np.concatenate([frame.pixels for frame in frames]))
        self.channels = torch.from_numpy(np.concatenate([frame.channels for frame in frames]))
        self.values = np.concatenate([frame.values for frame in frames])
        self._model = camera.model
        self._lens = len(camera.values) - len(PHOTOMETRIC)
        self._pattern = BoardPattern(target)
        points = target.object_points()[:, :2]
        self._middle = torch.from_numpy((points.min(axis=0) + points.max(axis=0)) / 2.0)
        self._half = max(float(np.ptp(points, axis=0).max()) / 2.0, 1e-6)
        self._sensor, self._raw = sensor, raw
        self._settings = _stacked([frame.settings for frame in frames], self.index)
        self._falloff = self._map_at_samples() if sensor.vignetting_model == 'map' else None

    def _map_at_samples(self) -> torch.Tensor:
        """Return a free map of vignetting at the samples, (N,): a map has no pixel alone."""
        sensor = self._sensor
        whole = sensor.intrinsics()
        factor = vignette(
            torch.ones(whole.height, whole.width, 1, dtype=torch.float64), whole, 0.0, 'map', (),
            sensor.vignetting_map, sensor.vignetting_map_columns,
        )  # fmt: skip
        column, row = self.pixels.long().unbind(-1)
        return factor[row, column, 0]

    def predict(self, camera: torch.Tensor, frame: torch.Tensor, turns: Array) -> torch.Tensor:
        """Return the values that the camera gives, (N,).

        :param camera: (N, p) the camera's numbers, a copy for each sample.
        :param frame: (N, 17) those of its frame; turns are from ``turns``, and 0.
        :param turns: (f, 3, 3) rotation of each frame's board.
        """
        lens = self._lens
        ray, slopes = self._rays(camera[:, :4], camera[:, 4:lens])
        axes = _turned(torch.from_numpy(turns)[self.index], frame[:, :PLACE])
        place, by_ray = _on_board(ray, axes, frame[:, PLACE:LEVEL])
        matrix = by_ray @ slopes  # of a pixel on the board, m: (N, 2, 2), board by picture
        variance = frame[:, BLUR]
        size = matrix.square().sum(dim=2).sqrt()
        mixed = (variance + PIXEL**2 / 3.0) * (matrix[:, 0] * matrix[:, 1]).sum(dim=1)
        paper = self._pattern.paper(place, variance.sqrt()[:, None] * size, PIXEL * size, mixed)
        paper = paper * (1.0 + frame[:, BLEED] * (1.0 - paper))
        ink = frame[:, INK]
        light = self._light(place, frame) * (ink + (1.0 - ink) * paper)[:, None]
        return self._sensed(light, camera)

    def _rays(
        self, k: torch.Tensor, coefficients: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the ray of each sample, (N, 2), and how it moves with the pixel, (N, 2, 2)."""
        focal, centre = k[:, :2], k[:, 2:]
        seen = (self.pixels - centre) / focal
        with torch.no_grad():
            anchor = undistort_points(seen, self._model, coefficients[0]).nan_to_num()
        # One step of Newton's method at the solution moves nothing, and carries the gradient.
        miss = distort_points(anchor, self._model, coefficients) - seen
        back = _inverse(*distortion_slopes(anchor, self._model, coefficients.detach()))
        ray = anchor - (back @ miss[..., None])[..., 0]
        slopes = _inverse(*distortion_slopes(ray, self._model, coefficients))
        return ray, slopes / focal[:, None, :]

    def _light(self, place: torch.Tensor, frame: torch.Tensor) -> torch.Tensor:
        """Return the light on paper, (N, 3)."""
        x, y = ((place - self._middle) / self._half).unbind(-1)
        terms = torch.stack([x, y, x * x, x * y, y * y], dim=1)
        course = 1.0 + (frame[:, COURSE:INK] * terms).sum(dim=1)
        return frame[:, LEVEL:COURSE].exp() * course[:, None]

    def _sensed(self, light: torch.Tensor, camera: torch.Tensor) -> torch.Tensor:
        """Return what the stages of the camera make of a light, as N pictures of one pixel."""
        stages: tuple[str, ...] = ('vignetting', 'exposure', 'response')
        if not self._raw:
            stages = (*stages, 'color')
        if self._falloff is not None:
            light, stages = light * self._falloff[:, None], stages[1:]
        shift = camera[:, self._lens + 1, None]
        biases = torch.tensor(self._sensor.response_biases, dtype=torch.float64) + shift
        sensor = replace(
            self._sensor,
            vignetting_gain=camera[:, self._lens].clamp(0.0, 1.0),
            response_biases=biases,
            image_width=1,
            image_height=1,
            bayer_pattern='none',
        )
        k = camera[:, :4]
        centre = k[:, 2:] - self.pixels
        view = Intrinsics(1, 1, k[:, 0], k[:, 1], centre[:, 0], centre[:, 1])
        shooter = PhysicalCamera(sensor, stages=stages, soft_clamp=True)
        image = shooter(light[:, None, None, :], None, self._settings, intrinsics=view).image
        return image[:, 0, 0].gather(1, self.channels[:, None])[:, 0]

    def evaluate(self, camera: Array, frame: Array, turns: Array) -> Array:
        """Return the values alone, (N,): see ``linearise``."""
        with torch.no_grad():
            return self.predict(*self._copies(camera, frame), turns).numpy()

    def linearise(self, camera: Array, frame: Array, turns: Array) -> tuple[Array, Array, Array]:
        """Return the values, (N,), and their derivatives by camera, (N, p), and frame, (N, 17).

        :param camera: (p,).
        :param frame: (f, 17).
        :param turns: (f, 3, 3).
        """
        copies = self._copies(camera, frame)
        for copy in copies:
            copy.requires_grad_(True)
        values = self.predict(*copies, turns)
        by_camera, by_frame = torch.autograd.grad(values.sum(), copies)
        return values.detach().numpy(), by_camera.numpy(), by_frame.numpy()

    def _copies(self, camera: Array, frame: Array) -> tuple[torch.Tensor, torch.Tensor]:
        one = torch.from_numpy(np.ascontiguousarray(camera, np.float64))
        each = torch.from_numpy(np.ascontiguousarray(frame, np.float64)[self.index.numpy()])
        return one.expand(len(self.values), -1).clone(), each

    def part(self, chosen: Sequence[int]) -> JointModel:
        """Return the same camera before some of the frames."""
        other = object.__new__(JointModel)
        other.__dict__.update(self.__dict__)
        rows = np.concatenate([np.arange(self.starts[i], self.starts[i + 1]) for i in chosen])
        keep = torch.from_numpy(rows)
        other.frames = tuple(self.frames[i] for i in chosen)
        other.counts = self.counts[list(chosen)]
        other.starts = np.concatenate([[0], np.cumsum(other.counts)])
        other.index = torch.from_numpy(np.repeat(np.arange(len(chosen)), other.counts))
        other.pixels, other.channels = self.pixels[keep], self.channels[keep]
        other.values = self.values[rows]
        other._settings = CameraSettings(
            **{f.name: getattr(self._settings, f.name)[keep] for f in fields(CameraSettings)}
        )
        other._falloff = None if self._falloff is None else self._falloff[keep]
        return other


def _stacked(settings: Sequence[CameraSettings], index: torch.Tensor) -> CameraSettings:
    """Return the settings of each sample, (N,)."""
    columns = {
        item.name: torch.tensor(
            [float(getattr(one, item.name)) for one in settings], dtype=torch.float64
        )[index]
        for item in fields(CameraSettings)
    }
    return CameraSettings(**columns)


def _inverse(xx: torch.Tensor, xy: torch.Tensor, yy: torch.Tensor) -> torch.Tensor:
    """Return the inverses, (N, 2, 2), of symmetric matrices."""
    rows = torch.stack([yy, -xy, -xy, xx], dim=-1) / (xx * yy - xy * xy)[..., None]
    return rows.unflatten(-1, (2, 2))


def _turned(rotation: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Return R·(1 + [ω]), (N, 3, 3): the first order of a turn, which is 0 in value."""
    one = torch.ones_like(turn[:, 0])
    x, y, z = turn.unbind(-1)
    rows = [one, -z, y, z, one, -x, -y, x, one]
    return rotation @ torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def _on_board(
    ray: torch.Tensor, axes: torch.Tensor, origin: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return where rays (x, y, 1) meet a plane, and how that moves with the ray.

    :param axes: (N, 3, 3), whose columns are the board's axes; ``origin`` (N, 3), m.
    :return: (N, 2) m, and its derivatives by the ray, (N, 2, 2).
    """
    direction = torch.cat([ray, torch.ones_like(ray[:, :1])], dim=1)
    normal = axes[:, :, 2]
    facing = (normal * direction).sum(dim=1)
    depth = (normal * origin).sum(dim=1) / facing
    point = depth[:, None] * direction - origin
    board = axes[:, :, :2]
    place = (board * point[:, :, None]).sum(dim=1)
    # d(point)/d(ray_i) = depth·(e_i − direction·normal_i/facing)
    along = (board * direction[:, :, None]).sum(dim=1)
    lean = normal[:, :2] / facing[:, None]
    slopes = depth[:, None, None] * (board[:, :2].mT - along[:, :, None] * lean[:, None, :])
    return place, slopes
