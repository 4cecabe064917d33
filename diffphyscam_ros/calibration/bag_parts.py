# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""One file of a bag: its topics, and its messages in the order of recording."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
import sys
from typing import Any, Protocol

from diffphyscam_ros.calibration.errors import CalibrationError
from diffphyscam_ros.calibration.message_types import normal_type
from diffphyscam_ros.calibration.salvage import (
    Damage,
    MCAP_MAGIC,
    mcap_profile,
    Message,
    ROS1_MAGIC,
    SCANS,
    Topic,
)

SQLITE3_MAGIC = b'SQLite format 3\x00'
ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
_KINDS = {ROS1_MAGIC: 'ros1', MCAP_MAGIC: 'mcap', SQLITE3_MAGIC: 'sqlite3'}

Record = tuple[str, int, bytes]
"""Topic, time of recording in ns, bytes of the message."""


@dataclass(frozen=True)
class Channel:
    """A topic of a file: name, type with ``/msg/``, number of messages, definition or ''."""

    topic: str
    type: str
    count: int
    definition: str = ''


class BagPart(Protocol):
    """A file of a bag, open.

    ``damage`` is '' or says where the file is damaged; it may become known while reading.
    ``note`` is '' or says how the file had to be read. ``ros1`` tells how messages are laid out.
    """

    path: Path
    kind: str
    ros1: bool
    channels: tuple[Channel, ...]
    damage: str
    note: str
    span: tuple[int, int]

    def messages(self, topics: Collection[str], start: int | None = None) -> Iterator[Record]:
        """Yield the messages of some topics from that time on; stop at damage."""

    def close(self) -> None:
        """Close the file."""


def kind_of(path: Path) -> str:
    """Return 'ros1', 'mcap', 'sqlite3', 'zstd', or '' by the first bytes of a file."""
    with path.open('rb') as file:
        head = file.read(16)
    if head.startswith(ZSTD_MAGIC):
        return 'zstd'
    return next((kind for magic, kind in _KINDS.items() if head.startswith(magic)), '')


def open_part(path: Path, name: str) -> BagPart:
    """Open a file by its index, or without one where that is missing or damaged.

    :param name: of the file in messages.
    :raises CalibrationError: where not one message can be read, or for another kind of file.
    """
    kind = kind_of(path)
    if kind not in SCANS:
        with path.open('rb') as file:
            head = file.read(16)
        raise CalibrationError(
            f'first bytes of {name}',
            head,
            allowed='those of a ROS 1 bag 2.0, an mcap or a sqlite3 file',
            remedy='the file is no bag' if head else 'the file is empty',
        )
    try:
        return _IndexedPart(path, kind)
    except Exception as error:  # rosbags lets errors of many libraries through
        reason = f'{type(error).__name__}: {error}'
    return _SalvagedPart(path, kind, name, reason)


def _unpacked(data: bytes) -> bytes:
    """Decompress a message where the bag is compressed by message; CDR never begins so."""
    if data[:4] != ZSTD_MAGIC:
        return data
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd

    return zstd.decompress(data)


class _IndexedPart:
    """A file that rosbags can open."""

    def __init__(self, path: Path, kind: str) -> None:
        from rosbags.rosbag1 import Reader as Reader1
        from rosbags.rosbag2.storage_mcap import McapReader
        from rosbags.rosbag2.storage_sqlite3 import Sqlite3Reader

        self.path, self.kind, self.damage, self.note = path, kind, '', ''
        self.ros1 = kind == 'ros1'
        classes: dict[str, Any] = {'ros1': Reader1, 'mcap': McapReader, 'sqlite3': Sqlite3Reader}
        # sqlite3 takes the path for a URI
        address = Path(str(path).replace('%', '%25').replace('?', '%3f').replace('#', '%23'))
        self._reader = classes[kind](address if kind == 'sqlite3' else path)
        self._reader.open()
        try:
            if kind == 'mcap' and not self._reader.chunks:
                raise ValueError('the mcap file has no chunks')  # rosbags wants them in order
            self.channels = tuple(
                Channel(
                    item.topic,
                    normal_type(item.msgtype),
                    item.msgcount,
                    item.msgdef.data if item.msgdef.format.name == 'MSG' else '',
                )
                for item in self._reader.connections
            )
            about = self._reader if kind == 'ros1' else self._reader.metadata
            self.span = (about.start_time, about.end_time)
        except BaseException:
            self.close()
            raise

    def messages(self, topics: Collection[str], start: int | None = None) -> Iterator[Record]:
        chosen = [item for item in self._reader.connections if item.topic in topics]
        if not chosen:
            return
        count, last = 0, 0
        try:
            for connection, time, data in self._reader.messages(chosen, start):
                count, last = count + 1, time
                yield connection.topic, time, _unpacked(data)
        except Exception as error:  # rosbags lets errors of many libraries through
            self.damage = f'after {count} messages, at {last} ns: {type(error).__name__}: {error}'

    def close(self) -> None:
        with suppress(Exception):
            self._reader.close()


class _SalvagedPart:
    """A file that is read from the front, up to its damage."""

    def __init__(self, path: Path, kind: str, name: str, reason: str) -> None:
        self.path, self.kind, self.damage = path, kind, ''
        self.ros1 = kind == 'ros1' or (kind == 'mcap' and mcap_profile(path) == 'ros1')
        self.note = f'was read from the front, not by its index ({reason})'
        self._topics: dict[int, Topic] = {}
        counts: dict[int, int] = {}
        first, last = 2**63 - 1, 0
        for message in self._scan():
            counts[message.key] = counts.get(message.key, 0) + 1
            first, last = min(first, message.time), max(last, message.time)
        if not counts:
            raise CalibrationError(
                f'bag file {name} cannot be read ({self.damage or reason})',
                remedy='not one whole message is in it; copy or record it again',
            )
        self.span = (first, last + 1)
        self.channels = tuple(
            Channel(topic.name, normal_type(topic.type), counts.get(key, 0), topic.definition)
            for key, topic in self._topics.items()
        )

    def _scan(self) -> Iterator[Message]:
        self.damage = ''
        try:
            for record in SCANS[self.kind](self.path):
                if isinstance(record, Topic):
                    if isinstance(record.name, str) and isinstance(record.type, str):
                        self._topics[record.key] = record
                elif record.key in self._topics:
                    yield record
        except Damage as damage:
            self.damage = str(damage)
        except Exception as error:  # bytes that make no sense can do so anywhere
            self.damage = f'{type(error).__name__}: {error}'

    def messages(self, topics: Collection[str], start: int | None = None) -> Iterator[Record]:
        for message in self._scan():
            name = self._topics[message.key].name
            if name not in topics or (start is not None and message.time < start):
                continue
            try:
                data = _unpacked(message.data)
            except Exception as error:  # each library of compression has its own
                self.damage = f'a message at {message.time} ns: {type(error).__name__}: {error}'
                continue
            yield name, message.time, data

    def close(self) -> None:
        """Nothing stays open between two readings."""
