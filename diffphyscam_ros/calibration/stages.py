# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The stages of a calibration in their order, and what they hand on to each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from diffphyscam_ros.calibration.board_edges import board_edges
from diffphyscam_ros.calibration.board_view import BoardView
from diffphyscam_ros.calibration.calibration_file import sensor_with
from diffphyscam_ros.calibration.colour import estimate_colour
from diffphyscam_ros.calibration.darkness import darkness_in_response
from diffphyscam_ros.calibration.defocus import estimate_defocus
from diffphyscam_ros.calibration.detection_cache import DetectionCache
from diffphyscam_ros.calibration.edge_spread import Edge
from diffphyscam_ros.calibration.intrinsics import estimate_intrinsics, IntrinsicsResult
from diffphyscam_ros.calibration.intrinsics_verdict import refused_estimates
from diffphyscam_ros.calibration.noise import estimate_noise
from diffphyscam_ros.calibration.progress import Progress
from diffphyscam_ros.calibration.recognise import explain_frames
from diffphyscam_ros.calibration.recording import Recording
from diffphyscam_ros.calibration.request import Request
from diffphyscam_ros.calibration.response import estimate_response
from diffphyscam_ros.calibration.shared_uncertainty import (
    unit_of_electrons,
    with_darkness,
    with_focal_length,
    with_gains,
    with_unit_of_electrons,
)
from diffphyscam_ros.calibration.starting_values import poses
from diffphyscam_ros.calibration.types import Estimate, RecordedFrame, StageResult
from diffphyscam_ros.calibration.vignetting import estimate_vignetting
from diffphyscam_ros.camera.sensor_model import SensorModel


