# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The demo's second half: what lenses, shutters and automatic control do besides."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from diffphyscam_ros.cli.contact_sheet import Row
from diffphyscam_ros.nodes.demo_client import DemoClient, Shot

SPEED = 6.0  # of the world, so that exposures of a few hundredths of a second see it move
BLUR_TIME = 40000.0  # µs
READOUT = 0.06  # s, slower than most: the lean is easy to see

LENS: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    'lateral colour (chromatic_scale), exaggerated': (
        {'chromatic_scale': [1.012, 1.0, 0.988]},
        {'chromatic_scale': [1.0, 1.0, 1.0]},
    ),
    'glare of bright lights (glare_fraction)': ({'glare_fraction': 0.25}, {'glare_fraction': 0.0}),
    'a rim before the lens, f/1.4 (rim_distance)': (
        {'rim_radius': 0.009, 'rim_distance': 0.02},
        {'rim_radius': 0.0, 'rim_distance': 0.0},
    ),
    'five aperture blades, focused at 0.5 m (psf)': (
        {'psf': 'polygon', 'aperture_blades': 5},
        {'psf': 'disk'},
    ),
}
"""For each picture of the lens the parameters that it is taken with, and those put back."""


def extra_rows(
    client: DemoClient, camera: str, world: str, take: Callable[..., Shot], middle: float
) -> Iterator[Row]:
    """Yield the rows; afterwards everything is as it was.

    :param camera: name of the camera node; world: of the world's.
    :param take: sets exposure, aperture, focus and ISO, the rest in the middle, and takes.
    :param middle: the exposure time in the middle, µs, at f/2.
    """
    wide = {'aperture': 1.4, 'exposure': 0.49 * middle}
    print('the lens:')
    pictures = []
    for label, (on, off) in LENS.items():
        client.set_parameters(camera, **on)
        changes = wide if '1.4' in label or '0.5 m' in label else {}
        if '0.5 m' in label:
            changes = {**changes, 'focus': 0.5}
        pictures.append((label, take(**changes).image))
        client.set_parameters(camera, **off)
    yield Row('What real lenses do besides (parameters)', pictures)

    print('motion:')
    client.set_parameters(world, speed=SPEED)
    slow = {'exposure': BLUR_TIME, 'iso': 100.0 * middle / BLUR_TIME}
    client.set_parameters(camera, enable_motion_blur=True)
    blurred = take(**slow).image
    client.set_parameters(camera, shutter_mode='rolling', readout_time=READOUT)
    rolled = take(exposure=2000.0, iso=600.0).image
    client.set_parameters(
        camera, enable_motion_blur=False, shutter_mode='global', readout_time=0.0
    )
    client.set_parameters(world, speed=0.0)

    print('automatic control:')
    dark = take(exposure=300.0).image
    client.set_parameters(camera, exposure_time_max=30000.0, exposure_auto='Once')
    client.call_trigger(f'{camera}/autofocus')
    found = _settled(client)
    client.set_parameters(camera, exposure_auto='Off', focus_auto='Off')
    yield Row(
        'Shutters and automatic control (parameters, ~/autofocus)',
        [
            (f'motion blur, {BLUR_TIME / 1000:g} ms (enable_motion_blur)', blurred),
            (f'rolling shutter, read out in {1000 * READOUT:g} ms', rolled),
            ('0.3 ms: too dark', dark),
            (
                f'exposure_auto: {found.metadata.exposure_time / 1000:.1f} ms, '
                f'{found.metadata.gain:.1f} dB; autofocus: {found.metadata.focus_distance:.2f} m',
                found.image,
            ),
        ],
    )


def _settled(client: DemoClient, frames: int = 60) -> Shot:
    """Return the first picture whose exposure is that of the one before it."""
    last = client.next_shot()
    for _ in range(frames):
        shot = client.next_shot()
        if shot.metadata.exposure_time == last.metadata.exposure_time and (
            shot.metadata.gain == last.metadata.gain and shot.metadata.mean_level > 0.1
        ):
            return shot
        last = shot
    return last
