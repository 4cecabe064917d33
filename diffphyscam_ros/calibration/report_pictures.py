# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Recorded pictures of the board against those that the calibrated camera takes of it.

The board is drawn in its estimated pose and seen through the estimated lens and response, without
noise. Only how bright paper and ink are is fitted, with a slope of the light over the board: every
picture that the model explains then agrees with the recorded one up to noise. Of raw mosaics the
photosites are compared; they are shown demosaiced.

Each picture is a mapping with ``name``, ``caption``, ``labels`` (key of an image: what it is), the
images as PNG in base64 (keys that end in ``_png``), and ``psnr`` (dB) and ``ssim`` on the board.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.calibration.board_view import BoardView
from diffphyscam_ros.calibration.intrinsics import IntrinsicsResult
from diffphyscam_ros.calibration.joint_pattern import print_origin
from diffphyscam_ros.calibration.joint_samples import settings_of
from diffphyscam_ros.calibration.target_print import shapes
from diffphyscam_ros.calibration.targets import Target
from diffphyscam_ros.calibration.types import RecordedFrame
from diffphyscam_ros.camera import CameraSettings, PhysicalCamera, SensorModel
from diffphyscam_ros.camera.color import IDENTITY
from diffphyscam_ros.camera.plain import plain_copy

Array = npt.NDArray[Any]

FINER = 3
"""Rays a pixel, along each side, of the drawn board."""

PIXELS_PER_MM = 6.0
LARGEST = 4000  # px, of the drawn pattern
CONTRAST = 8
"""Times that differences are enlarged."""

SHOWN = 3
"""Views that are shown."""

LEVELS = 20000
WITHOUT_NOISE = ('exposure', 'response', 'quantization', 'color')
RAW = ('exposure', 'mosaic', 'response', 'quantization')
LENS = ('distortion', 'aberration', 'vignetting', 'defocus', 'glare')


def chosen_views(result: IntrinsicsResult) -> tuple[tuple[int, BoardView], ...]:
    """Return number and view of those to show: the best, the middle and the worst."""
    errors = result.solution.view_errors()
    order = np.argsort(errors, kind='stable')
    places = np.linspace(0, len(order) - 1, SHOWN).round().astype(int)
    picked = dict.fromkeys(int(order[place]) for place in places)
    return tuple((number, result.views[number]) for number in picked)


class Calibrated(NamedTuple):
    """A camera, and where it saw boards."""

    intrinsics: IntrinsicsResult
    sensor: SensorModel


def pictures(
    frames: Iterable[RecordedFrame],
    names: Callable[[RecordedFrame], str],
    calibrated: Calibrated,
    target: Target,
    staged: Calibrated | None = None,
) -> tuple[dict[str, Any], ...]:
    """Return the comparisons of some views.

    :param frames: of the recording, gone through once.
    :param names: gives the name that a frame's view has.
    :param staged: the camera before the joint refinement, where that changed it.
    """
    result = calibrated.intrinsics
    wanted = {view.name: (number, view) for number, view in chosen_views(result)}
    found = []
    for frame in frames:
        name = names(frame)
        if name not in wanted:
            continue
        number, view = wanted[name]
        picture = compared(frame, view, _pose(result, number), target, calibrated.sensor)
        if staged is not None:
            pose = _pose(staged.intrinsics, number)
            before = compared(frame, view, pose, target, staged.sensor)
            picture = _beside(picture, before)
        found.append(picture)
    return tuple(found)


def _pose(result: IntrinsicsResult, number: int) -> tuple[Array, Array]:
    fit = result.solution.fit
    return fit.rotation[number], fit.translation[number]


