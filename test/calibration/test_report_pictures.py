# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The light behind recorded values, from which a report's pictures are made again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from diffphyscam_ros.calibration.report_pictures import _light as light_of
from diffphyscam_ros.camera import PhysicalCamera, SENSOR_STAGES, SensorModel

MIXED = (1.6, -0.4, -0.2, -0.3, 1.5, -0.2, 0.0, -0.5, 1.5)


@pytest.mark.parametrize('matrix', [(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), MIXED])
def test_the_camera_remakes_what_it_recorded_also_of_coloured_light(
    matrix: tuple[float, ...],
) -> None:
    sensor = replace(
        SensorModel.preset('generic_vga').resized(8, 6),
        color_matrix=matrix,
        white_balance=(1.4, 1.0, 1.2),
        black_level=0.03,
        bit_depth=0,
    )
    stages = tuple(stage for stage in SENSOR_STAGES if stage not in ('noise', 'quantization'))
    camera = PhysicalCamera(sensor, stages=stages)
    warm = torch.tensor([1.0, 0.8, 0.6]).expand(6, 8, 3)
    exposed = 0.3 / float(camera.sense(warm, sensor.settings).image.max())
    recorded = camera.sense(exposed * warm, sensor.settings).image.double().numpy()
    light = light_of(recorded, camera, sensor.settings)
    np.testing.assert_allclose(light, exposed * warm.numpy(), rtol=2e-3)
