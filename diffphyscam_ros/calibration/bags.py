# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""A bag as it lies on the disk: a file, or a folder of files with or without metadata.yaml."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
import importlib.util
from pathlib import Path, PurePath
import re
import shutil
import sys
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from diffphyscam_ros.calibration.bag_parts import (
    BagPart,
    Channel,
    kind_of,
    open_part,
    Record,
)
from diffphyscam_ros.calibration.errors import CalibrationError
from diffphyscam_ros.calibration.message_types import MessageTypes, NEEDED

SUFFIXES = ('.bag', '.bag.active', '.db3', '.mcap', '.db3.zstd', '.mcap.zstd')


class Bag:
    """An open bag; its parts one after the other.

    Files that are compressed as a whole are unpacked into a temporary folder (``TMPDIR`` says
    where), which needs their full size on the disk until ``close``.

    :param path: a file, or the folder of a ROS 2 bag.
    :param name: of the bag in messages.
    :raises CalibrationError: for a path that is no bag, or of which nothing can be read.
    """

    def __init__(self, path: Path, name: str) -> None:
        """See the class."""
        if importlib.util.find_spec('rosbags') is None:
            raise CalibrationError('reading bags needs rosbags', remedy='pip install rosbags')
        self.path, self.name = path, name
        self.messages: list[str] = []
        """What had to be done about the bag, for people."""
        self._temporary: TemporaryDirectory[str] | None = None
        self.parts: list[BagPart] = []
        errors: list[CalibrationError] = []
        try:
            files, about = self._files()
            for file in files:
                self._look_for_journal(file)
                try:
                    self.parts.append(open_part(self._plain(file), f'{name}: {file.name}'))
                except CalibrationError as error:
                    errors.append(error)
            if not self.parts:
                raise errors[0]
            self.messages += [str(error) for error in errors]
            for part in self.parts:
                if part.note:
                    self.messages.append(f'{name}: {part.path.name} {part.note}')
            self.parts.sort(key=lambda part: part.span[0])
            self._compare(about)
            definitions = {
                channel.type: channel.definition
                for channel in self.channels()
                if channel.definition and channel.type in NEEDED
            }
            kinds = {part.ros1 for part in self.parts}
            if len(kinds) > 1:
                raise CalibrationError(
                    f'folder {name}',
                    str(path),
                    allowed='one bag',
                    remedy='it has files of ROS 1 and of ROS 2; give them separately',
                )
            self.types = MessageTypes(kinds.pop(), definitions.items())
            self.messages += self.types.messages
        except BaseException:
            self.close()
            raise

    def channels(self) -> list[Channel]:
        """Return the topics of all parts, one by one."""
        return [channel for part in self.parts for channel in part.channels]

    def read(self, topics: Collection[str], start: int | None = None) -> Iterator[Record]:
        """Yield the messages of some topics, from that time on, part by part."""
        for part in self.parts:
            yield from part.messages(topics, start)

    def damage(self) -> list[str]:
        """Return the damaged places that are known so far, for people."""
        return [
            f'{self.name}: {part.path.name} is damaged, {part.damage}; what lies before is used: '
            'end recordings by Ctrl-C and wait for the recorder, copy the file again, or film more'
            for part in self.parts
            if part.damage
        ]

    def close(self) -> None:
        """Close all files and remove the unpacked ones."""
        for part in self.parts:
            part.close()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def _files(self) -> tuple[list[Path], Mapping[str, Any]]:
        """Return the files of the bag in order, and its metadata if it has any."""
        if not self.path.exists():
            raise CalibrationError(
                'bag', str(self.path), allowed='a file or folder', remedy='it does not exist'
            )
        if self.path.is_file():
            return [self.path], {}
        found = sorted(
            (file for file in self.path.iterdir() if file.name.endswith(SUFFIXES)),
            key=lambda file: _numbers(file.name),
        )
        about = self._metadata()
        listed = [self.path / PurePath(text).name for text in about.get('relative_file_paths', ())]
        missing = [file.name for file in listed if not file.exists()]
        if missing:
            self.messages.append(
                f'{self.name}: {len(missing)} of {len(listed)} files of the bag are missing: '
                f'{", ".join(missing)}'
            )
        files = [file for file in listed if file.exists()] or found
        if files:
            return files, about
        inside = sorted(
            folder.name
            for folder in self.path.iterdir()
            if folder.is_dir() and any(file.name.endswith(SUFFIXES) for file in folder.iterdir())
        )
        remedy = f'it holds {", ".join(inside)}: name them' if inside else 'it holds no bag file'
        raise CalibrationError(
            'bag', str(self.path), allowed=f'a folder with {", ".join(SUFFIXES)}', remedy=remedy
        )

    def _metadata(self) -> Mapping[str, Any]:
        """Return what metadata.yaml says, or nothing and a message."""
        file = self.path / 'metadata.yaml'
        reason = 'is missing'
        if file.exists():
            try:
                return dict(
                    yaml.safe_load(file.read_text(encoding='utf-8'))['rosbag2_bagfile_information']
                )
            except (yaml.YAMLError, KeyError, TypeError, ValueError, OSError) as error:
                reason = f'cannot be read ({" ".join(str(error).split())[:120]})'
        elif not any(path.suffix in ('.db3', '.mcap', '.zstd') for path in self.path.iterdir()):
            return {}  # ROS 1 has none
        self.messages.append(
            f'{self.name}: metadata.yaml {reason}; every bag file of the folder is read'
        )
        return {}

    def _compare(self, about: Mapping[str, Any]) -> None:
        """Say where the files hold less than metadata.yaml promises."""
        found = sum(channel.count for channel in self.channels())
        promised = about.get('message_count', 0)
        if isinstance(promised, int) and found < promised:
            self.messages.append(
                f'{self.name}: {found} messages, but metadata.yaml says {promised}: the bag was '
                'cut off or copied in part'
            )

    def _look_for_journal(self, file: Path) -> None:
        """Say where messages wait beside a database that was not closed."""
        journal = file.with_name(f'{file.name}-wal')
        if journal.exists() and journal.stat().st_size:
            self.messages.append(
                f'{self.name}: {journal.name} holds messages that are not read; opening and '
                f'closing {file.name} once with sqlite3 takes them over'
            )

    def _plain(self, file: Path) -> Path:
        """Return the file, unpacked if it is compressed as a whole."""
        if kind_of(file) != 'zstd':
            return file
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd

        if self._temporary is None:
            self._temporary = TemporaryDirectory(prefix='diffphyscam_bag_')
        target = Path(self._temporary.name, file.stem)
        try:
            with zstd.open(file, 'rb') as source, target.open('wb') as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
        except (zstd.ZstdError, EOFError) as error:
            # what was unpacked so far is read from the front
            self.messages.append(f'{self.name}: {file.name} is damaged: {error}')
        return target


def _numbers(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts x_2 before x_10."""
    return [(int(part), '') if part.isdigit() else (-1, part) for part in re.split(r'(\d+)', name)]
