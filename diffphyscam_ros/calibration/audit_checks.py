# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""For each group of parameters: can it be estimated from a recording, and if not, what to record.

What is asked for is the least with which the stages of calibration can begin; they themselves say
how good their result is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from diffphyscam_ros.calibration.picture_features import FrameFeatures
from diffphyscam_ros.calibration.roles import distinct, exposure_of, stretches

YES, WEAK, NO = 'yes', 'weak', 'no'

BOARD_VIEWS, FEWEST_VIEWS = 10, 3
FLAT_FRAMES = 3
FLAT_LEVELS = (0.15, 0.9)
"""Levels of a flat field from which vignetting can be read."""

RESPONSE_EXPOSURES, RESPONSE_RATIO = 4, 8.0
NOISE_EXPOSURES, NOISE_RATIO = 5, 8.0
DARK_EXPOSURES, DARK_RATIO = 2, 4.0
FOCUS_SETTINGS = 4
CLIPPED_SHARE = 0.01


@dataclass(frozen=True)
class Ability:
    """A group of parameters and whether it can be estimated.

    :param fields: of ``SensorModel``.
    :param verdict: 'yes', 'weak' or 'no'.
    :param reason: from what, or why not.
    :param remedy: what to record or to give; '' where nothing is missing.
    """

    group: str
    fields: tuple[str, ...]
    verdict: str
    reason: str
    remedy: str = ''


@dataclass(frozen=True)
class Facts:
    """What the checks go by.

    :param frames: all that were measured.
    :param usable: those that are settled and not taken with automatic exposure.
    :param automatic: 'running', 'off', 'not known'.
    :param boards: found, of how many looked at; None = no target was given.
    """

    frames: Sequence[FrameFeatures]
    usable: Sequence[FrameFeatures]
    automatic: str
    boards: tuple[int, int] | None
    encoding: str
    lossy: bool

    def of(self, *roles: str) -> list[FrameFeatures]:
        """Return the usable frames of some roles."""
        return [frame for frame in self.usable if frame.role in roles]

    def exposures(self, frames: Sequence[FrameFeatures]) -> list[float]:
        """Return the different exposures, s at ISO 100."""
        return distinct(exposure_of(frame.settings) for frame in frames)

    @property
    def colour(self) -> bool:
        """Whether the pictures have colours."""
        return not self.encoding.startswith('mono')


Check = Callable[[Facts], tuple[str, str, str]]

_EXPOSURE_DATA = (
    'record the metadata topic or /parameter_events of the driver, or give a CSV of the settings'
)
_FIX = 'switch automatic exposure and gain off and record again'


def _unclipped(frames: Sequence[FrameFeatures]) -> list[FrameFeatures]:
    return [frame for frame in frames if frame.picture.saturated <= CLIPPED_SHARE]


def _ratio(values: Sequence[float]) -> float:
    return values[-1] / values[0] if values else 1.0


def _intrinsics(facts: Facts) -> tuple[str, str, str]:
    if facts.boards is None:
        return NO, 'no target was looked for', 'say which with --target'
    found, looked = facts.boards
    film = 'film the board at 20 or more places: tilted, near and far, into every corner'
    if looked == 0:
        return NO, 'all frames are flat or dark, so none was searched for the target', film
    if found == 0:
        return NO, f'the target is in none of {looked} frames', f'{film}; is --target right?'
    boards = [frame for frame in facts.frames if frame.role in ('board', 'focus')]
    views = len(stretches(boards))
    reason = f'the target is in {found} of {looked} frames that were looked at, {views} views'
    if boards and views < FEWEST_VIEWS:
        return NO, f'{reason}: it hardly moved', film
    if min(found, views) < BOARD_VIEWS:
        return WEAK, reason, film
    return YES, reason, ''


def _vignetting(facts: Facts) -> tuple[str, str, str]:
    flat = facts.of('flat')
    film = 'film an evenly lit white surface close up, defocused, 20 frames at half of full scale'
    low, high = FLAT_LEVELS
    good = [frame for frame in _unclipped(flat) if low <= frame.picture.level <= high]
    if not flat:
        return NO, 'there are no flat frames', film
    if len(good) < FLAT_FRAMES:
        reason = (
            f'{len(good)} of {len(flat)} flat frames have a level of {low} to {high} unclipped'
        )
        return NO, reason, film
    return YES, f'{len(good)} flat frames', ''


