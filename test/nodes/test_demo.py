# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The demo as a user starts it: real processes, real DDS, pictures at the end."""

from __future__ import annotations

from pathlib import Path
import re
import subprocess
import sys

import numpy as np
from PIL import Image
import pytest
import rclpy

from diffphyscam_ros.nodes.demo import APERTURES, EXPOSURES, FOCI, ISOS
from diffphyscam_ros.nodes.demo_scene_node import DemoSceneNode


@pytest.fixture(scope='module')
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run the demo once, its moving part short; return its folder and what it printed."""
    folder = tmp_path_factory.mktemp('demo')
    command = [sys.executable, '-m', 'diffphyscam_ros', 'demo', '--seconds', '2']
    finished = subprocess.run(
        [*command, '--output', str(folder)], capture_output=True, text=True, timeout=300
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return folder, finished.stdout


def test_it_writes_a_contact_sheet_with_every_sweep(demo: tuple[Path, str]) -> None:
    sheet = np.asarray(Image.open(demo[0] / 'contact_sheet.png'))
    assert sheet.shape[0] > 1500 and sheet.shape[1] > 1500
    assert sheet.std() > 40.0


def test_it_writes_an_animation_that_moves(demo: tuple[Path, str]) -> None:
    with Image.open(demo[0] / 'animation.gif') as animation:
        assert animation.n_frames >= 3
        first = np.asarray(animation.convert('RGB'), np.float64)
        animation.seek(animation.n_frames - 1)
        last = np.asarray(animation.convert('RGB'), np.float64)
    assert np.abs(first - last).mean() > 1.0


def test_the_sweeps_reach_their_settings_and_brightness_follows(demo: tuple[Path, str]) -> None:
    lines = re.findall(r'([\d.]+) ms +f/([\d.]+) +([\d.]+) m +ISO (\d+) +mean ([\d.]+)', demo[1])
    shots = np.array(lines, float)[3:]  # after the three that switch effects on
    exposure, aperture, focus, iso = shots[:4], shots[4:8], shots[8:12], shots[12:16]
    np.testing.assert_allclose(exposure[:, 0], np.array(EXPOSURES) / 1000, atol=0.06)
    assert (np.diff(exposure[:, 4]) > 0.03).all()
    np.testing.assert_allclose(aperture[:, 1], APERTURES, atol=0.06)
    np.testing.assert_allclose(focus[:, 2], FOCI, atol=0.006)
    np.testing.assert_allclose(iso[:, 3], ISOS)
    # the exposure time makes up for these: the picture stays as bright
    assert np.ptp(aperture[:, 4]) < 0.03 and np.ptp(iso[:, 4]) < 0.05


def test_it_reports_rate_latency_and_memory(demo: tuple[Path, str]) -> None:
    for word in ('rate', 'latency', 'rendering', 'memory'):
        assert re.search(rf'^{word} +[\d.]+', demo[1], re.MULTILINE), demo[1]


def test_its_nodes_end_without_a_traceback(demo: tuple[Path, str]) -> None:
    for log in demo[0].glob('*.log'):
        assert 'Traceback' not in log.read_text()


def test_the_world_survives_a_publisher_without_a_context() -> None:
    """Ctrl-C may come between the timer and its publisher; anything else is an error."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = DemoSceneNode(context=context)
    node.step()
    node.scene.publish = lambda _: (_ for _ in ()).throw(RuntimeError('invalid'))
    with pytest.raises(RuntimeError, match='invalid'):
        node.step()
    rclpy.shutdown(context=context)
    node.step()
