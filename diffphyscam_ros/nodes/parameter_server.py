# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The parameter table as ROS parameters: one path for launch files, tools and services."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import difflib
import math
import threading
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from diffphyscam_ros.nodes.calibration_info import CalibrationInfo
from diffphyscam_ros.nodes.camera_state import Configuration, resolve
from diffphyscam_ros.nodes.parameter import Parameter, ParameterError, Value
from diffphyscam_ros.nodes.parameters import ALIASES, TABLE

# Declared by rclpy itself, or by its quality-of-service overrides.
_FOREIGN = ('use_sim_time', 'start_type_description_service', 'qos_overrides.')

_TYPES = {
    'bool': RosParameter.Type.BOOL,
    'integer': RosParameter.Type.INTEGER,
    'double': RosParameter.Type.DOUBLE,
    'string': RosParameter.Type.STRING,
    'double_array': RosParameter.Type.DOUBLE_ARRAY,
    'string_array': RosParameter.Type.STRING_ARRAY,
}


def descriptor(row: Parameter) -> ParameterDescriptor:
    """Return what tools such as rqt_reconfigure show of a parameter."""
    unit = f' [{row.unit}]' if row.unit else ''
    result = ParameterDescriptor(
        name=row.name,
        type=_TYPES[row.kind].value,
        description=row.description + unit,
        additional_constraints=row.allowed(),
        read_only=row.read_only,
    )
    bounded = math.isfinite(row.low) and (math.isfinite(row.high) or row.infinite)
    if row.kind == 'integer' and bounded:
        result.integer_range = [
            IntegerRange(from_value=int(row.low), to_value=int(row.high), step=1)
        ]
    elif row.kind == 'double' and bounded and not row.open_low:
        result.floating_point_range = [
            FloatingPointRange(from_value=row.low, to_value=row.high, step=0.0)
        ]
    return result


def _ros_parameter(name: str, value: Value) -> RosParameter:
    row = TABLE[ALIASES.get(name, name)]
    given = list(value) if isinstance(value, tuple) else value
    return RosParameter(name, _TYPES[row.kind], given)


class ParameterServer(Node):
    """A node whose parameters are the table, checked as a whole at the start and at each set.

    :raises ParameterError: at the start, for overrides that cannot be used.
    """

    def __init__(self, name: str, **options: Any) -> None:
        """Declare every parameter with its value from the launch, the files and the table."""
        super().__init__(name, **options)
        self._setting = threading.RLock()
        self._listeners: list[Callable[[Configuration, Configuration], None]] = []
        self._checks: list[Callable[[Configuration | None, Configuration], None]] = []
        self._unannounced: set[str] = set()
        overrides = {key: item.value for key, item in self._parameter_overrides.items()}
        self._name_unknown(overrides)
        self.configuration = resolve(None, overrides)
        for name_, value in self._all_values(self.configuration).items():
            row = TABLE[ALIASES.get(name_, name_)]
            parameter = _ros_parameter(name_, value)
            # From an empty array rclpy could not tell what it is an array of.
            empty = isinstance(value, tuple) and not value
            declared = parameter.type_ if empty else parameter.value
            self.declare_parameter(name_, declared, descriptor(row), ignore_override=True)
            if empty:
                super().set_parameters_atomically([parameter])

    def before_change(self, check: Callable[[Configuration | None, Configuration], None]) -> None:
        """Ask ``check(old, new)`` before each change; it raises ParameterError to refuse.

        It is asked at once about the configuration of the start, with None as the old one.
        """
        check(None, self.configuration)
        self._checks.append(check)

    def after_change(self, listener: Callable[[Configuration, Configuration], None]) -> None:
        """Call ``listener(old, new)`` after each change."""
        self._listeners.append(listener)

    def change(
        self, changes: Mapping[str, Any], calibration: CalibrationInfo | None = None
    ) -> SetParametersResult:
        """Set parameters together, or none of them: what services call.

        :param calibration: what the changes were made from, for set_camera_info.
        """
        with self._setting:
            try:
                new = resolve(self.configuration, changes, calibration)
            except ParameterError as error:
                return SetParametersResult(successful=False, reason=str(error))
            return self._commit(new, [name for name in changes if name in TABLE], [])

    def adopt(self, find: Callable[[Configuration], Configuration]) -> None:
        """Put into effect what the camera itself has found, maybe at every frame.

        Parameters read back as they are at once; /parameter_events hear of it in ``announce``.

        :param find: is given the configuration of now; may return it unchanged.
        """
        with self._setting:
            before, new = self.configuration.values, find(self.configuration)
            if new is self.configuration:
                return
            self.configuration = new
            for name, value in new.values.items():
                if before[name] != value:
                    self._parameters[name] = _ros_parameter(name, value)
                    self._unannounced.add(name)

    def announce(self) -> None:
        """Publish the parameters that the camera itself has changed since the last time."""
        with self._setting:
            values = self.configuration.values
            news = [_ros_parameter(name, values[name]) for name in sorted(self._unannounced)]
            self._unannounced.clear()
            if news:
                super().set_parameters_atomically(news)

    def set_parameters_atomically(
        self, parameter_list: list[RosParameter[Any]]
    ) -> SetParametersResult:
        """Set parameters together, or none of them: what every tool and client calls."""
        ours = {
            item.name: item.value
            for item in parameter_list
            if item.name in TABLE or item.name in ALIASES
        }
        others = [item for item in parameter_list if item.name not in ours]
        if not ours:
            return super().set_parameters_atomically(parameter_list)
        with self._setting:
            try:
                new = resolve(self.configuration, ours)
            except ParameterError as error:
                return SetParametersResult(successful=False, reason=str(error))
            return self._commit(new, list(ours), others)

    def set_parameters(self, parameter_list: list[RosParameter[Any]]) -> list[SetParametersResult]:
        """Set parameters one after the other."""
        return [self.set_parameters_atomically([item]) for item in parameter_list]

    def _commit(
        self, new: Configuration, named: list[str], others: list[RosParameter[Any]]
    ) -> SetParametersResult:
        """Put a checked configuration into effect, and every parameter that changes with it."""
        old = self.configuration
        before, after = self._all_values(old), self._all_values(new)
        # Those that were named are set even to what they are: a read-only one is refused.
        moved = [name for name in after if before[name] != after[name] or name in named]
        try:
            for check in self._checks:
                check(old, new)
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        result = super().set_parameters_atomically(
            [_ros_parameter(name, after[name]) for name in moved] + others
        )
        if result.successful:
            self.configuration = new
            for listener in self._listeners:
                listener(old, new)
        return result

    @staticmethod
    def _all_values(configuration: Configuration) -> dict[str, Value]:
        """Return every declared parameter, the aliases too."""
        values = {name: configuration.values[name] for name in TABLE}
        return values | {alias: values[name] for alias, name in ALIASES.items()}

    def _name_unknown(self, overrides: Mapping[str, Any]) -> None:
        """Warn of overrides that no parameter takes: most often a typing error."""
        known = [*TABLE, *ALIASES]
        for name in overrides:
            if name in known or name.startswith(_FOREIGN):
                continue
            close = difflib.get_close_matches(name, known, 1)
            hint = f' Did you mean {close[0]}?' if close else ''
            self.get_logger().warning(f'there is no parameter {name!r}: it is ignored.{hint}')