def _response(facts: Facts) -> tuple[str, str, str]:
    frames = facts.of('sweep', 'flat')
    film = (
        f'put the camera on a tripod and film one scene at {RESPONSE_EXPOSURES} or more exposure '
        f'times over a factor of {RESPONSE_RATIO:g}, from nearly black to partly saturated'
    )
    if facts.automatic == 'running':
        return NO, 'automatic exposure was running', f'{_FIX}; {film}'
    if not frames:
        return NO, 'no view was taken at several exposures', film
    exposures = facts.exposures(frames)
    if not exposures:
        return NO, 'the exposure times are not known', _EXPOSURE_DATA
    reason = f'{len(exposures)} exposures over a factor of {_ratio(exposures):.3g}'
    if len(exposures) < RESPONSE_EXPOSURES or _ratio(exposures) < RESPONSE_RATIO:
        return (WEAK if len(exposures) >= 3 else NO), reason, film
    return YES, reason, ''


def _photons(facts: Facts) -> tuple[str, str, str]:
    flat = facts.of('flat')
    film = (
        f'film the flat surface at {NOISE_EXPOSURES} or more exposure times over a factor of '
        f'{NOISE_RATIO:g}, 2 or more frames each, camera and light unmoved'
    )
    if facts.automatic == 'running':
        return NO, 'automatic exposure was running', f'{_FIX}; {film}'
    if not flat:
        return NO, 'there are no flat frames', film
    exposures = facts.exposures(flat)
    if not exposures:
        return NO, 'the exposure times are not known', _EXPOSURE_DATA
    levels = distinct(frame.picture.level for frame in _unclipped(flat))
    reason = f'flat frames of {len(exposures)} exposures over a factor of {_ratio(exposures):.3g}'
    if len(exposures) < 3 or len(flat) < 2 * len(exposures) or len(levels) < 3:
        return NO, f'{len(flat)} {reason}', film
    if facts.lossy:
        return WEAK, f'{reason}, but JPEG alters the noise', 'record the raw topic, or png'
    if len(exposures) < NOISE_EXPOSURES or _ratio(exposures) < NOISE_RATIO:
        return WEAK, reason, film
    return YES, reason, ''


def _dark(facts: Facts) -> tuple[str, str, str]:
    dark = facts.of('dark')
    film = (
        f'cap the lens and film at {DARK_EXPOSURES} or more exposure times over a factor of '
        f'{DARK_RATIO:g}, the longest included, 16 frames each'
    )
    if len(dark) < 2:
        return NO, f'{len(dark)} dark frames', film
    exposures = facts.exposures(dark)
    if not exposures:
        return NO, 'the exposure times are not known', _EXPOSURE_DATA
    reason = f'{len(dark)} dark frames of {len(exposures)} exposures'
    if facts.lossy:
        return WEAK, f'{reason}, but JPEG alters the noise', 'record the raw topic, or png'
    if len(exposures) < DARK_EXPOSURES or _ratio(exposures) < DARK_RATIO:
        return WEAK, reason, film
    return YES, reason, ''


def _darkness(facts: Facts) -> tuple[str, str, str]:
    dark = facts.of('dark')
    if not dark:
        return NO, 'there are no dark frames', 'cap the lens and film at the shortest exposure'
    return YES, f'{len(dark)} dark frames', ''


def _full_well(facts: Facts) -> tuple[str, str, str]:
    flat = facts.of('flat')
    film = 'film the flat surface up to saturation'
    saturated = [frame for frame in flat if frame.picture.saturated > 0.5]
    verdict, reason, remedy = _photons(facts)
    if verdict == NO:
        return verdict, reason, remedy
    if not saturated:
        return NO, 'no flat frame is saturated', film
    return verdict, f'{len(saturated)} saturated flat frames', remedy


