# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Fixtures for all tests, and a ROS graph that belongs to this test run alone."""

from __future__ import annotations

import os
from pathlib import Path
import sys

import pytest

# Before torch: two test runs side by side, whose threads spin, take three times as long.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
import torch

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(Path(__file__).parent))  # for pretend_cuda

# Before anything imports rclpy, and inherited by the processes that tests start: traffic stays on
# this machine, and test runs side by side do not meet (1 to 101 are the ids that always work).
os.environ['ROS_DOMAIN_ID'] = str(os.getpid() % 101 + 1)
if os.environ.get('ROS_DISTRO') == 'humble':
    os.environ['ROS_LOCALHOST_ONLY'] = '1'
else:
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'

# Before anything imports Triton: its kernels are interpreted where no GPU can run them.
if not torch.cuda.is_available():
    os.environ.setdefault('TRITON_INTERPRET', '1')


@pytest.fixture(scope='session')
def repository() -> Path:
    """Return the root of the source tree."""
    return REPOSITORY


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """Return the folder of sample data beside the checkout, which is not part of it."""
    folder = os.environ.get('DIFFPHYSCAM_SHARED_DATA', REPOSITORY.parent / 'shared' / 'data')
    folder = Path(folder)
    if not folder.is_dir():
        pytest.skip(f'no sample data: {folder} is absent (DIFFPHYSCAM_SHARED_DATA names another)')
    return folder
