# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The joint refinement as the last stage of a calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from diffphyscam_ros.calibration.calibration_file import latest, sensor_with
from diffphyscam_ros.calibration.joint import estimate_joint
from diffphyscam_ros.calibration.joint_refine import TICKS
from diffphyscam_ros.calibration.stages import Context, frame_name
from diffphyscam_ros.calibration.types import Estimate, StageResult


def run_joint(context: Context, results: Sequence[StageResult]) -> StageResult | None:
    """Refine what the stages have found; None where it is not wanted, or K is not known.

    What is taken goes to the context's sensor and intrinsics.

    :param results: of all stages before.
    """
    request, intrinsics = context.request, context.intrinsics
    if not request.joint or intrinsics is None or request.target is None:
        return None
    context.progress.stage('joint refinement')
    steps = context.progress.over(range(TICKS), 'joint refinement', TICKS)

    def tick() -> None:
        next(steps, None)

    stage, refined = estimate_joint(
        context.frames('reading boards', 'board'),
        frame_name,
        intrinsics,
        request.target,
        context.sensor,
        latest(item for result in results for item in result.estimates),
        seed=request.seed,
        tick=tick,
    )
    for _ in steps:  # so that a bar ends
        pass
    source = ', '.join(dict.fromkeys(view.name.rpartition(' of ')[2] for view in refined.views))
    estimates = tuple(_of(item, source) for item in stage.estimates)
    context.intrinsics = refined
    context.sensor = sensor_with(context.sensor, estimates)
    return replace(stage, estimates=estimates)


def _of(item: Estimate, source: str) -> Estimate:
    """Return an estimate with its source: the bags of the boards beside those of its stage."""
    known = [name.strip() for name in f'{item.source}, {source}'.split(',')]
    return replace(item, source=', '.join(dict.fromkeys(name for name in known if name)))