def _defocus(facts: Facts) -> tuple[str, str, str]:
    frames = facts.of('focus')
    film = (
        f'film the board or a slanted edge at {FOCUS_SETTINGS} or more focus distances or '
        'apertures from one place, its distance known'
    )
    if not frames:
        return NO, 'no view was taken at several focus distances or apertures', film
    known = [frame.settings for frame in frames if frame.settings is not None]
    pairs = {(item.aperture, item.focus_distance) for item in known}
    missing = [
        name
        for name in ('aperture', 'focus_distance', 'focal_length')
        if not any(getattr(item, name) is not None for item in known)
    ]
    if missing:
        words = ' and '.join(name.replace('_', ' ') for name in missing)
        return NO, f'{words} are not known', 'give them as constants or in a CSV'
    if len(pairs) < FOCUS_SETTINGS:
        return WEAK, f'{len(pairs)} settings of focus and aperture', film
    return YES, f'{len(pairs)} settings of focus and aperture', ''


def _balance(facts: Facts) -> tuple[str, str, str]:
    if not facts.colour:
        return NO, 'the pictures have no colours', 'record the colour topic'
    if not _unclipped(facts.of('flat')):
        return NO, 'no grey surface is in it', 'film a grey card or the flat surface, unsaturated'
    return YES, 'flat frames, taken for grey', ''


def _fringes(facts: Facts) -> tuple[str, str, str]:
    if not facts.colour:
        return NO, 'the pictures have no colours', 'record the colour topic'
    return _intrinsics(facts)


def _not_from(reason: str, remedy: str) -> Check:
    return lambda facts: (NO, reason, remedy)


def _from_encoding(facts: Facts) -> tuple[str, str, str]:
    return YES, f'the messages say {facts.encoding}', ''


_PREFERENCE = _not_from('a choice of how to simulate, no property of the camera', '')
_DATASHEET = _not_from('only its product with others shows in pictures', 'take the data sheet')
_LATER = _not_from('no stage of calibration estimates it', 'set it by hand')

GROUPS: tuple[tuple[str, tuple[str, ...], Check], ...] = (
    ('intrinsics', ('focal_scale', 'principal_point'), _intrinsics),
    ('distortion', ('distortion_model', 'distortion_coefficients'), _intrinsics),
    (
        'vignetting',
        (
            'vignetting_model',
            'vignetting_gain',
            'vignetting_coefficients',
            'vignetting_map',
            'vignetting_map_columns',
        ),
        _vignetting,
    ),
    (
        'response',
        (
            'response_type',
            'response_gains',
            'response_biases',
            'response_gamma',
            'response_table',
        ),
        _response,
    ),
    ('photon noise', ('shot_noise_gain', 'prnu'), _photons),
    ('read noise', ('read_noise', 'read_noise_fixed', 'dsnu'), _dark),
    ('dark current', ('dark_current', 'hot_pixel_fraction', 'hot_pixel_current'), _dark),
    ('black level', ('black_level',), _darkness),
    ('full well', ('full_well',), _full_well),
    ('defocus', ('defocus_gain', 'defocus_dead_zone'), _defocus),
    ('white balance', ('white_balance', 'quantum_efficiency'), _balance),
    (
        'colour matrix',
        ('color_matrix',),
        _not_from('it needs a colour chart', 'film a chart and give its colours'),
    ),
    ('colour fringes', ('chromatic_scale', 'chromatic_curve'), _fringes),
    (
        'sensitivity',
        ('aggregator_gain', 'scene_illuminance'),
        _not_from('the light on the scene is not known', 'measure it, or keep the product'),
    ),
    ('sizes', ('image_width', 'image_height', 'bit_depth', 'bayer_pattern'), _from_encoding),
    ('pixel pitch', ('pixel_size',), _DATASHEET),
    ('glare', ('glare_fraction', 'glare_radius'), _LATER),
    ('mechanical vignetting', ('rim_radius', 'rim_distance'), _LATER),
    ('focus breathing', ('focus_breathing',), _LATER),
    ('shutter', ('shutter_mode', 'readout_time'), _LATER),
    (
        'style of simulation',
        (
            'max_coc',
            'psf',
            'aperture_blades',
            'aperture_rotation',
            'defocus_occlusion',
            'fixed_pattern_seed',
            'demosaic',
        ),
        _PREFERENCE,
    ),
)
"""Every field of ``SensorModel``, in groups that are estimated from the same frames."""


def abilities(facts: Facts) -> tuple[Ability, ...]:
    """Return what can be estimated, group by group."""
    return tuple(Ability(group, fields, *check(facts)) for group, fields, check in GROUPS)