def _beside(picture: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Return a comparison with what the staged camera made of the same view."""
    words = picture['labels']
    labels = {
        'recorded_png': words['recorded_png'],
        'straight_png': words['straight_png'],
        'staged_png': 'Taken by the staged camera, before the joint refinement',
        'made_png': 'Taken by the refined camera',
        'staged_difference_png': f'Staged less recorded, {CONTRAST} times enlarged; grey is none',
        'difference_png': f'Refined less recorded, {CONTRAST} times enlarged; grey is none',
    }
    return {
        **picture,
        'caption': f'{picture["caption"]} With the staged values: {before["psnr"]:.1f} dB, SSIM '
        f'{before["ssim"]:.3f}.',
        'labels': labels,
        'staged_psnr': before['psnr'],
        'staged_ssim': before['ssim'],
        'staged_png': before['made_png'],
        'staged_difference_png': before['difference_png'],
    }


def compared(
    frame: RecordedFrame,
    view: BoardView,
    pose: tuple[Array, Array],
    target: Target,
    sensor: SensorModel,
) -> dict[str, Any]:
    """Return a recorded picture beside the one that the camera takes of the same board.

    :param pose: rotation (3, 3) and translation (3,) of the board, m.
    """
    recorded = frame.linear_unit()
    pattern = frame.encoding[6:10] if frame.encoding.startswith('bayer_') else 'none'
    if recorded.ndim == 2:
        recorded = np.repeat(recorded[..., None], 3, axis=2)
    settings = settings_of(frame.settings, sensor)
    lens = PhysicalCamera(sensor, stages=LENS)
    sense = PhysicalCamera(
        replace(sensor, bayer_pattern=pattern), stages=WITHOUT_NOISE if pattern == 'none' else RAW
    )
    source = plain_copy(lens.source_intrinsics(settings))
    paper, depth = _drawn(target, pose, source)
    with torch.no_grad():
        seen = [_through(lens, light, depth, settings) for light in (paper, np.ones_like(paper))]
    on_board, everywhere = seen
    board = _through_mask(lens, depth, settings)
    light = _light(recorded, sense, settings)
    known = _photosites(recorded.shape[:2], pattern) & (recorded < 0.98) & board[..., None]
    made_light = _fitted(light, on_board, everywhere, known)
    with torch.no_grad():
        shot = sense.sense(torch.from_numpy(made_light), settings)
    made = shot.image.numpy().astype(np.float32)
    made = np.repeat(made, 3, axis=2) if made.shape[2] == 1 else made
    error = (made - recorded)[board]
    psnr = float(-10.0 * np.log10(max(float((error**2).mean()), 1e-12)))
    similar = float(_ssim(recorded, made)[board].mean())
    recorded, made = (_coloured(part, pattern) for part in (recorded, made))
    shown = np.where(board[..., None], made, 0.35 * recorded + 0.65)
    difference = np.where(board[..., None], 0.5 + CONTRAST * (made - recorded), 0.9)
    labels = {
        'recorded_png': 'Recorded, with the detected corners',
        'made_png': 'Taken by the calibrated camera (outside of the board: not drawn)',
        'difference_png': f'Taken less recorded, {CONTRAST} times enlarged; grey is none',
        'straight_png': 'Recorded, undistorted: straight lines are straight',
    }
    where = 'On the board' if pattern == 'none' else 'On the photosites of the board'
    return {
        'name': view.name,
        'caption': f'{where} the two differ by {psnr:.1f} dB (PSNR), SSIM {similar:.3f}.',
        'psnr': psnr,
        'ssim': similar,
        'labels': labels,
        'recorded_png': _png(_marked(recorded, view)),
        'made_png': _png(shown),
        'difference_png': _png(difference),
        'straight_png': _png(_straight(recorded, sensor, settings)),
    }


def _photosites(size: tuple[int, int], pattern: str) -> Array:
    """Return which channels each pixel shows, (H, W, 3) bool: all, or one of a mosaic."""
    if pattern == 'none':
        return np.ones((*size, 3), bool)
    row, column = np.indices(size)
    tile = np.array(['rgb'.index(letter) for letter in pattern])
    return np.asarray(tile[2 * (row % 2) + column % 2][..., None] == np.arange(3))


def _coloured(picture: Array, pattern: str) -> Array:
    """Return a mosaic, which is there three times, in colours; any other picture as it is."""
    if pattern == 'none':
        return picture
    values = np.clip(picture[..., 0] * 65535.0, 0, 65535).round().astype(np.uint16)
    # OpenCV names a pattern by its second row.
    code = {'rggb': cv2.COLOR_BayerBG2RGB, 'bggr': cv2.COLOR_BayerRG2RGB,
            'gbrg': cv2.COLOR_BayerGR2RGB, 'grbg': cv2.COLOR_BayerGB2RGB}[pattern]  # fmt: skip
    return cv2.cvtColor(values, code).astype(np.float32) / 65535.0


def _drawn(target: Target, pose: tuple[Array, Array], source: Any) -> tuple[Array, Array]:
    """Return the board in the pinhole view: light (H, W, 3), paper 1, ink 0; depth (H, W).

    Off the board the depth is 0.
    """
    width, height = target.size
    scale = min(PIXELS_PER_MM * 1e3, LARGEST / max(width, height))  # px for each m
    pattern = np.full((round(height * scale), round(width * scale)), 255, np.uint8)
    for shape in shapes(target):
        _paint(pattern, shape, scale * 1e-3)
    half = 0.5 / scale - print_origin(target)
    to_board = np.array([[1.0 / scale, 0.0, half], [0.0, 1.0 / scale, half], [0.0, 0.0, 1.0]])
    rotation, place = (np.asarray(part, np.float64) for part in pose)
    plane = np.column_stack([rotation[:, 0], rotation[:, 1], place.ravel()])
    k = np.array([[source.fx, 0, source.cx], [0, source.fy, source.cy], [0, 0, 1]], np.float64)
    middle = (FINER - 1) / 2.0
    finer = np.array([[FINER, 0, middle], [0, FINER, middle], [0, 0, 1]], np.float64)
    size = (source.width * FINER, source.height * FINER)
    view = finer @ k @ plane @ to_board
    fine = cv2.warpPerspective(pattern, view, size, flags=cv2.INTER_AREA, borderValue=255)
    inside = cv2.warpPerspective(np.full_like(pattern, 255), view, size, flags=cv2.INTER_NEAREST)
    blocks = (source.height, FINER, source.width, FINER)
    light = fine.reshape(blocks).mean(axis=(1, 3)).astype(np.float32) / 255.0
    board = inside.reshape(blocks).min(axis=(1, 3)) == 255
    u, v = np.meshgrid(np.arange(source.width), np.arange(source.height))
    rays = np.stack(
        [(u - source.cx) / source.fx, (v - source.cy) / source.fy, np.ones_like(u)], -1
    )
    normal = rotation[:, 2]
    slope = rays @ normal
    depth = float(normal @ place.ravel()) / np.where(np.abs(slope) < 1e-9, 1e-9, slope)
    depth = np.where(board & (depth > 0), depth, 0.0).astype(np.float32)
    return np.repeat(light[..., None], 3, axis=2), depth


def _paint(pattern: Array, shape: Any, scale: float) -> None:
    """Paint one shape of the print; ``scale`` in px for each mm."""
    value = 0 if shape.black else 255
    left, top = round(shape.x * scale), round(shape.y * scale)
    right, bottom = round((shape.x + shape.width) * scale), round((shape.y + shape.height) * scale)
    if shape.round:
        centre = ((left + right) // 2, (top + bottom) // 2)
        cv2.circle(pattern, centre, round(shape.width * scale / 2), value, -1, cv2.LINE_AA)
    else:
        pattern[top:bottom, left:right] = value


def _through(lens: PhysicalCamera, light: Array, depth: Array, settings: CameraSettings) -> Array:
    filled = np.where(depth > 0, depth, np.median(depth[depth > 0]))
    radiance = torch.from_numpy(np.ascontiguousarray(light, np.float32))
    seen = lens.lens(radiance, torch.from_numpy(filled.astype(np.float32)), settings)
    return seen.numpy().astype(np.float64)


def _through_mask(lens: PhysicalCamera, depth: Array, settings: CameraSettings) -> Array:
    """Return which pixels show nothing but the board."""
    plain = PhysicalCamera(lens.sensor, stages=('distortion',))
    board = np.repeat((depth > 0).astype(np.float32)[..., None], 3, axis=2)
    with torch.no_grad():
        seen = plain.lens(torch.from_numpy(board), torch.from_numpy(depth), settings).numpy()
    clear = (seen[..., 0] > 0.999).astype(np.uint8)
    return np.asarray(cv2.erode(clear, np.ones((5, 5), np.uint8)), bool)


def _light(recorded: Array, sense: PhysicalCamera, settings: CameraSettings) -> Array:
    """Return the irradiance that gives the recorded values, (H, W, 3)."""
    matrix = np.asarray(sense.sensor.color_matrix, np.float64).reshape(3, 3)
    unmixed = recorded @ np.linalg.pinv(matrix).T
    levels = np.concatenate([[0.0], np.geomspace(1e-9, 1e9, LEVELS)])
    ramp = torch.from_numpy(levels)[None, :, None].expand(1, -1, 3).contiguous()
    stages = tuple(stage for stage in sense.stages if stage not in ('mosaic', 'quantization'))
    plain = replace(sense.sensor, bayer_pattern='none', color_matrix=IDENTITY)
    smooth = PhysicalCamera(plain, stages=stages)
    with torch.no_grad():
        values = smooth.sense(ramp, settings).image[0].numpy()
    return np.stack(
        [
            np.interp(unmixed[..., c], *_rising(values[:, c], levels)).astype(np.float64)
            for c in range(3)
        ],
        axis=-1,
    )


def _rising(values: Array, levels: Array) -> tuple[Array, Array]:
    """Return a curve without its flat parts, where it has no inverse."""
    keep = np.concatenate([[True], np.diff(np.maximum.accumulate(values)) > 0])
    return values[keep], levels[keep]


def _fitted(light: Array, on_board: Array, everywhere: Array, use: Array) -> Array:
    """Return the light of ink and paper that fits best, with a slope over the picture."""
    height, width = use.shape[:2]
    y, x = np.mgrid[:height, :width] / max(height, width) - 0.5
    made = np.zeros_like(light)
    for channel in range(3):
        paper, all_ = on_board[..., channel], everywhere[..., channel]
        mine = use[..., channel]
        parts = np.stack([all_, paper, paper * x, paper * y], axis=-1)
        shares, *_ = np.linalg.lstsq(parts[mine], light[..., channel][mine], rcond=None)
        made[..., channel] = np.maximum(parts @ shares, 0.0)
    return made


def _ssim(one: Array, other: Array) -> Array:
    """Return the structural similarity of two pictures' greys, (H, W) (Wang et al. 2004)."""
    a, b = (part.mean(axis=2).astype(np.float64) for part in (one, other))

    def blur(values: Array) -> Array:
        return np.asarray(cv2.GaussianBlur(values, (11, 11), 1.5))

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    both = blur(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    return ((2 * mean_a * mean_b + c1) * (2 * both + c2)) / (
        (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    )


def _marked(recorded: Array, view: BoardView) -> Array:
    marked = np.ascontiguousarray((np.clip(recorded, 0, 1) * 255).round().astype(np.uint8))
    radius = max(2, round(recorded.shape[1] / 200))
    for x, y in view.image_points:
        centre = (round(x * 16), round(y * 16))
        cv2.circle(marked, centre, radius * 16, (230, 90, 30), 1, cv2.LINE_AA, 4)
    return marked.astype(np.float32) / 255.0


def _straight(recorded: Array, sensor: SensorModel, settings: CameraSettings) -> Array:
    """Return the picture as a lens without distortion would have taken it."""
    k = plain_copy(sensor.intrinsics(settings))
    matrix = np.array([[k.fx, 0, k.cx], [0, k.fy, k.cy], [0, 0, 1]], np.float64)
    d = np.asarray(tuple(sensor.distortion_coefficients), np.float64)
    size = (k.width, k.height)
    if sensor.distortion_model == 'equidistant':
        maps = cv2.fisheye.initUndistortRectifyMap(
            matrix, d, np.eye(3), matrix, size, cv2.CV_32FC1
        )
    else:
        maps = cv2.initUndistortRectifyMap(matrix, d, np.eye(3), matrix, size, cv2.CV_32FC1)
    picture = np.ascontiguousarray(recorded, np.float32)
    return np.asarray(
        cv2.remap(picture, maps[0], maps[1], cv2.INTER_LINEAR, borderValue=(1, 1, 1))
    )


def _png(picture: Array) -> str:
    """Return a picture with values in [0, 1] as PNG in base64, at most 800 px wide."""
    values: Array = (np.clip(picture, 0, 1) * 255).round().astype(np.uint8)[..., ::-1]
    if values.shape[1] > 800:
        scale = 800 / values.shape[1]
        values = np.asarray(
            cv2.resize(values, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        )
    good, data = cv2.imencode('.png', np.ascontiguousarray(values))
    if not good:
        raise RuntimeError('OpenCV could not write a PNG')
    return base64.b64encode(data.tobytes()).decode('ascii')
