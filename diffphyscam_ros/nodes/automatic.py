# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Automatic exposure, focus and white balance of the node: each frame is looked at, and turned by.

The controllers are the library's (camera/auto_*.py); here they meet parameters and frames. They
run in the thread that takes the frames, after a frame has been sent off, and only then: while
nobody subscribes nothing is seen and nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
import math
import threading
import time

import numpy as np
from sensor_msgs.msg import Image
import torch

from diffphyscam_ros.camera.auto_exposure import AutoExposure, ExposureState
from diffphyscam_ros.camera.auto_white_balance import AutoWhiteBalance, BalanceState, Gains
from diffphyscam_ros.camera.autofocus import AutoFocus, FocusState
from diffphyscam_ros.camera.contrast_autofocus import ContrastSearch, ContrastWatch, sharpness
from diffphyscam_ros.camera.settings import CameraSettings
from diffphyscam_ros.nodes.automatic_changes import with_settings
from diffphyscam_ros.nodes.automatic_parameters import CONTINUOUS, OFF, ONCE
from diffphyscam_ros.nodes.camera_state import Configuration
from diffphyscam_ros.nodes.parameter_server import ParameterServer
from diffphyscam_ros.nodes.picture_taker import Picture
from diffphyscam_ros.nodes.units import (
    iso_from_gain,
    NANOSECONDS_PER_SECOND,
    seconds_from_microseconds,
)

EXPOSURE, FOCUS, BALANCE = KINDS = ('exposure_auto', 'focus_auto', 'white_balance_auto')

LONGEST_ONCE = 400
"""Frames after which something that does not settle is given up."""

LONGEST_SILENCE = 5.0
"""Seconds without a frame after which a request is answered that there are none."""

FOREIGN_FRAMES = 5
"""Frames in a row with another focus than asked for, after which a search is given up."""

Answer = Callable[[bool, str], None]


def auto_exposure(now: Configuration) -> AutoExposure:
    """Return how to expose, from the parameters."""
    number, text = now.number, now.text
    shortest = seconds_from_microseconds(number('exposure_time_min'))
    longest = seconds_from_microseconds(number('exposure_time_max')) or 1 / number('frame_rate')
    return AutoExposure(
        target=number('auto_exposure.target'),
        compensation=number('exposure_compensation'),
        metering=text('auto_exposure.metering'),
        spot_x=number('auto_exposure.spot_x'),
        spot_y=number('auto_exposure.spot_y'),
        spot_size=number('auto_exposure.spot_size'),
        highlights=number('auto_exposure.highlights'),
        exposure_min=shortest,
        exposure_max=max(shortest, longest),
        iso_min=iso_from_gain(number('gain_min')),
        iso_max=iso_from_gain(number('gain_max')),
        speed_up=number('auto_exposure.speed_up'),
        speed_down=number('auto_exposure.speed_down'),
        priority=text('auto_exposure.priority'),
        flicker=number('auto_exposure.anti_flicker'),
    )


def auto_focus(now: Configuration) -> AutoFocus:
    """Return how to focus, from the parameters."""
    number = now.number
    return AutoFocus(
        point_x=number('autofocus.point_x'),
        point_y=number('autofocus.point_y'),
        size=number('autofocus.size'),
        near_limit=number('autofocus.near_limit'),
        far_limit=number('autofocus.far_limit'),
        speed=number('autofocus.speed'),
    )


def auto_balance(now: Configuration) -> AutoWhiteBalance:
    """Return how to balance, from the parameters."""
    return AutoWhiteBalance(
        now.text('auto_white_balance.method'), now.number('auto_white_balance.speed')
    )


def pixels_of(picture: Picture, message: Image | None) -> torch.Tensor:
    """Return the values of a picture, (H, W, 3): those of the message, where it has them all."""
    if message is None or message.encoding not in ('rgb8', 'bgr8', '32FC3'):
        return torch.from_numpy(picture.image)
    kind = np.float32 if message.encoding == '32FC3' else np.uint8
    pixels = np.frombuffer(message.data, kind).reshape(message.height, message.width, 3)
    values = torch.from_numpy(pixels)
    return values.flip(-1) if message.encoding == 'bgr8' else values


@dataclass
class _Once:
    """Something that is to be done once.

    :param answers: who is told how it went.
    :param result: how it went, once it is over.
    """

    answers: list[Answer] = field(default_factory=list)
    frames: int = 0
    result: tuple[bool, str] | None = None


@dataclass
class _Seen:
    """One frame, as the controllers look at it."""

    taken: Configuration
    pixels: torch.Tensor
    depth: torch.Tensor | None
    dt: float


