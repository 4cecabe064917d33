# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Defocus gain and dead zone from slanted edges and boards that the camera blurred."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from photometry_frames import Filming
import pytest
import torch

from diffphyscam_ros.calibration.board_edges import board_edges
from diffphyscam_ros.calibration.board_view import BoardView
from diffphyscam_ros.calibration.defocus import estimate_defocus
from diffphyscam_ros.calibration.edge_spread import find_edge, measure_edge
from diffphyscam_ros.calibration.errors import CalibrationError
from diffphyscam_ros.calibration.targets import Target
from diffphyscam_ros.calibration.types import FrameSettings, RecordedFrame
from diffphyscam_ros.camera import CameraSettings, SENSOR_STAGES, SensorModel
from diffphyscam_ros.camera.defocus import defocus

SETTINGS = CameraSettings(2.0, 0.01, 100.0, 0.02, 1.0)
STAGES = ('defocus', *SENSOR_STAGES[:-1])
DISTANCE = 1.2
FOCUSES = (0.6, 0.8, 1.0, 1.1, 1.15, 1.25, 1.35, 1.8, 4.0)
BASE = SensorModel(
    image_width=112,
    image_height=88,
    aggregator_gain=1e14,
    response_gains=(1 / 1.2e6,) * 3,
    shot_noise_gain=(1.0,) * 3,
    read_noise=(6.0,) * 3,
    read_noise_fixed=False,
    dsnu=(4.0,) * 3,
    prnu=(0.01,) * 3,
    black_level=0.04,
    bit_depth=12,
    settings=SETTINGS,
)
LIGHT = 8000.0 / (1e14 * 1000.0 * 36e-12 * 0.01 / 4.0)


def averaged(picture: np.ndarray, over: int) -> torch.Tensor:
    """Return radiance whose pixels are means over their area."""
    height, width = picture.shape[0] // over, picture.shape[1] // over
    mean = picture.reshape(height, over, width, over).mean(axis=(1, 3))
    return torch.tensor(np.repeat((LIGHT * mean)[..., None], 3, axis=2), dtype=torch.float32)


def slanted(sensor: SensorModel, angle: float = 0.1, over: int = 8) -> torch.Tensor:
    """Return an edge turned from the vertical by an angle."""
    y, x = np.mgrid[: int(sensor.image_height) * over, : int(sensor.image_width) * over] / over
    across = (x - 56.2) * np.cos(angle) + (y - 44.0) * np.sin(angle)
    return averaged(0.1 + 0.8 * (across > 0), over)


def focus_sweep(
    truth: SensorModel,
    seed: int = 0,
    focuses: Sequence[float] = FOCUSES,
    apertures: Sequence[float] = (2.0, 4.0),
    encoding: str = 'rgb16',
    angle: float = 0.1,
    told_focus: dict[float, float] | None = None,
) -> Iterator[RecordedFrame]:
    """Film the edge at several focus distances and apertures."""
    filming = Filming(truth, encoding, seed, STAGES)
    depth = torch.full((int(truth.image_height), int(truth.image_width)), DISTANCE)
    for aperture in apertures:
        scene = slanted(truth, angle) * (aperture / 2.0) ** 2
        for focus in focuses:
            settings = replace(SETTINGS, aperture=aperture, focus_distance=focus)
            told = FrameSettings(0.01, 100.0, aperture, (told_focus or {}).get(focus, focus), 0.02)
            yield from filming.film(scene, settings, 'focus', 1, told, depth)


@pytest.mark.parametrize(
    ('psf', 'gain', 'zone', 'encoding', 'angle'),
    [
        ('gaussian', 0.8, 0.0, 'rgb16', 0.1),
        ('gaussian', 1.1, 0.17, 'mono16', 1.4),
        ('disk', 0.6, 0.13, 'rgb16', 0.1),
        ('disk', 0.6, 0.0, 'bayer_rggb16', 0.2),
    ],
)
def test_gain_zone_and_shape_are_found(
    psf: str, gain: float, zone: float, encoding: str, angle: float
) -> None:
    """The gain within 3 %, both within 3 standard deviations, the shape by its edge."""
    pattern = encoding[6:10] if encoding.startswith('bayer') else 'none'
    nominal = replace(BASE, bayer_pattern=pattern)
    truth = replace(nominal, psf=psf, defocus_gain=gain, defocus_dead_zone=zone)
    frames = focus_sweep(truth, 1, encoding=encoding, angle=angle)
    result = estimate_defocus(frames, nominal, distance=DISTANCE)
    found = {e.name: e for e in result.estimates}
    estimate = found['defocus_gain']
    assert estimate.value == pytest.approx(gain, rel=0.03)
    assert abs(estimate.value - gain) < 3 * estimate.std
    assert estimate.std < 0.03 * gain
    dead = found['defocus_dead_zone']
    assert abs(dead.value - zone) < 3 * dead.std < 0.35
    assert (dead.value > 0) == (zone > 0)
    if encoding != 'bayer_rggb16':
        assert found['psf'].value == psf
    assert len(result.plots['edges']) == len(FOCUSES) * 2
    assert result.messages == ()


