# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The services of automatic control. Those that do something once answer when it is done."""

from __future__ import annotations

import math
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future
from std_srvs.srv import Trigger

from diffphyscam_ros.nodes.automatic import Automatic, BALANCE, EXPOSURE, FOCUS
from diffphyscam_ros.nodes.automatic_parameters import MODES, ONCE
from diffphyscam_ros.nodes.parameter import Value
from diffphyscam_ros.nodes.parameter_server import ParameterServer
from diffphyscam_ros.nodes.parameters import TABLE
from diffphyscam_ros.srv import SetAutoExposure

_LIMITS = {
    'exposure_limits': ('exposure_time_min', 'exposure_time_max'),
    'gain_limits': ('gain_min', 'gain_max'),
}


class AutomaticServices:
    """Creates the services of a node and answers them."""

    def __init__(self, node: ParameterServer, automatic: Automatic) -> None:
        """Offer the services."""
        self._node = node
        self._automatic = automatic
        # Of their own: while one waits for frames, everything else goes on.
        group = ReentrantCallbackGroup()
        for kind, name, answer in (
            (SetAutoExposure, 'set_auto_exposure', self._set_auto_exposure),
            (Trigger, 'autofocus', self._autofocus),
            (Trigger, 'auto_white_balance', self._white_balance),
        ):
            node.create_service(kind, f'~/{name}', answer, callback_group=group)

    async def _once(self, kind: str) -> tuple[bool, str]:
        """Do something once and return how it went."""
        executor = self._node.executor
        future: Any = Future(executor=executor)

        def answer(good: bool, words: str) -> None:  # in the thread of the frames
            future.set_result((good, words))
            if executor is not None:
                executor.wake()

        self._automatic.request(kind, answer)
        good, words = await future
        return good, words

    async def _autofocus(self, request: Any, response: Any) -> Any:
        response.success, response.message = await self._once(FOCUS)
        return response

    async def _white_balance(self, request: Any, response: Any) -> Any:
        response.success, response.message = await self._once(BALANCE)
        return response

    async def _set_auto_exposure(self, request: Any, response: Any) -> Any:
        good, words = self._change(request)
        if good and request.mode == ONCE:
            good, more = await self._once(EXPOSURE)
            words = f'{words}; {more}' if words else more
        response.success, response.message = good, words
        now = self._node.configuration
        response.reached_exposure = now.number('exposure_time')
        response.reached_gain = now.number('gain')
        return response

    def _change(self, request: Any) -> tuple[bool, str]:
        """Set what is asked for, clamped to what is allowed."""
        if request.mode and request.mode not in MODES:
            return False, f'mode = {request.mode!r}: must be one of {", ".join(MODES)}, or empty'
        wanted: dict[str, float] = {}
        if request.target != 0.0:
            wanted['auto_exposure.target'] = request.target
        for limits, names in _LIMITS.items():
            given = list(getattr(request, limits))
            if not given:
                continue
            if len(given) != 2:
                return False, f'{limits} = {given}: must be the least and the greatest, or empty'
            wanted |= dict(zip(names, given, strict=True))
        changes: dict[str, Value] = {}
        clamped = []
        for name, value in wanted.items():
            row = TABLE[name]
            unit = f' {row.unit}' if row.unit else ''
            if math.isnan(value) or (value < 0.0 and row.low >= 0.0):
                return False, f'{name} = {value}: must be {row.allowed()}'
            reached = min(max(value, row.low), row.high)
            if reached != value:
                clamped.append(f'{name} clamped to {reached:g}{unit}')
            changes[name] = reached
        if request.mode:
            changes[EXPOSURE] = request.mode
        if changes:
            result = self._node.change(changes)
            if not result.successful:
                return False, str(result.reason)
        return True, ', '.join(clamped)
