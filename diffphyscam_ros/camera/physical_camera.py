# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The camera: its stages, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
import warnings

import torch

from diffphyscam_ros.camera.arrays import BRIGHTEST, is_zero, picture
from diffphyscam_ros.camera.circle_of_confusion import circle_of_confusion
from diffphyscam_ros.camera.defocus import defocus
from diffphyscam_ros.camera.distortion import (
    covered,
    distort,
    distortion_map,
    source_padding,
)
from diffphyscam_ros.camera.exposure import expose
from diffphyscam_ros.camera.frame import Frame
from diffphyscam_ros.camera.intrinsics import Intrinsics
from diffphyscam_ros.camera.noise import add_noise
from diffphyscam_ros.camera.plain import has_grad, plain_copies, plain_copy
from diffphyscam_ros.camera.response import respond
from diffphyscam_ros.camera.sensor_model import SensorModel
from diffphyscam_ros.camera.settings import CameraSettings
from diffphyscam_ros.camera.vignetting import vignette

STAGES = ('distortion', 'vignetting', 'defocus', 'exposure', 'noise', 'response')


class PhysicalCamera:
    """Turns radiance and depth into the picture that a real camera would take.

    The picture is differentiable in radiance, depth, every setting and every number of the
    sensor model (docs/camera_model.md lists the exceptions). Without gradients a single float32
    picture on the CPU takes fused kernels instead, with the same values to 1e-4.

    :param sensor: body and lens.
    :param stages: which of ``STAGES`` to apply; the order is always that one. Without
        'response' the picture is what the last stage gives: radiance or electrons.
    :param seed: of the shot noise; with the frame number it determines a frame's noise.
    :param soft_clamp: keep a gradient where the response saturates, for optimisation.
    :raises ValueError: for an unknown or repeated stage.
    """

    def __init__(
        self,
        sensor: SensorModel,
        stages: Sequence[str] = STAGES,
        seed: int = 0,
        soft_clamp: bool = False,
    ) -> None:
        """See the class."""
        unknown = [stage for stage in stages if stage not in STAGES]
        if isinstance(stages, str) or unknown or len(set(stages)) != len(stages):
            raise ValueError(
                f'stages = {stages!r}: must be a sequence of some of {", ".join(STAGES)}, each '
                'at most once'
            )
        self.sensor = sensor
        self.stages = tuple(stage for stage in STAGES if stage in stages)
        self.seed = seed
        self.soft_clamp = soft_clamp
        self._coverage_known = False

    def source_intrinsics(self, settings: CameraSettings) -> Intrinsics:
        """Return the pinhole view to render: K of the camera, with margins for its distortion.

        Without distortion it is exactly ``sensor.intrinsics(settings)``. The margins are whole
        pixels and carry no gradient; the rest follows the settings differentiably.
        """
        target = self.sensor.intrinsics(settings)
        if 'distortion' not in self.stages or not len(self.sensor.distortion_coefficients):
            return target
        model, sets = self.sensor.distortion_model, self.sensor.distortion_coefficients
        margins = [
            _padding(one, model, coefficients)
            for one in plain_copies(target)
            for coefficients in _coefficient_sets(sets)
        ]
        return target.padded(*(max(side) for side in zip(*margins, strict=True)))

    def __call__(
        self,
        radiance: torch.Tensor,
        depth: torch.Tensor | None,
        settings: CameraSettings,
        frame_number: int = 0,
        stamp: float | None = None,
        intrinsics: Intrinsics | None = None,
    ) -> Frame:
        """Take a picture.

        :param radiance: (..., H, W, 3) linear; NaN counts as 0, ±inf as 1e9 and 0.
        :param depth: (..., H, W) z-depth in metres; 0, inf and NaN mean infinitely far. May be
            None where the 'defocus' stage is off.
        :param settings: of this frame; (B,) fields make a batch.
        :param frame_number: with the seed it determines the noise; picture i of a batch takes
            that of frame_number + i.
        :param stamp: seconds, passed on.
        :param intrinsics: of the given picture. None: ``source_intrinsics(settings)`` or
            ``sensor.intrinsics(settings)``, whichever has its size.
        :raises ValueError: for shapes that do not fit together.
        """
        radiance = picture(radiance, 'radiance')
        source, target = self._views(radiance, depth, settings, intrinsics)
        operands = (radiance, depth, settings, self.sensor, source, target)
        develop = self._develop_fast if _fast_path_serves(*operands) else self._develop
        image = develop(radiance, depth, settings, frame_number, source, target)
        return Frame(image, settings, frame_number, stamp)

    def _develop(
        self,
        image: torch.Tensor,
        depth: torch.Tensor | None,
        settings: CameraSettings,
        frame_number: int,
        source: Intrinsics,
        target: Intrinsics,
    ) -> torch.Tensor:
        """Apply the stages in torch: the readable reference, on any device, differentiable."""
        sensor, on = self.sensor, self.stages
        image = image.nan_to_num(nan=0.0, posinf=BRIGHTEST, neginf=0.0)
        if self._resamples(source, target):
            model, coefficients = sensor.distortion_model, sensor.distortion_coefficients
            image, depth = distort(image, depth, source, target, model, coefficients)
        if 'vignetting' in on:
            image = vignette(image, target, sensor.vignetting_gain)
        if 'defocus' in on and depth is not None and not is_zero(sensor.defocus_gain):
            coc = circle_of_confusion(
                depth.to(image.dtype),
                settings.aperture,
                settings.focal_length,
                settings.focus_distance,
                sensor.pixel_size,
                sensor.defocus_gain,
                sensor.defocus_dead_zone,
                sensor.max_coc,
            )
            image = defocus(image, coc, sensor.psf)
        if 'exposure' in on:
            image = expose(
                image,
                settings.aperture,
                settings.exposure_time,
                sensor.pixel_size,
                sensor.quantum_efficiency,
                sensor.scene_illuminance,
                sensor.aggregator_gain,
                sensor.dark_current,
            )
        if 'noise' in on:
            image = add_noise(
                image,
                sensor.shot_noise_gain,
                sensor.read_noise,
                self.seed,
                frame_number,
                sensor.fixed_pattern_seed,
            )
        if 'response' in on:
            image = respond(
                image,
                settings.iso,
                sensor.response_type,
                sensor.response_gains,
                sensor.response_biases,
                sensor.response_gamma,
                self.soft_clamp,
            )
        return image

    def _develop_fast(
        self,
        image: torch.Tensor,
        depth: torch.Tensor | None,
        settings: CameraSettings,
        frame_number: int,
        source: Intrinsics,
        target: Intrinsics,
    ) -> torch.Tensor:
        """Apply the same stages with the fused kernels."""
        from diffphyscam_ros.camera import fast_path

        return fast_path.develop(
            image,
            depth,
            plain_copy(settings),
            plain_copy(self.sensor),
            self.stages,
            self.seed,
            frame_number,
            plain_copy(source),
            plain_copy(target),
            self._resamples(source, target),
            self.soft_clamp,
        )

    def _resamples(self, source: Intrinsics, target: Intrinsics) -> bool:
        """Return whether the picture has to be sampled anew to have the camera's geometry."""
        if 'distortion' not in self.stages:
            return False
        return len(self.sensor.distortion_coefficients) > 0 or source is not target

    def _views(
        self,
        radiance: torch.Tensor,
        depth: torch.Tensor | None,
        settings: CameraSettings,
        intrinsics: Intrinsics | None,
    ) -> tuple[Intrinsics, Intrinsics]:
        """Return the intrinsics of the given picture and of the camera's, having checked both.

        Without the distortion stage the given grid stays, and both are the same.
        """
        height, width = radiance.shape[-3:-1]
        if radiance.shape[-1] != 3:
            raise ValueError(f'radiance has shape {tuple(radiance.shape)}: must be (..., H, W, 3)')
        if depth is None and 'defocus' in self.stages:
            raise ValueError("depth is None: the 'defocus' stage needs it; give it or drop that")
        if depth is not None and tuple(depth.shape[-2:]) != (height, width):
            raise ValueError(
                f'depth has shape {tuple(depth.shape)}, radiance {tuple(radiance.shape)}: must '
                'be (..., H, W) and (..., H, W, 3) of one size'
            )
        target = self.sensor.intrinsics(settings)
        source = intrinsics or self.source_intrinsics(settings)
        if (source.width, source.height) != (width, height) and intrinsics is None:
            source = target
        if (source.width, source.height) != (width, height):
            wanted = intrinsics or self.source_intrinsics(settings)
            raise ValueError(
                f'radiance is {width}x{height} px: must be {wanted.width}x{wanted.height} px, '
                'the size of its intrinsics (None: of source_intrinsics(settings), or of the '
                f'sensor, {target.width}x{target.height} px)'
            )
        if 'distortion' not in self.stages:
            return source, source
        if plain_copies(source) == plain_copies(target) and not has_grad(source, target):
            source = target
        if not self._coverage_known:
            self._coverage_known = True
            self._warn_of_missing_source(source, target)
        return source, target

    def _warn_of_missing_source(self, source: Intrinsics, target: Intrinsics) -> None:
        """Say once how much of the picture will be black for want of a source."""
        sets = _coefficient_sets(self.sensor.distortion_coefficients)
        one, given = plain_copies(target)[0], plain_copies(source)[0]
        if not sets[0] and one == given:
            return
        pixels = distortion_map(given, one, self.sensor.distortion_model, sets[0])
        share = 1.0 - float(covered(pixels, given.width, given.height).double().mean())
        if share > 0.0:
            warnings.warn(
                f'{100 * share:.2f} % of the picture has no source and stays black: the given '
                f'view is too small, or {self.sensor.distortion_model} '
                f'{list(sets[0])} folds or looks further off axis than a pinhole view can. '
                'Render the view of source_intrinsics(settings); if it is that, change the '
                'lens coefficients or the image size.',
                RuntimeWarning,
                stacklevel=4,
            )


def _coefficient_sets(
    coefficients: Sequence[float] | torch.Tensor,
) -> list[tuple[float, ...]]:
    """Return each set of a batch of lens coefficients as plain numbers."""
    if isinstance(coefficients, torch.Tensor):
        values = coefficients.detach().double().cpu()
        return [tuple(one) for one in values.reshape(-1, values.shape[-1]).tolist()]
    return [tuple(coefficients)]


@lru_cache(maxsize=64)
def _padding(
    target: Intrinsics, model: str, coefficients: tuple[float, ...]
) -> tuple[int, int, int, int]:
    return source_padding(target, model, coefficients)


def _fast_path_serves(radiance: torch.Tensor, depth: torch.Tensor | None, *parts: object) -> bool:
    """Return whether the fused kernels can do the work: the one place that decides it."""
    pictures = [radiance] if depth is None else [radiance, depth]
    return (
        radiance.dtype == torch.float32
        and radiance.ndim == 3
        and (depth is None or depth.ndim == 2)
        and all(one.device.type == 'cpu' for one in pictures)
        and not has_grad(*pictures, *parts)
        and all(len(plain_copies(part)) == 1 for part in parts)
    )