def test_a_lens_that_is_never_sharp_does_not_change_the_gain() -> None:
    """Its blur adds in squares and is told from that of defocus."""
    truth = replace(BASE, defocus_gain=0.8)

    def soft() -> Iterator[RecordedFrame]:
        for frame in focus_sweep(truth):
            picture = torch.from_numpy(frame.image.astype(np.float32))
            blur = torch.full(picture.shape[:2], 6.0)  # sigma = 1 px
            blurred = defocus(picture, blur).numpy()
            yield replace(frame, image=np.round(blurred).astype(np.uint16))

    result = estimate_defocus(soft(), BASE, distance=DISTANCE)
    assert result.estimates[0].value == pytest.approx(0.8, rel=0.03)
    assert 0.9 < result.plots['fit']['sharp_sigma'] < 1.2


def test_a_wrong_focus_distance_is_named() -> None:
    """One frame says 1.8 m where it was 0.6 m away from it."""
    truth = replace(BASE, defocus_gain=0.8)
    frames = focus_sweep(truth, told_focus={1.8: 1.1})
    result = estimate_defocus(frames, BASE, distance=DISTANCE)
    assert any('do not fit the others' in m and 'frame 7' in m for m in result.messages)
    assert result.estimates[0].value == pytest.approx(0.8, rel=0.05)


def test_a_small_range_of_blur_is_refused() -> None:
    """Nothing but sharp pictures."""
    frames = focus_sweep(BASE, focuses=(1.18, 1.2, 1.21), apertures=(4.0, 8.0))
    result = estimate_defocus(frames, BASE, distance=DISTANCE)
    assert all(e.verdict == 'not estimated' for e in result.estimates)
    assert 'ranges from' in result.messages[0]
    assert 'step by step' in result.messages[0]


def test_what_is_missing_is_said() -> None:
    """Distances, focus, edges."""
    frames = list(focus_sweep(BASE, focuses=FOCUSES[:3]))
    assert 'without a distance' in estimate_defocus(frames, BASE).messages[0]
    unknown = [replace(frame, settings=FrameSettings(0.01, 100.0)) for frame in frames]
    messages = estimate_defocus(unknown, BASE, distance=DISTANCE).messages
    assert 'without aperture or focus distance' in messages[0]
    plain = [replace(frame, image=np.full_like(frame.image, 20000)) for frame in frames]
    messages = estimate_defocus(plain, BASE, distance=DISTANCE).messages
    assert 'without a straight edge' in messages[0]
    bright = [replace(f, image=(f.image.clip(0, 21845) * 3).astype(np.uint16)) for f in frames]
    messages = estimate_defocus(bright, BASE, distance=DISTANCE).messages
    assert 'with a saturated edge' in messages[0]
    boards = [replace(frame, role='board') for frame in frames]
    assert "role 'board'" in estimate_defocus(boards, BASE, distance=DISTANCE).messages[1]


def test_a_slanted_edge_is_found_and_measured() -> None:
    """Its place to a tenth of a pixel, and the deviation of a known blur."""
    scene = slanted(BASE, angle=0.25)[..., 0].double().numpy() / LIGHT
    edge = find_edge(scene)
    assert edge is not None
    middle = (np.array(edge.start) + np.array(edge.end)) / 2.0
    # the picture's pixel (0, 0) has its centre at 0.5 of the scene's coordinates
    across = (middle[0] + 0.5 - 56.2) * np.cos(0.25) + (middle[1] + 0.5 - 44.0) * np.sin(0.25)
    assert abs(across) < 0.1
    spread = measure_edge(scene, edge)
    assert spread is not None
    assert spread.contrast == pytest.approx(0.8, rel=0.01)
    assert 0.25 < spread.sigma < 0.4  # that of the pixel, 1/sqrt(12), and the fit's part
    assert find_edge(np.full((50, 50), 0.5)) is None
    noise = np.random.default_rng(0).uniform(size=(60, 60))
    found = find_edge(noise)
    assert found is None or measure_edge(noise, found) is None


def test_the_edges_of_a_board_have_their_own_depths() -> None:
    """A chessboard seen askance: depth of each edge, and the gain from a few pictures."""
    target = Target('chessboard', 5, 4, 0.02)
    turn = 0.6
    rotation = np.array(
        [[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]]
    )
    points = target.object_points() @ rotation.T + np.array([-0.03, -0.03, 0.5])
    focal = 2000.0
    pixels = points[:, :2] / points[:, 2:] * focal + 150.0
    view = BoardView.of(target, np.arange(20), pixels, (300, 300))
    edges = board_edges(view, target, rotation, (-0.03, -0.03, 0.5))
    depths = [edge.depth for edge in edges]
    assert 10 <= len(edges) <= 24
    assert min(points[:, 2]) <= min(depths) < max(depths) <= max(points[:, 2])
    for edge in edges:
        middle = (np.array(edge.start) + np.array(edge.end)) / 2.0
        near = np.argmin(np.linalg.norm(pixels - middle, axis=1))
        assert abs(edge.depth - points[near, 2]) < 0.011
    with pytest.raises(CalibrationError, match='squares have edges'):
        board_edges(view, Target('circles', 5, 4, 0.02), rotation, (0, 0, 0.5))