@dataclass
class Context:
    """What is known while the stages run.

    :param sensor: with all that earlier stages have found.
    :param focal_known: whether the focal length was stated, not guessed.
    :param views: of the target, by index of the frame; None = it is not in that frame.
    :param results: of the stages that have run, by name.
    """

    request: Request
    recording: Recording
    sensor: SensorModel
    progress: Progress
    focal_known: bool = False
    pixel_known: bool = False
    views: dict[int, BoardView | None] = field(default_factory=dict)
    intrinsics: IntrinsicsResult | None = None
    results: dict[str, StageResult] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Open the cache of detections."""
        self.detections = DetectionCache() if self.request.cache else DetectionCache(None)

    @property
    def source(self) -> str:
        """The names of all bags."""
        return ', '.join(self.recording.bags)

    def view(self, frame: RecordedFrame) -> BoardView | None:
        """Return the view of the target in a frame; it is looked for once."""
        if frame.index not in self.views:
            target = self.request.target
            view = None
            if target is not None:
                view = self.detections.detect(
                    frame.image,
                    target,
                    name=frame_name(frame),
                    encoding=frame.encoding,
                    full_scale=frame.full_scale,
                )
            self.views[frame.index] = view
        return self.views[frame.index]

    def frames(self, what: str, *roles: str) -> Iterator[RecordedFrame]:
        """Yield the frames of some roles, showing the progress."""
        frames = self.recording.frames()
        for frame in self.progress.over(frames, what, len(self.recording)):
            if frame.role in roles:
                yield frame


def frame_name(frame: RecordedFrame) -> str:
    """Return how messages call a frame."""
    return f'frame {frame.index} of {frame.bag}'


class FocusEdges:
    """The edges of the board in a frame; where blur hides it, where it was in the frame before."""

    def __init__(self, context: Context) -> None:
        """See the class."""
        self._context = context
        self._last: tuple[str, list[Edge]] = ('', [])

    def __call__(self, frame: RecordedFrame) -> Sequence[Edge]:
        """Return the edges with their depths."""
        target, found = self._context.request.target, self._context.intrinsics
        view = self._context.view(frame)
        if view is not None and target is not None and found is not None:
            pose = poses([view], found.model, found.solution.fit.camera)
            if pose is not None:
                rotation, translation = pose
                self._last = (frame.bag, board_edges(view, target, rotation[0], translation[0]))
        bag, edges = self._last
        return edges if bag == frame.bag else []


def run_intrinsics(context: Context) -> StageResult:
    """Look for the target in every frame filmed for it, and estimate K and the distortion."""
    request = context.request
    if request.target is None:
        reason = (
            'no target was stated: give --target, for example --target '
            'charuco:11x8:0.02:0.015:DICT_5X5_100, and film that board'
        )
        return StageResult('intrinsics', refused_estimates(reason, context.source), (reason,))
    views: list[BoardView] = []
    bags: dict[str, None] = {}
    looked = 0
    for frame in context.frames('looking for boards', 'board'):
        looked += 1
        view = context.view(frame)
        if view is not None:
            views.append(view)
            bags[frame.bag] = None
    sensor = context.sensor
    found = estimate_intrinsics(
        views,
        context.recording.size,
        request.model,
        fixed=request.fixed,
        pixel_size=float(sensor.pixel_size) if context.pixel_known else None,
        focal_length=float(sensor.settings.focal_length) if context.focal_known else None,
        source=', '.join(bags) or context.source,
    )
    if found.fit is not None:
        context.intrinsics = found
        settings = replace(sensor.settings, focal_length=found.focal_length)
        context.sensor = replace(sensor, pixel_size=found.pixel_size, settings=settings)
    note = f'the board was found in {len(views)} of {looked} frames filmed for it'
    size = (
        f'distances are those of squares of {1000.0 * request.target.square_size:g} mm, as was '
        'stated: measure them, for pictures do not show their size; K does not depend on it'
    )
    if not looked:
        found_in = sum(view is not None for view in context.views.values())
        note = 'no frame was filmed for it'
        if context.views:
            note += (
                f': the target was found in {found_in} of {len(context.views)} frames in which it '
                'was looked for; if it is there, say --role BAG=board'
            )
    if not views:
        few = context.recording.frames(every=max(len(context.recording) // 8, 1))
        there = explain_frames(few, request.target)
        note += f': {there}' if there else ''
    return replace(found.stage, messages=(note, *found.stage.messages, *([size] if views else [])))


def run_response(context: Context) -> StageResult:
    """Find the response, from an exposure sweep of a still scene."""
    return estimate_response(context.frames('response', 'sweep', 'dark'), context.sensor)


def run_vignetting(context: Context) -> StageResult:
    """Find the law of the vignetting, from flat frames."""
    result = estimate_vignetting(context.frames('vignetting', 'flat', 'dark'), context.sensor)
    return with_focal_length(result, context.results['intrinsics'])


def run_noise(context: Context) -> StageResult:
    """Photon transfer, from flat and dark frames.

    Where it knows the unit of a gamma response better than the curve does, the response is fitted
    again in that unit, and the noise found again with it.
    """
    result = estimate_noise(context.frames('noise', 'flat', 'dark'), context.sensor)
    response = context.results['response']
    counted: tuple[Estimate, ...] = ()
    electrons = unit_of_electrons(result, response)
    if electrons is not None:
        sweep = context.frames('response in electrons', 'sweep', 'dark')
        response = estimate_response(sweep, context.sensor, electrons)
        counted = response.estimates
        sensor = sensor_with(context.sensor, counted)
        result = estimate_noise(context.frames('noise in electrons', 'flat', 'dark'), sensor)
    result = with_darkness(with_unit_of_electrons(result, response), response)
    return replace(result, estimates=(*counted, *result.estimates))


def run_defocus(context: Context) -> StageResult:
    """Find gain and dead zone of the blur, from the edges of the board or from one edge."""
    frames = context.frames('defocus', 'focus')
    distance = context.request.edge_distance
    if distance is not None or context.intrinsics is None:
        return estimate_defocus(frames, context.sensor, distance)
    return estimate_defocus(frames, context.sensor, edges=FocusEdges(context))


def run_colour(context: Context) -> StageResult:
    """Find what the channels make of grey: flat frames are taken for grey.

    Only of a raw mosaic is the white balance still open: other pictures have been balanced, or
    left as they are, and the camera that is simulated shall do the same.
    """
    result = estimate_colour(context.frames('colour', 'flat'), context.sensor)
    result = with_gains(result, context.results['noise'])
    if context.recording.encoding.startswith('bayer_'):
        return result
    reason = (
        'the recorded pictures are as the camera balanced them, so they stay as they are; record '
        'the raw mosaic (bayer_*) to choose it'
    )
    estimates = tuple(
        replace(item, value=None, std=None, verdict='not estimated', reason=reason)
        if item.name == 'white_balance' and item.value is not None
        else item
        for item in result.estimates
    )
    return replace(result, estimates=estimates)


STAGES: dict[str, Callable[[Context], StageResult]] = {
    'intrinsics': run_intrinsics,
    'response': run_response,
    'noise': run_noise,
    'vignetting': run_vignetting,  # knows the full well then, and refuses flats that reach it
    'defocus': run_defocus,
    'colour': run_colour,
}
"""Every stage that there is, in the order in which they build on each other."""


def run_stages(context: Context) -> list[StageResult]:
    """Run all stages; each sees what those before it have found."""
    results = []
    for name, stage in STAGES.items():
        context.progress.stage(name)
        result = stage(context)
        results.append(result)
        context.results[name] = result
        context.sensor = sensor_with(context.sensor, result.estimates)
    estimates = [item for result in results for item in result.estimates]
    output = darkness_in_response(estimates, context.sensor, context.recording.encoding)
    if output is not None:
        results.append(output)
        context.sensor = sensor_with(context.sensor, output.estimates)
    return results