class Automatic:
    """Looks at frames and adopts what they ask for."""

    def __init__(self, node: ParameterServer) -> None:
        """Govern the configuration of a node."""
        self._node = node
        self._lock = threading.Lock()  # of what services and timers touch too
        self._once: dict[str, _Once] = {}
        self._restart = False
        self._last_frame = time.monotonic()
        self._last_end: int | None = None
        self._forget()

    def _forget(self) -> None:
        self._exposure: ExposureState | None = None
        self._focus: FocusState | None = None
        self._balance: BalanceState | None = None
        self._search: ContrastSearch | None = None
        self._watch: ContrastWatch | None = None
        self._foreign = 0
        self._last_end = None

    def reset(self) -> None:
        """Begin anew, as when the clock has jumped."""
        self._restart = True

    def request(self, kind: str, answer: Answer) -> None:
        """Do something once, whatever its mode is, and answer when it is done."""
        with self._lock:
            if not self._once:
                self._last_frame = time.monotonic()
            self._once.setdefault(kind, _Once()).answers.append(answer)

    def expire(self, period: float) -> None:
        """Answer requests that wait in vain, as no frames are taken.

        :param period: s from frame to frame.
        """
        with self._lock:
            waits = time.monotonic() - self._last_frame > max(LONGEST_SILENCE, 3.0 * period)
            gone = [o for kind, o in self._once.items() if o.answers] if waits else []
            if waits:
                self._once = {k: o for k, o in self._once.items() if not o.answers}
        for once in gone:
            for answer in once.answers:
                answer(False, 'no pictures are taken: subscribe to one, or set always_render')

    def wants_depth(self, now: Configuration) -> bool:
        """Return whether the next frame has to come with depth."""
        active = now.text(FOCUS) != OFF or FOCUS in self._once
        return active and now.text('autofocus.method') == 'depth'

    def observe(
        self, taken: Configuration, picture: Picture, message: Image | None, end: int
    ) -> None:
        """Look at a frame, and turn what is automatic.

        :param taken: the configuration of this very frame.
        :param message: its image, where there is one.
        :param end: of its exposure, ns.
        """
        self._last_frame = time.monotonic()
        if self._restart:
            self._restart = False
            self._forget()
        active = self._active()
        if not active:
            self._forget()
            return
        dt = 0.0 if self._last_end is None else (end - self._last_end) / NANOSECONDS_PER_SECOND
        self._last_end = end
        depth = None if picture.depth is None else torch.from_numpy(picture.depth)
        seen = _Seen(taken, pixels_of(picture, message), depth, max(dt, 0.0))
        turned: dict[str, float | Gains] = {}
        if EXPOSURE in active:
            turned |= self._expose(seen)
        else:
            self._exposure = None
        if FOCUS in active:
            turned |= self._focus_on(seen)
        else:
            self._focus = self._search = self._watch = None
        if BALANCE in active:
            turned |= self._balance_for(seen)
        else:
            self._balance = None
        self._node.adopt(lambda now: self._turned(now, turned))
        self._conclude()

    def _active(self) -> set[str]:
        """Return what is automatic now; what a parameter wants done once is noted as such."""
        now = self._node.configuration
        with self._lock:
            for kind in KINDS:
                if now.text(kind) == ONCE and kind not in self._once:
                    self._once[kind] = _Once()
                elif now.text(kind) == OFF and kind in self._once and not self._once[kind].answers:
                    del self._once[kind]  # the parameter was taken back
            active = {kind for kind in KINDS if now.text(kind) == CONTINUOUS}
            for kind, once in self._once.items():
                active.add(kind)
                once.frames += 1
                if once.frames > LONGEST_ONCE:
                    once.result = (False, f'not settled after {LONGEST_ONCE} frames')
        return active

    def _finish(self, kind: str, good: bool, words: str) -> None:
        once = self._once.get(kind)
        if once is not None and once.result is None:
            once.result = (good, words)

    def _conclude(self) -> None:
        """Answer what is done, and turn modes that were Once off."""
        with self._lock:
            done = {kind: once for kind, once in self._once.items() if once.result is not None}
            for kind in done:
                del self._once[kind]
        modes = self._node.configuration
        over = {kind: OFF for kind in done if modes.text(kind) == ONCE}
        if over:
            self._node.change(over)
        for once in done.values():
            for answer in once.answers:
                answer(*(once.result or (False, '')))

    # --- the three of them --------------------------------------------------------------------

    def _expose(self, seen: _Seen) -> dict[str, float | Gains]:
        program = auto_exposure(seen.taken)
        settings = seen.taken.settings
        aperture = float(self._node.configuration.settings.aperture)
        light = program.measure(seen.pixels, seen.taken.sensor, settings)
        self._exposure = program.step(self._exposure, light, seen.dt, aperture)
        exposure, iso = program.split(self._exposure.ev, aperture)
        if self._exposure.settled:
            missing = program.wanted(light) - light.ev
            words = f'settled, {missing:+.2f} EV from the target'
            self._finish(EXPOSURE, True, words)
        return {'exposure_time': exposure, 'iso': iso}

    def _focus_on(self, seen: _Seen) -> dict[str, float | Gains]:
        program = auto_focus(seen.taken)
        if seen.taken.text('autofocus.method') == 'contrast':
            return self._focus_by_contrast(seen, program)
        self._search = self._watch = None
        if seen.depth is None:  # the method was changed after this frame had begun
            return {}
        distance = program.depth_at(seen.depth)
        settings = seen.taken.settings
        if distance is None:
            self._finish(FOCUS, False, 'the depth at the point is not known')
            return {}
        if FOCUS in self._once:
            reached = program.clamped(distance, float(settings.focal_length))
            self._focus = FocusState(1.0 / reached)
            words = f'focused at {reached:.4g} m'
            if reached != distance:
                words += f', the limit: what is at the point is at {distance:.4g} m'
            self._finish(FOCUS, True, words)
            return {'focus_distance': reached}
        state = self._focus or FocusState(1.0 / float(settings.focus_distance))
        self._focus = program.step(state, distance, seen.dt, seen.taken.sensor, settings)
        if self._focus == state:
            return {}
        return {'focus_distance': self._focus.distance}

    def _focus_by_contrast(self, seen: _Seen, program: AutoFocus) -> dict[str, float | Gains]:
        top, bottom, left, right = program.place(*seen.pixels.shape[:2])
        value = sharpness(seen.pixels[top:bottom, left:right])
        at = 1.0 / float(seen.taken.settings.focus_distance)
        if self._search is None:
            if FOCUS not in self._once and self._watch is not None:
                self._watch = self._watch.add(value)
                if not self._watch.lost:
                    return {}
            self._search = ContrastSearch.over(program, seen.taken.sensor, seen.taken.settings)
            self._focus, self._foreign = FocusState(at), 0
        elif math.isclose(at, self._search.dioptres, rel_tol=1e-6, abs_tol=1e-9):
            self._search, self._foreign = self._search.add(value), 0
        else:  # a frame that had begun before, or somebody else has turned the ring
            self._foreign += 1
            if self._foreign > FOREIGN_FRAMES:
                self._search, self._watch = None, ContrastWatch()
                self._finish(FOCUS, False, 'the focus was set by hand during the search')
                return {}
        search = self._search
        if not search.done:
            return {'focus_distance': search.distance}
        self._search = None
        if not search.found:
            self._watch = ContrastWatch()
            self._finish(FOCUS, False, 'no contrast at the point, the focus is where it was')
            return {'focus_distance': self._focus.distance if self._focus else math.inf}
        self._watch = ContrastWatch(search.best_sharpness)
        words = f'focused at {search.distance:.4g} m after {len(search.seen)} pictures'
        self._finish(FOCUS, True, words)
        return {'focus_distance': search.distance}

    def _balance_for(self, seen: _Seen) -> dict[str, float | Gains]:
        program = auto_balance(seen.taken)
        red, green, blue = (float(gain) for gain in seen.taken.sensor.white_balance)
        gains = (red, green, blue)
        wanted = program.measure(seen.pixels, gains)
        state = self._balance or BalanceState(gains)
        self._balance = program.step(state, wanted, gains, seen.dt)
        if wanted is None:
            self._finish(BALANCE, False, 'too few pixels are neither dark nor saturated')
        elif self._balance.settled:
            red, _, blue = self._balance.gains
            self._finish(BALANCE, True, f'settled at red {red:.3f}, blue {blue:.3f}')
        return {'white_balance': self._balance.gains}

    def _turned(self, now: Configuration, turned: dict[str, float | Gains]) -> Configuration:
        """Return the configuration with what was found, as far as it is still to be turned."""
        governed = {
            EXPOSURE: ('exposure_time', 'iso'),
            FOCUS: ('focus_distance',),
            BALANCE: ('white_balance',),
        }
        with self._lock:
            names = {
                name
                for kind, group in governed.items()
                if now.text(kind) != OFF or (kind in self._once and self._once[kind].answers)
                for name in group
            }
        red, green, blue = (float(gain) for gain in now.sensor.white_balance)
        balance, fields = (red, green, blue), {}
        for name in names & set(turned):
            value = turned[name]
            if isinstance(value, tuple):
                balance = value
            else:
                fields[name] = value
        settings: CameraSettings = replace(now.settings, **fields) if fields else now.settings
        if settings == now.settings and balance == tuple(now.sensor.white_balance):
            return now
        return with_settings(now, settings, balance)
