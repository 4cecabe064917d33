# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""XML as elements that know their line, from sources that are not trusted.

A robot's description may come over the network, so a document type is refused: without one there
are no entities, neither those that expand without end nor those that fetch files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
import math
from xml.parsers import expat

from diffphyscam_ros.scene.errors import SceneError

MAX_BYTES = 16 * 2**20
MAX_ELEMENTS = 200_000
MAX_DEPTH = 100


@dataclass
class Element:
    """An element with its attributes.

    :param where: source, line and the named element around it, for messages.
    """

    tag: str
    attributes: dict[str, str]
    where: str
    children: list[Element] = field(default_factory=list)

    def all(self, tag: str) -> Iterator[Element]:
        """Return the children of a tag."""
        return (child for child in self.children if child.tag == tag)

    def first(self, tag: str) -> Element | None:
        """Return the first child of a tag, or None."""
        return next(self.all(tag), None)

    def one(self, tag: str) -> Element:
        """Return the first child of a tag.

        :raises SceneError: where there is none.
        """
        found = self.first(tag)
        if found is None:
            raise SceneError(f'{self.where}: <{self.tag}> needs a <{tag}>')
        return found

    def text(self, name: str, default: str | None = None) -> str:
        """Return an attribute that is not empty.

        :raises SceneError: where it is missing and there is no default.
        """
        value = self.attributes.get(name, '').strip()
        if value:
            return value
        if default is None:
            raise SceneError(f'{self.where}: <{self.tag}> needs the attribute {name!r}')
        return default

    def number(self, name: str, default: float | None = None) -> float:
        """Return an attribute as a finite number."""
        if default is not None and not self.attributes.get(name, '').strip():
            return default
        return self.numbers(name, 1)[0]

    def positive(self, name: str) -> float:
        """Return an attribute as a number > 0."""
        value = self.number(name)
        if value <= 0.0:
            raise SceneError(f'{self.where}: <{self.tag}> {name} = {value}: must be > 0 m')
        return value

    def numbers(
        self, name: str, count: int, default: tuple[float, ...] | None = None
    ) -> tuple[float, ...]:
        """Return an attribute as so many finite numbers, separated by blanks.

        :raises SceneError: where it is not that.
        """
        text = self.text(name, '' if default is not None else None)
        if not text and default is not None:
            return default
        try:
            values = tuple(float(word) for word in text.split())
        except ValueError:
            values = ()
        if len(values) != count or not all(map(math.isfinite, values)):
            what = 'a finite number' if count == 1 else f'{count} finite numbers'
            raise SceneError(f'{self.where}: <{self.tag}> {name} = {text!r}: must be {what}')
        return values


def parse_xml(text: str | bytes, source: str) -> Element:
    """Return the root element.

    :param source: where it is from, for messages.
    :raises SceneError: for broken XML (with its line), a document type, and what is too large.
    """
    data = text.encode('utf-8', 'surrogatepass') if isinstance(text, str) else text
    if len(data) > MAX_BYTES:
        raise SceneError(f'{source}: {len(data)} bytes of XML: at most {MAX_BYTES} are read')
    builder = _Builder(source, 'utf-8' if isinstance(text, str) else None)
    try:
        builder.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise SceneError(f'{source}: broken XML: {error}') from None
    except ValueError as error:  # an encoding that is not known
        if isinstance(error, SceneError):
            raise
        raise SceneError(f'{source}: broken XML: {error}') from None
    if builder.root is None:
        raise SceneError(f'{source}: broken XML: there is no element')
    return builder.root


class _Builder:
    """Makes elements of what expat reports."""

    def __init__(self, source: str, encoding: str | None) -> None:
        self.source = source
        self.root: Element | None = None
        self._open: list[Element] = []
        self._count = 0
        self.parser = expat.ParserCreate(encoding)
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.StartDoctypeDeclHandler = self._doctype

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._open) >= MAX_DEPTH:
            raise SceneError(
                f'{self.source}: more than {MAX_ELEMENTS} elements, or more than {MAX_DEPTH} '
                'within each other: that is no robot'
            )
        where = f'{self.source}, line {self.parser.CurrentLineNumber}'
        around = [*self._open[1:], Element(tag, attributes, '')]
        named = [item for item in around if item.tag in ('link', 'joint', 'material')]
        if named:
            where += f', {named[0].tag} {named[0].attributes.get("name", "without a name")!r}'
        element = Element(tag, attributes, where)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def _end(self, _tag: str) -> None:
        self._open.pop()

    def _doctype(self, *_: object) -> None:
        raise SceneError(
            f'{self.source}: a document type (<!DOCTYPE ...>) is refused, for the entities that '
            'it may declare; a robot description needs none'
        )
