# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The camera: its stages, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
import math
from typing import TYPE_CHECKING
import warnings

import torch

from diffphyscam_ros.camera import adjoint_path, lens_adjoint, triton_path
from diffphyscam_ros.camera.aberration import chromatic_padding, is_achromatic
from diffphyscam_ros.camera.arrays import BRIGHTEST, Colour, picture
from diffphyscam_ros.camera.distortion import covered, distortion_map, source_padding
from diffphyscam_ros.camera.frame import Frame
from diffphyscam_ros.camera.intrinsics import Intrinsics
from diffphyscam_ros.camera.plain import has_grad, plain_copies, plain_copy
from diffphyscam_ros.camera.sensor_model import SensorModel
from diffphyscam_ros.camera.settings import CameraSettings
from diffphyscam_ros.camera.stages import (
    form_image,
    LENS_STAGES,
    read_out,
    SENSOR_STAGES,
    STAGES,
)

if TYPE_CHECKING:
    from diffphyscam_ros.camera.encodings import Pixels
    from diffphyscam_ros.camera.photograph import Photograph


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
        return self._source_of(self.sensor.intrinsics(settings))

    def _source_of(self, target: Intrinsics) -> Intrinsics:
        """Return the view to render for the camera's own."""
        chromatic = self._is_chromatic()
        straight = not len(self.sensor.distortion_coefficients)
        if 'distortion' not in self.stages or (straight and not chromatic):
            return target
        margins = [
            _padding(
                one,
                lens.distortion_model,
                tuple(lens.distortion_coefficients),
                lens.chromatic_scale if chromatic else None,
                lens.chromatic_curve,
            )
            for one in plain_copies(target)
            for lens in plain_copies(self.sensor)
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
        irradiance = self.lens(radiance, depth, settings, intrinsics)
        return self._sense(irradiance, settings, frame_number, stamp)

    def lens(
        self,
        radiance: torch.Tensor,
        depth: torch.Tensor | None,
        settings: CameraSettings,
        intrinsics: Intrinsics | None = None,
    ) -> torch.Tensor:
        """Return the irradiance on the sensor, (..., H, W, 3): the stages ``LENS_STAGES``.

        The parameters are those of a picture; what moves during an exposure averages the
        irradiance of several moments before it is sensed.

        :raises ValueError: for shapes that do not fit together.
        """
        radiance = picture(radiance, 'radiance')
        source, target = self._views(radiance, depth, settings, intrinsics)
        stages = tuple(stage for stage in self.stages if stage in LENS_STAGES)
        if 'distortion' in stages and not self._resamples(source, target):
            stages = stages[1:]
        operands = (settings, self.sensor, source, target)
        if _fast_path_serves(radiance, depth, *operands):
            from diffphyscam_ros.camera import fast_path

            plain = plain_copy(settings), plain_copy(self.sensor)
            views = plain_copy(source), plain_copy(target)
            return fast_path.form_image(radiance, depth, *plain, stages, *views)
        radiance = _finite(radiance)
        form = lens_adjoint.form_image if lens_adjoint.serves(radiance, depth) else form_image
        return form(radiance, depth, settings, self.sensor, stages, source, target)

    def sense(
        self,
        irradiance: torch.Tensor,
        settings: CameraSettings,
        frame_number: int = 0,
        stamp: float | None = None,
    ) -> Frame:
        """Return the picture of an irradiance: the stages ``SENSOR_STAGES``.

        :param irradiance: (..., H, W, 3), as ``lens`` gives it; NaN counts as 0, ±inf as 1e9
            and 0.
        :raises ValueError: for another shape.
        """
        irradiance = picture(irradiance, 'irradiance')
        if irradiance.shape[-1] != 3:
            raise ValueError(
                f'irradiance has shape {tuple(irradiance.shape)}: must be (..., H, W, 3)'
            )
        irradiance = _finite(irradiance)
        return self._sense(irradiance, settings, frame_number, stamp)

    def photograph(
        self,
        radiance: torch.Tensor,
        depth: torch.Tensor | None,
        settings: CameraSettings,
        frame_number: int = 0,
        encoding: str = 'rgb8',
        out: Pixels | None = None,
        intrinsics: Intrinsics | None = None,
    ) -> Photograph:
        """Take a single picture as bytes; the same values as those of a call, encoded.

        :param encoding: one of ``camera.encodings.OUTPUT_ENCODINGS``; a 'bayer_…' encoding holds
            the photosites' values.
        :param out: (H, W, C) contiguous, of the encoding's type: where the pixels go. None: new
            memory.
        :raises ValueError: as a call, for an encoding that this camera cannot give, or an
            ``out`` that does not fit.
        """
        irradiance = self.lens(radiance, depth, settings, intrinsics)
        return self._photograph(irradiance, settings, frame_number, encoding, out)

    def sense_pixels(
        self,
        irradiance: torch.Tensor,
        settings: CameraSettings,
        frame_number: int = 0,
        encoding: str = 'rgb8',
        out: Pixels | None = None,
    ) -> Photograph:
        """Return the picture of one irradiance as bytes: see ``photograph`` and ``sense``."""
        irradiance = _finite(picture(irradiance, 'irradiance'))
        return self._photograph(irradiance, settings, frame_number, encoding, out)

    def _photograph(
        self,
        irradiance: torch.Tensor,
        settings: CameraSettings,
        frame_number: int,
        encoding: str,
        out: Pixels | None,
    ) -> Photograph:
        """Apply the stages of the sensor to a finite irradiance and write what comes out."""
        from diffphyscam_ros.camera import photograph

        if irradiance.ndim != 3 or irradiance.shape[2] != 3:
            raise ValueError(f'irradiance has shape {tuple(irradiance.shape)}: must be (H, W, 3)')
        height, width = irradiance.shape[:2]
        pixels = photograph.pixels_for(height, width, encoding, out)
        stages = tuple(stage for stage in self.stages if stage in SENSOR_STAGES)
        if _fast_path_serves(irradiance, None, settings, self.sensor):
            plain = plain_copy(settings), plain_copy(self.sensor)
            seeds = self.seed, frame_number
            written = photograph.write_sensed(
                irradiance, *plain, stages, *seeds, self.soft_clamp, encoding, pixels
            )
        else:
            frame = self._sense(irradiance, settings, frame_number, None)
            written = photograph.write_frame(frame, self.sensor, stages, encoding, pixels)
        return photograph.Photograph(pixels, encoding, settings, frame_number, written)

    def _sense(
        self,
        irradiance: torch.Tensor,
        settings: CameraSettings,
        frame_number: int,
        stamp: float | None,
    ) -> Frame:
        """Apply the stages of the sensor to a finite irradiance."""
        stages = tuple(stage for stage in self.stages if stage in SENSOR_STAGES)
        operands = (settings, self.sensor)
        if _fast_path_serves(irradiance, None, *operands):
            from diffphyscam_ros.camera import fast_path

            plain = plain_copy(settings), plain_copy(self.sensor)
            seeds = self.seed, frame_number
            image, raw = fast_path.read_out(irradiance, *plain, stages, *seeds, self.soft_clamp)
        else:
            develop = read_out
            if triton_path.serves(stages, irradiance, self.sensor):
                develop = triton_path.read_out
            elif adjoint_path.serves(stages, irradiance, *operands):
                develop = adjoint_path.read_out
            seeds = self.seed, frame_number
            image, raw = develop(irradiance, *operands, stages, *seeds, self.soft_clamp)
        return Frame(image, settings, frame_number, stamp, raw)

    def _is_chromatic(self) -> bool:
        """Return whether the colours of the lens fall apart."""
        colours = self.sensor.chromatic_scale, self.sensor.chromatic_curve
        return 'aberration' in self.stages and not is_achromatic(*colours)

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
        source = intrinsics or self._source_of(target)
        if (source.width, source.height) != (width, height) and intrinsics is None:
            source = target
        if (source.width, source.height) != (width, height):
            wanted = intrinsics or self._source_of(target)
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
    target: Intrinsics,
    model: str,
    coefficients: tuple[float, ...],
    chromatic_scale: Colour | None,
    chromatic_curve: Colour,
) -> tuple[int, int, int, int]:
    """Return the margins of one view, of one lens; without a scale it has no colour error."""
    if chromatic_scale is None:
        return source_padding(target, model, coefficients)
    return chromatic_padding(target, model, coefficients, chromatic_scale, chromatic_curve)


def _finite(light: torch.Tensor) -> torch.Tensor:
    """Return light where NaN counts as 0 and infinity as 1e9; the same tensor if none is."""
    if light.device.type == 'cpu' and light.numel() > 0:
        low, high = torch.aminmax(light.detach())
        if math.isfinite(low) and math.isfinite(high):
            return light
    return light.nan_to_num(nan=0.0, posinf=BRIGHTEST, neginf=0.0)


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
