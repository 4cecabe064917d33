# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""``camera_info.yaml`` as ROS's camera_calibration_parsers reads it, written whole or not at all.

Standard deviations stand beside the numbers as comments, which other readers skip.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
import tempfile

from diffphyscam_ros.calibration.intrinsics import IntrinsicsResult
from diffphyscam_ros.camera.lens_models import COEFFICIENTS

_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def camera_info_text(result: IntrinsicsResult, camera_name: str = 'camera') -> str:
    """Return the YAML text.

    R is the identity and P is [K | 0]: one camera alone, unrectified pictures keep their K.

    :raises CalibrationError: where the intrinsics were not estimated.
    """
    parameters = result.parameters
    width, height = result.image_size
    k = [float(value) for value in result.k.ravel()]
    p = [*k[:3], 0.0, *k[3:6], 0.0, *k[6:], 0.0]
    deviations = ', '.join(f'{n} {parameters[n][1]:.3g}' for n in ('fx', 'fy', 'cx', 'cy'))
    lens = ', '.join(f'{n} {parameters[n][1]:.3g}' for n in COEFFICIENTS[result.model])
    fit = result.solution
    head = (
        f'# {len(fit.views)} views, {len(fit.fit.residuals)} corners, {fit.fit.rms:.4f} px rms; '
        f'verdict: {result.stage.estimates[0].verdict}'
    )
    lines = [
        head,
        f'image_width: {width}',
        f'image_height: {height}',
        f'camera_name: {json.dumps(camera_name)}',
        f'# standard deviations, px: {deviations}',
        *_matrix('camera_matrix', 3, 3, k),
        f'distortion_model: {result.model}',
        f'# standard deviations: {lens}',
        *_matrix('distortion_coefficients', 1, len(result.d), result.d),
        *_matrix('rectification_matrix', 3, 3, _IDENTITY),
        *_matrix('projection_matrix', 3, 4, p),
    ]
    return '\n'.join(lines) + '\n'


def write_camera_info(
    result: IntrinsicsResult, path: str | Path, camera_name: str = 'camera'
) -> None:
    """Write the file; readers see the old one or the whole new one.

    :raises OSError: where the folder cannot be written.
    :raises CalibrationError: where the intrinsics were not estimated.
    """
    write_text(Path(path), camera_info_text(result, camera_name))


def write_text(path: Path, text: str) -> None:
    """Write a text file; readers see the old one or the whole new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.')
    try:
        with os.fdopen(handle, 'w', encoding='utf-8') as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _matrix(
    name: str, rows: int, columns: int, values: tuple[float, ...] | list[float]
) -> list[str]:
    numbers = ', '.join(_number(value) for value in values)
    return [f'{name}:', f'  rows: {rows}', f'  cols: {columns}', f'  data: [{numbers}]']


def _number(value: float) -> str:
    """Return a number as YAML 1.1 reads it: exponents need a point before them."""
    text = repr(float(value))
    return text.replace('e', '.0e') if 'e' in text and '.' not in text else text
