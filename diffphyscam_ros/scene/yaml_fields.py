# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Reading a YAML mapping with errors that say where, what, and what is allowed."""

from __future__ import annotations

from collections.abc import Iterable
import difflib
import math
from pathlib import Path
from typing import Any

import yaml

from diffphyscam_ros.scene.errors import SceneError
from diffphyscam_ros.scene.images import read_bytes

Triple = tuple[float, float, float]
_REQUIRED = object()


class _UniqueKeyLoader(yaml.SafeLoader):  # type: ignore[misc]
    """The safe loader, refusing a key that stands twice: YAML would drop the first silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen and key != '<<':
                raise yaml.constructor.ConstructorError(
                    None, None, f'the key {key!r} stands twice', key_node.start_mark
                )
            seen.add(key)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def read_yaml(path: Path) -> Fields:
    """Read a file that holds one mapping.

    :raises SceneError: where it is missing, no YAML (with line and column), or no mapping.
    """
    text = read_bytes(path, 'scene')
    try:
        tree = yaml.load(text, Loader=_UniqueKeyLoader)  # still the safe one
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SceneError(f'scene {path} is no valid YAML: {error}') from error
    return Fields(tree, str(path))


class Fields:
    """A mapping whose entries are taken one by one; what is left over is an error.

    :param where: file and place, for messages.
    """

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise SceneError(f'{where}: a mapping (key: value) is needed, not {_show(value)}')
        self.where = where
        self._values = dict(value)

    def allow(self, names: Iterable[str]) -> None:
        """Refuse every key that is not among these."""
        allowed = list(names)
        unknown = [key for key in self._values if key not in allowed]
        if unknown:
            close = difflib.get_close_matches(str(unknown[0]), allowed, 1)
            hint = f' (did you mean {close[0]}?)' if close else ''
            raise SceneError(
                f'{self.where}: unknown {", ".join(map(repr, unknown))}{hint}; '
                f'allowed: {", ".join(allowed)}'
            )

    def __contains__(self, name: str) -> bool:
        """Return whether the key is there with a value."""
        return self._values.get(name) is not None

    def at(self, name: str) -> str:
        """Return the place of an entry, for messages."""
        return f'{self.where}: {name}'

    def get(self, name: str, default: Any = _REQUIRED) -> Any:
        """Return an entry; an absent or empty one is its default, or an error without one."""
        value = self._values.get(name)
        if value is None:
            if default is _REQUIRED:
                raise SceneError(f'{self.at(name)} is missing')
            return default
        return value

    def fields(self, name: str) -> Fields:
        """Return a nested mapping; one that is written without a value is empty."""
        return Fields(self._values.get(name) or {}, self.at(name))

    def items(self, name: str) -> list[Any]:
        """Return a list, empty where the key is absent."""
        value = self.get(name, [])
        if not isinstance(value, list):
            raise SceneError(f'{self.at(name)} must be a list, not {_show(value)}')
        return value

    def text(self, name: str, default: Any = _REQUIRED) -> str:
        """Return a text."""
        value = self.get(name, default)
        if not isinstance(value, str):
            raise SceneError(f'{self.at(name)} must be a text, not {_show(value)}')
        return value

    def flag(self, name: str, default: bool) -> bool:
        """Return true or false."""
        value = self.get(name, default)
        if not isinstance(value, bool):
            raise SceneError(f'{self.at(name)} must be true or false, not {_show(value)}')
        return value

    def number(
        self,
        name: str,
        default: Any = _REQUIRED,
        low: float = -math.inf,
        high: float = math.inf,
    ) -> float:
        """Return a finite number in [low, high]."""
        return _number(self.get(name, default), self.at(name), low, high)

    def positive(self, name: str, default: Any = _REQUIRED) -> float:
        """Return a number above zero."""
        value = self.number(name, default)
        if value <= 0:
            raise SceneError(f'{self.at(name)} = {value}: must be > 0')
        return value

    def whole(self, name: str, default: Any = _REQUIRED, low: int = 0) -> int:
        """Return a whole number."""
        value = self.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise SceneError(
                f'{self.at(name)} must be a whole number of at least {low}, not {_show(value)}'
            )
        return value

    def vector(
        self,
        name: str,
        default: Any = _REQUIRED,
        size: int = 3,
        low: float = -math.inf,
        high: float = math.inf,
    ) -> tuple[float, ...]:
        """Return several finite numbers in [low, high]."""
        value = self.get(name, default)
        if not isinstance(value, (list, tuple)) or len(value) != size:
            raise SceneError(
                f'{self.at(name)} must be a list of {size} numbers, not {_show(value)}'
            )
        return tuple(_number(item, self.at(name), low, high) for item in value)

    def triple(self, name: str, default: Any = _REQUIRED, high: float = math.inf) -> Triple:
        """Return a colour or strength: three numbers >= 0, or one that stands for all three."""
        value = self.get(name, default)
        if not isinstance(value, (list, tuple)):
            grey = _number(value, self.at(name), 0.0, high)
            return grey, grey, grey
        red, green, blue = self.vector(name, default, 3, 0.0, high)
        return red, green, blue

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        """Return one of some words."""
        value = self.text(name, default)
        if value not in allowed:
            raise SceneError(f'{self.at(name)} = {value!r}: must be one of {", ".join(allowed)}')
        return value

    def exactly_one(self, names: tuple[str, ...]) -> str:
        """Return the one key of some that is there; it may be without a value."""
        present = [name for name in names if name in self._values]
        if len(present) != 1:
            found = ' and '.join(present) if present else 'none'
            raise SceneError(
                f'{self.where}: exactly one of {", ".join(names)} is needed, found {found}'
            )
        return present[0]


def _number(value: Any, where: str, low: float, high: float) -> float:
    """Return a finite number; YAML 1.1 takes 1e-3 for a text, a user means a number."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            pass
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise SceneError(f'{where} must be a number, not {_show(value)}')
    if not math.isfinite(value) or not low <= value <= high:
        if math.isinf(high):
            allowed = 'finite' if math.isinf(low) else f'at least {low:g}'
        else:
            allowed = f'in [{low:g}, {high:g}]'
        raise SceneError(f'{where} = {value}: must be {allowed}')
    return float(value)


def _show(value: Any) -> str:
    """Return a value for a message, cut to a readable length."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + '...'
