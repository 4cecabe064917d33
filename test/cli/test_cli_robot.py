# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The command line and robots: joints move what is seen, mistakes end in one clear line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from diffphyscam_ros.cli.main import main

VIEW = ('--look-from', '1.2', '0.9', '0.6', '--look-at', '0', '0', '0.3', '--size', '64', '48')


def depth_of(repository: Path, folder: Path, *arguments: str) -> np.ndarray:
    """Return the depth of a picture of the arm."""
    arm = str(repository / 'examples' / 'robots' / 'arm.urdf')
    files = ('-o', str(folder / 'arm.npy'), '--depth-output', str(folder / 'depth.npy'))
    assert main(['render', arm, *VIEW, *files, *arguments]) == 0
    return np.load(folder / 'depth.npy')


def test_joints_move_the_robot(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    straight = depth_of(repository, tmp_path)
    bent = depth_of(repository, tmp_path, '--joint', 'shoulder=0.6', '--joint', 'elbow=1.2')
    assert not capsys.readouterr().err
    top = np.flatnonzero(np.isfinite(straight).any(axis=1))[0]
    lower = np.flatnonzero(np.isfinite(bent).any(axis=1))[0]
    assert lower > top + 5
    same = depth_of(repository, tmp_path, '--joint', 'wrist=3')
    assert np.array_equal(straight[-16:], same[-16:]) and not np.array_equal(straight, same)
    assert "'wrist' at 3.0 rad is beyond its limits, -2 to 2 rad" in capsys.readouterr().err


@pytest.mark.parametrize(
    ('joint', 'words'),
    [
        ('shoulder', 'must be NAME=VALUE'),
        ('shoulder=a', 'must be NAME=VALUE'),
        ('shoulder=inf', 'must be NAME=VALUE'),
        ('knee=1', "no joint 'knee'; those that move: 'turntable', 'shoulder', 'elbow'"),
        ('gripper_mirror=0.1', "follows 'gripper'"),
        ('shoulder=1,2,3', 'give each joint one position'),
    ],
)
def test_a_joint_that_cannot_be_is_refused_in_one_line(
    repository: Path, capsys: pytest.CaptureFixture[str], joint: str, words: str
) -> None:
    arm = str(repository / 'examples' / 'robots' / 'arm.urdf')
    assert main(['render', arm, *VIEW, '-o', 'never.png', '--joint', joint]) != 0
    error = capsys.readouterr().err
    assert words in error and 'Traceback' not in error and error.count('\n') == 1
    assert not Path('never.png').exists()
