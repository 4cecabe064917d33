# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Reads bag files whose index is missing or damaged, from the front up to the damage.

A recording that was cut off (power, full disk, an interrupted copy) has no index, and readers of
ROS refuse it. Its records are whole up to the cut: ROS 1 and mcap files are sequences of records,
sqlite3 files have their rows in order. Only one record at a time is in memory.
"""

from __future__ import annotations

import bz2
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
import sqlite3
import struct
import sys
from typing import Any, BinaryIO

ROS1_MAGIC = b'#ROSBAG V2.0\n'
MCAP_MAGIC = b'\x89MCAP0\r\n'
_LARGEST = 1 << 32  # bytes of a record; a greater length is itself damage


@dataclass(frozen=True)
class Topic:
    """A topic as the file announces it; ``definition`` is '' where the file has none."""

    key: int
    name: str
    type: str
    definition: str


@dataclass(frozen=True)
class Message:
    """A message of the topic with that key; time of recording in ns."""

    key: int
    time: int
    data: bytes


class Damage(Exception):
    """The file ends or makes no sense here; the text names the place."""


Records = Iterator[Topic | Message]


def _take(stream: BinaryIO, size: int, what: str) -> bytes:
    """Read exactly so many bytes."""
    start = stream.tell()
    if size > _LARGEST:
        raise Damage(f'byte {start}: {what} of {size} bytes')
    data = stream.read(size)
    if len(data) < size:
        raise Damage(f'byte {start}: {what} ends after {len(data)} of {size} bytes')
    return data


def _fields(header: bytes) -> dict[bytes, bytes]:
    """Return name and value of the fields of a ROS 1 record header."""
    fields, position = {}, 0
    while position + 4 <= len(header):
        (size,) = struct.unpack_from('<I', header, position)
        name, found, value = header[position + 4 : position + 4 + size].partition(b'=')
        if not found:
            raise Damage('a record header makes no sense')
        fields[name] = value
        position += 4 + size
    return fields


def _unpacked(data: bytes, compression: str) -> bytes:
    """Decompress a chunk, or as much of one as is there."""
    if compression in ('', 'none'):
        return data
    tool: Any
    if compression == 'bz2':
        tool = bz2.BZ2Decompressor()
    elif compression == 'lz4':
        from lz4.frame import LZ4FrameDecompressor

        tool = LZ4FrameDecompressor()
    elif compression == 'zstd':
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd

        tool = zstd.ZstdDecompressor()
    else:
        raise Damage(f'chunk compression {compression!r} is not known')
    result = bytearray()
    step = 1 << 16
    for start in range(0, len(data), step):
        try:
            result += tool.decompress(data[start : start + step])
        except EOFError:
            break
        except Exception:  # each library has its own; what came before is good
            break
    return bytes(result)


def ros1_records(path: Path) -> Records:
    """Yield topics and messages of a ROS 1 bag, also of a ``.bag.active``."""
    with path.open('rb') as stream:
        if stream.read(len(ROS1_MAGIC)) != ROS1_MAGIC:
            raise Damage('byte 0: no ROS 1 bag of version 2.0')
        yield from _ros1_level(stream, nested=False)


def _ros1_level(stream: BinaryIO, nested: bool) -> Records:
    while True:
        place = stream.tell()
        head = stream.read(4)
        if not head:
            return
        if len(head) < 4:
            raise Damage(f'byte {place}: the file ends within a record')
        header = _fields(_take(stream, struct.unpack('<I', head)[0], 'a record header'))
        (size,) = struct.unpack('<I', _take(stream, 4, 'the length of a record'))
        operation = header.get(b'op', b'\0')[0]
        if operation == 5 and not nested:
            body = stream.read(size) if size <= _LARGEST else b''
            inner = _unpacked(body, header.get(b'compression', b'none').decode())
            try:
                yield from _ros1_level(BytesIO(inner), nested=True)
            except Damage as damage:
                raise Damage(f'chunk at byte {place}: {damage}') from None
            if len(body) < size:
                raise Damage(f'chunk at byte {place}: ends after {len(body)} of {size} bytes')
            continue
        body = _take(stream, size, 'a record')
        if operation == 7:
            about = _fields(body)
            yield Topic(
                struct.unpack('<I', header[b'conn'])[0],
                header[b'topic'].decode(),
                about[b'type'].decode(),
                about.get(b'message_definition', b'').decode(),
            )
        elif operation == 2:
            seconds, nanoseconds = struct.unpack('<II', header[b'time'])
            key = struct.unpack('<I', header[b'conn'])[0]
            yield Message(key, seconds * 10**9 + nanoseconds, body)


def mcap_records(path: Path) -> Records:
    """Yield topics and messages of an mcap file."""
    with path.open('rb') as stream:
        if stream.read(len(MCAP_MAGIC)) != MCAP_MAGIC:
            raise Damage('byte 0: no mcap file')
        yield from _mcap_level(stream, {}, nested=False)


def mcap_profile(path: Path) -> str:
    """Return the profile in the header of an mcap file: 'ros2', 'ros1', ..., or ''."""
    with path.open('rb') as stream:
        try:
            _take(stream, len(MCAP_MAGIC), 'the start')
            _take(stream, 9, 'a record')
            return _text(stream).decode()
        except (Damage, UnicodeDecodeError):
            return ''


def _text(stream: BinaryIO) -> bytes:
    return _take(stream, struct.unpack('<I', _take(stream, 4, 'a length'))[0], 'a text')


def _mcap_level(stream: BinaryIO, schemas: dict[int, tuple[str, str]], nested: bool) -> Records:
    while True:
        place = stream.tell()
        operation = stream.read(1)
        if not operation:
            if nested:
                return
            raise Damage(f'byte {place}: the file ends without the footer')
        (size,) = struct.unpack('<Q', _take(stream, 8, 'the length of a record'))
        if operation == b'\x06' and not nested:
            body = stream.read(size) if size <= _LARGEST else b''
            try:
                yield from _mcap_chunk(body, schemas)
            except Damage as damage:
                raise Damage(f'chunk at byte {place}: {damage}') from None
            if len(body) < size:
                raise Damage(f'chunk at byte {place}: ends after {len(body)} of {size} bytes')
            continue
        body = _take(stream, size, 'a record')
        if operation in (b'\x0f', b'\x02'):  # end of data, footer
            return
        part = BytesIO(body)
        if operation == b'\x03':
            (key,) = struct.unpack('<H', _take(part, 2, 'a schema'))
            name, encoding, text = _text(part).decode(), _text(part), _text(part).decode()
            schemas[key] = (name, text if encoding in (b'ros2msg', b'ros1msg') else '')
        elif operation == b'\x04':
            key, schema = struct.unpack('<HH', _take(part, 4, 'a channel'))
            yield Topic(key, _text(part).decode(), *schemas.get(schema, ('', '')))
        elif operation == b'\x05':
            key, _, time, _ = struct.unpack('<HIQQ', _take(part, 22, 'a message'))
            yield Message(key, time, body[22:])


def _mcap_chunk(body: bytes, schemas: dict[int, tuple[str, str]]) -> Records:
    part = BytesIO(body)
    _take(part, 28, 'a chunk')
    compression = _text(part).decode()
    _take(part, 8, 'a chunk')
    yield from _mcap_level(BytesIO(_unpacked(part.read(), compression)), schemas, nested=True)


def sqlite3_records(path: Path) -> Records:
    """Yield topics and messages of a sqlite3 bag, in the order in which they were written."""
    # quote: the path becomes part of a URI
    address = f'{path.resolve().as_uri()}?mode=ro&immutable=1'
    connection = sqlite3.connect(address, uri=True)
    try:
        # a file that is shorter than its header says is refused otherwise
        connection.execute('PRAGMA writable_schema=ON')
        definitions: dict[str, str] = {}
        try:
            query = 'SELECT topic_type, encoded_message_definition FROM message_definitions'
            definitions = dict(connection.execute(query).fetchall())
        except sqlite3.Error:
            pass  # bags of before Iron have none
        for key, name, kind in connection.execute('SELECT id, name, type FROM topics'):
            yield Topic(key, name, kind, definitions.get(kind, ''))
        last = 0
        rows = connection.execute('SELECT id, topic_id, timestamp, data FROM messages ORDER BY id')
        while True:
            try:
                row = rows.fetchone()
            except sqlite3.Error as error:
                raise Damage(f'after row {last} of the table messages: {error}') from None
            if row is None:
                return
            last = row[0]
            yield Message(row[1], row[2], row[3])
    except sqlite3.Error as error:
        raise Damage(f'the tables of the database cannot be read: {error}') from None
    finally:
        connection.close()


SCANS: dict[str, Callable[[Path], Records]] = {
    'ros1': ros1_records,
    'mcap': mcap_records,
    'sqlite3': sqlite3_records,
}
