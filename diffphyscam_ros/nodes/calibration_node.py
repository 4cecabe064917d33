# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Calibration as a node: parameters in, files out, progress in the log, K to the camera.

It reads bags, works, and ends; its exit code is that of ``diffphyscam calibrate``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
import sys
import time
from typing import TypeVar

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from diffphyscam_ros.calibration.exports import exported
from diffphyscam_ros.calibration.outputs import summary, untouched, write_outputs
from diffphyscam_ros.calibration.pipeline import (
    audit_only,
    BAD_INPUT,
    calibrate,
    NOTHING_ESTIMABLE,
    PASSED,
)
from diffphyscam_ros.nodes.calibration_parameters import (
    CALIBRATION_TABLE,
    checked,
    request_from,
)
from diffphyscam_ros.nodes.commit_camera_info import commit
from diffphyscam_ros.nodes.parameter_server import descriptor

T = TypeVar('T')

SAY_EVERY = 5.0  # s, between two lines of progress
INTERRUPTED = 130


class LoggedProgress:
    """Says in a node's log how far a calibration is."""

    def __init__(self, node: Node) -> None:
        """See the class."""
        self._log = node.get_logger()

    def stage(self, name: str) -> None:
        """Say that a stage begins."""
        self._log.info(f'{name} ...')

    def over(self, items: Iterable[T], what: str, total: int) -> Iterator[T]:
        """Yield the items and say every few seconds how many there were."""
        said = time.monotonic()
        for number, item in enumerate(items):
            if time.monotonic() - said > SAY_EVERY:
                said = time.monotonic()
                self._log.info(f'{what}: {number} of {total} frames')
            yield item


class CalibrationNode(Node):
    """Its parameters are those of ``CALIBRATION_TABLE``, read at the start."""

    def __init__(self, **options: object) -> None:
        """Declare the parameters.

        :raises ParameterError: for one that is unknown or not allowed.
        """
        super().__init__('calibration', **options)
        foreign = ('use_sim_time', 'start_type_description_service')
        given = {
            name: item.value
            for name, item in self._parameter_overrides.items()
            if name not in foreign
        }
        self.values = checked(given)
        for name, row in CALIBRATION_TABLE.items():
            self.declare_parameter(name, self.values[name], descriptor(row), ignore_override=True)

    def run(self) -> int:
        """Calibrate, write the files, send K where that is asked for; return the exit code.

        :raises ValueError: for input that cannot be used.
        :raises OSError: where a file cannot be read or written.
        """
        log, progress = self.get_logger(), LoggedProgress(self)
        request = request_from(self.values)
        if self.values['dry_run']:
            audited = audit_only(request, progress)
            log.info('\n' + audited.text())
            return PASSED if audited.estimable else NOTHING_ESTIMABLE
        found = calibrate(request, progress)
        log.info('\n' + summary(found))
        for path in write_outputs(found, Path(str(self.values['out']))):
            log.info(f'wrote {path}')
        for reason in exported(found)[1]:
            log.warning(f'not written: {reason}')
        if untouched(found):
            log.warning(untouched(found))
        for reason in found.below:
            log.warning(f'below the threshold: {reason}')
        if self.values['commit']:
            log.info(commit(found, str(self.values['commit']), self))
        return found.exit_code


def main(args: list[str] | None = None) -> int:
    """Run the node once; return the exit code, that of ``diffphyscam calibrate``."""
    # Python's own handler, so that Ctrl-C ends the work at once: nothing is half-written.
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    node: CalibrationNode | None = None
    try:
        node = CalibrationNode()
        return node.run()
    except (ValueError, OSError, RuntimeError) as error:
        print(f'calibration_node: {error}', file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print('interrupted; nothing was left half-written', file=sys.stderr)
        return INTERRUPTED
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    sys.exit(main())
