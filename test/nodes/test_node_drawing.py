# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""How camera_node draws: shadows and smooth edges, switched while it runs."""

from __future__ import annotations

from camera_harness import marker, wall
import pytest

PLAIN = {
    'enable_distortion': False,
    'enable_noise': False,
    'enable_vignetting': False,
    'enable_defocus': False,
    'enable_glare': False,
}


@pytest.fixture
def things(client):
    """Show a box above a floor; the light comes from ahead and above."""
    client.set(**PLAIN)
    client.show(
        marker(place=(0.0, 0.0, -0.05), scale=(12.0, 12.0, 0.1), identity=1),
        marker(place=(0.2, -0.1, 0.3), scale=(0.3, 0.3, 0.3), identity=2),
    )
    return client


def test_shadows_are_switched(things):
    dark = things.shot().pixels.astype(float)
    things.set(shadows=False)
    lit = things.shot().pixels.astype(float)
    things.set(shadows=True)
    again = things.shot().pixels.astype(float)
    assert (lit - dark).max() > 10.0, 'the box throws a shadow on the floor'
    assert (lit - dark).min() > -2.0, 'a shadow makes nothing brighter'
    assert abs(again - dark).max() <= 1.0


def test_ambient_occlusion_is_switched(things):
    things.set(shadows=False)
    lit = things.shot().pixels.astype(float)
    things.set(ambient_occlusion=True)
    occluded = things.shot().pixels.astype(float)
    things.set(ambient_occlusion=False, shadows=True)
    assert (lit - occluded).max() > 2.0, 'the box keeps light of the sky from the floor'
    assert (lit - occluded).min() > -2.0, 'what is hidden makes nothing brighter'


def test_smooth_edges_are_switched(client):
    client.set(**PLAIN, shadows=False)
    client.show(wall())
    smooth = client.shot().pixels.astype(float)
    client.set(antialias=False)
    jagged = client.shot().pixels.astype(float)
    client.set(antialias=True)
    row = jagged[24].mean(axis=1)
    half = (row > 0.05 * row.max()) & (row < 0.95 * row.max())
    assert not half.any(), 'without it a pixel shows the wall or not'
    assert abs(smooth - jagged).max() > 3.0
