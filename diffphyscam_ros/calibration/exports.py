# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The calibration in the forms of other tools: Kalibr's camchain, TUM's response and vignette."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.calibration.errors import CalibrationError
from diffphyscam_ros.calibration.intrinsics import IntrinsicsResult
from diffphyscam_ros.calibration.pipeline import Calibration
from diffphyscam_ros.camera import PhysicalCamera, SensorModel

_CURVE = ('exposure', 'response', 'color')


def kalibr_camchain(found: IntrinsicsResult, topic: str) -> str:
    """Return Kalibr's camchain of one camera.

    :raises CalibrationError: for a lens model that Kalibr does not have.
    """
    parameters = {name: value for name, (value, _) in found.parameters.items()}
    if found.model == 'equidistant':
        model, names = 'equidistant', ('k1', 'k2', 'k3', 'k4')
    elif found.model == 'plumb_bob' and not parameters['k3']:
        model, names = 'radtan', ('k1', 'k2', 'p1', 'p2')
    else:
        raise CalibrationError(
            'lens model for Kalibr',
            found.model + (' with k3' if found.model == 'plumb_bob' else ''),
            allowed='plumb_bob without k3, or equidistant',
            remedy='calibrate with --fix k3 or --model equidistant',
        )
    k = ', '.join(repr(parameters[name]) for name in ('fx', 'fy', 'cx', 'cy'))
    d = ', '.join(repr(parameters[name]) for name in names)
    width, height = found.image_size
    return (
        f'cam0:\n  camera_model: pinhole\n  intrinsics: [{k}]\n  distortion_model: {model}\n'
        f'  distortion_coeffs: [{d}]\n  resolution: [{width}, {height}]\n  rostopic: {topic}\n'
    )


def tum_response(sensor: SensorModel) -> str:
    """Return pcalib.txt: for each of 256 values the light that gives it, 0 to 255, rising.

    It is that of green, which a grey picture mostly is.
    """
    rough = np.geomspace(1e-9, 1e9, 4000)
    values = _response(sensor, rough)
    full = rough[int(np.argmax(values >= values.max()))]
    levels = np.linspace(0.0, full, 100_000)
    values = _response(sensor, levels)
    rising = np.concatenate([[True], np.diff(np.maximum.accumulate(values)) > 0])
    light = np.interp(np.arange(256) / 255.0, values[rising], levels[rising])
    light = 255.0 * (light - light[0]) / (light[-1] - light[0])
    return ' '.join(f'{value:.6f}' for value in light) + '\n'


def _response(sensor: SensorModel, levels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return what green makes of light, without noise and steps."""
    ramp = torch.from_numpy(levels)[None, :, None].expand(1, -1, 3).contiguous()
    camera = PhysicalCamera(replace(sensor, bayer_pattern='none'), stages=_CURVE)
    with torch.no_grad():
        return np.asarray(camera.sense(ramp, sensor.settings).image[0, :, 1].numpy())


def tum_vignette(sensor: SensorModel) -> bytes:
    """Return vignette.png: how much light arrives, 16 bits, the most = 65535."""
    camera = PhysicalCamera(sensor, stages=('vignetting',))
    light = torch.ones(sensor.image_height, sensor.image_width, 3, dtype=torch.float64)
    with torch.no_grad():
        seen = camera.lens(light, None, sensor.settings)[..., 1].numpy()
    values = np.round(65535.0 * seen / seen.max()).astype(np.uint16)
    good, data = cv2.imencode('.png', values)
    if not good:
        raise RuntimeError('OpenCV could not write a PNG')
    return data.tobytes()


def exported(found: Calibration) -> tuple[dict[str, str | bytes], list[str]]:
    """Return the files that were asked for, and why others could not be made."""
    files: dict[str, str | bytes] = {}
    missing: list[str] = []
    request = found.request
    if request.kalibr:
        try:
            if found.intrinsics is None:
                raise CalibrationError('no camchain.yaml: K was not estimated')
            topic = found.audit.bags[0].topic
            files[f'{request.name}.camchain.yaml'] = kalibr_camchain(found.intrinsics, topic)
        except CalibrationError as error:
            missing.append(str(error))
    if request.tum:
        known = {item.name for item in found.estimated}
        lacking = [name for name in ('response_type', 'vignetting_model') if name not in known]
        if lacking:
            missing.append(
                f'no pcalib.txt and vignette.png: {" and ".join(lacking)} not estimated'
            )
        else:
            files['pcalib.txt'] = tum_response(found.sensor)
            files['vignette.png'] = tum_vignette(found.sensor)
    return files, missing
