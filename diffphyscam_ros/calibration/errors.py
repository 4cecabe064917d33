# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The one error of calibration: what, value, allowed, remedy."""

from __future__ import annotations

from typing import Any

_NOTHING = object()


class CalibrationError(ValueError):
    """Input that cannot be used, said so that its owner can put it right.

    The message reads ``what = value: must be allowed; remedy``, each part where it is given::

        raise CalibrationError(
            'image topic', '/cam', allowed='one of /left, /right', remedy='choose with --topic'
        )

    :param what: what is wrong: the name of a thing, or a whole sentence where nothing else is
        given.
    :param value: the value found, or left out.
    :param allowed: what it must be.
    :param remedy: what to do about it.
    """

    def __init__(
        self, what: str, value: Any = _NOTHING, *, allowed: str = '', remedy: str = ''
    ) -> None:
        """See the class."""
        self.what = what
        self.value = None if value is _NOTHING else value
        self.allowed = allowed
        self.remedy = remedy
        message = what if value is _NOTHING else f'{what} = {value!r}'
        if allowed:
            message += f': must be {allowed}'
        if remedy:
            message += f'; {remedy}' if allowed else f': {remedy}'
        super().__init__(message)
