# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The pictures of one camera in one or several bags, one at a time, with their settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from diffphyscam_ros.calibration.bags import Bag
from diffphyscam_ros.calibration.bit_depth import empty_low_bits, recognised_bit_depth
from diffphyscam_ros.calibration.encodings import CANONICAL, check_encoding
from diffphyscam_ros.calibration.errors import CalibrationError
from diffphyscam_ros.calibration.frame_settings import FrameSettingsFinder, SETTLE_FRAMES
from diffphyscam_ros.calibration.image_reader import Counted, ImageReader
from diffphyscam_ros.calibration.recording_topics import (
    choose_image_topics,
    summaries,
    TopicSummary,
)
from diffphyscam_ros.calibration.settings_sources import stamp_ns, TOLERANCE
from diffphyscam_ros.calibration.side_topics import RecordedCameraInfo
from diffphyscam_ros.calibration.types import FrameSettings, RecordedFrame, ROLES

PathLike = str | Path


@dataclass
class _Pass:
    """What one reading of all frames came upon."""

    count: int = 0
    damaged: Counted = field(default_factory=Counted)
    unmatched: Counted = field(default_factory=Counted)
    without_stamp: int = 0


class Recording:
    """Bags of one camera as one sequence of frames.

    ::

        with Recording(['flat', 'boards.mcap'], constants={'aperture': 2.8}) as recording:
            for frame in recording.frames():
                ...

    Reads ROS 1, sqlite3 and mcap bags; ``Image`` and ``CompressedImage``; needs no ROS. One frame
    is in memory at a time, and ``frames`` may be called again and again. What was found on the way
    (damage, frames without settings) is in ``messages``.

    :param paths: bags: files, or folders of ROS 2 bags. Their order is that of the frames.
    :param image_topic: needed where the bags have several; ``/compressed`` may be left out.
    :param settings: 'auto', or the name of the only source to take (``SOURCES``).
    :param csv: table of settings (``settings_sources.read_csv``).
    :param constants: settings that hold where nothing else is known: ``FrameSettings``, or a
        mapping of its fields, SI.
    :param roles: what was filmed: one role for all, or a mapping of bag (path as given, or the
        last part of it) to role.
    :param tolerance: s, between the stamps of a frame and its settings.
    :param driver: whose parameter events to read, one of ``DRIVER_NAMES``; '' = recognise it.
    :param driver_node: full name of its node, where several have exposure parameters.
    :param encoding: take the pixels for this one, whatever the messages say.
    :param bit_depth: 10, 12, 14 for such values in the low bits of 16; 0 = recognise it. Values
        in the high bits are recognised always, and moved to the low ones.
    :param settle_frames: how many frames after a parameter event count as settling.
    :raises CalibrationError: for bags, topics or options that cannot be used.
    """

    def __init__(
        self,
        paths: PathLike | Sequence[PathLike],
        image_topic: str | None = None,
        *,
        settings: str = 'auto',
        csv: PathLike | None = None,
        constants: FrameSettings | Mapping[str, Any] | None = None,
        roles: str | Mapping[str, str] = '',
        tolerance: float = TOLERANCE,
        driver: str = '',
        driver_node: str = '',
        encoding: str = '',
        bit_depth: int = 0,
        settle_frames: int = SETTLE_FRAMES,
    ) -> None:
        """See the class."""
        given = [paths] if isinstance(paths, (str, Path)) else list(paths)
        if not given:
            raise CalibrationError('bags', given, allowed='at least one path')
        if encoding and encoding not in CANONICAL:
            check_encoding(encoding, 'the option encoding')
        self._messages: list[str] = []
        self._bags: list[Bag] = []
        self._last = _Pass()
        try:
            names = _bag_names(given)
            self._bag_roles = _bag_roles(roles, given, names)
            for path, name in zip(given, names, strict=True):
                self._bags.append(Bag(Path(path), name))
            self.topics: tuple[TopicSummary, ...] = summaries(self._bags)
            self.image_topics = choose_image_topics(
                self._bags, image_topic, encoding, self._messages
            )
            self.bags = tuple(self.image_topics)
            self._images = ImageReader(self._bags, self.image_topics, encoding)
            first = self._images.first()
            self._messages += self._images.messages
            self.size = (first.pixels.shape[1], first.pixels.shape[0])
            """Width and height in px."""
            self.encoding = first.encoding
            self.lossy = first.lossy
            """Whether the pictures (of the first bag) went through JPEG."""
            self._settings = FrameSettingsFinder(
                self._bags,
                self.image_topics,
                settings=settings,
                csv=None if csv is None else Path(csv),
                constants=constants,
                tolerance=tolerance,
                driver=driver,
                driver_node=driver_node,
                same_clock=self._images.same_clock,
                settle_frames=settle_frames,
            )
            self.bit_depth, self._shift = bit_depth, 0
            if self.encoding.endswith('16'):
                some = self._images.spread(16)
                self._shift = empty_low_bits(some)
                known = 16 - self._shift if self._shift else recognised_bit_depth(some)
                self.bit_depth = bit_depth or known
        except BaseException:
            self.close()
            raise
        self.frame_roles: dict[int, str] = {}
        """Roles by frame index that hold where the bag has none; ``roles.recognise`` fills it."""

    def __enter__(self) -> Recording:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the bags."""
        self.close()

    def close(self) -> None:
        """Close the bags and remove what was unpacked."""
        for bag in self._bags:
            bag.close()

    def __len__(self) -> int:
        """Return the number of picture messages by the bags' own account."""
        return sum(
            channel.count
            for bag in self._bags
            for channel in bag.channels()
            if channel.topic == self.image_topics.get(bag.name)
        )

    @property
    def paths(self) -> dict[str, Path]:
        """The path of each bag that has pictures, by its name in frames and messages."""
        return {bag.name: bag.path for bag in self._bags if bag.name in self.image_topics}

    @property
    def camera_info(self) -> RecordedCameraInfo | None:
        """What the camera's camera_info said, or None."""
        return self._settings.camera_info

    @property
    def settings_sources(self) -> tuple[str, ...]:
        """The sources of settings that there are, first the one that counts most."""
        return self._settings.names

    @property
    def given_roles(self) -> Mapping[str, str]:
        """The roles that were given, by the name of the bag."""
        return self._bag_roles

    def messages(self) -> list[str]:
        """Return what people should know, for the last reading of the frames."""
        last = self._last
        found = [text for bag in self._bags for text in (*bag.messages, *bag.damage())]
        found += [*self._messages, *self._settings.messages]
        if last.damaged.count:
            found.append(f'{last.damaged.count} damaged frames are left out: {last.damaged}')
        if last.unmatched.count:
            found.append(
                f'{last.unmatched.count} of {last.count} frames have no settings of '
                f'{", ".join(self._settings.names)} within {self._settings.tolerance * 1000:g} '
                f'ms: {last.unmatched}'
            )
        if last.without_stamp:
            found.append(
                f'{last.without_stamp} frames have no stamp: the time of recording is taken'
            )
        return list(dict.fromkeys(found))

    def frames(self, every: int = 1) -> Iterator[RecordedFrame]:
        """Yield the frames in order, one bag after the other.

        :param every: only each n-th, or of damaged ones the next; the others are not decoded.
        :raises CalibrationError: where size or encoding change, or no frame can be read.
        """
        self._last = state = _Pass()
        self._settings.restart()
        good = 0
        first: RecordedFrame | None = None
        for frame in self._all_frames(state, max(every, 1)):
            if first is None:
                first = frame
            elif (frame.size, frame.encoding) != (first.size, first.encoding):
                raise CalibrationError(
                    f'frame {frame.index} of {frame.topic} in {frame.bag}',
                    f'{frame.size[0]}x{frame.size[1]} {frame.encoding}',
                    allowed=f'{first.size[0]}x{first.size[1]} {first.encoding} like frame '
                    f'{first.index} in {first.bag}',
                    remedy='calibrate each resolution and encoding by itself: give its bags alone',
                )
            good += 1
            yield frame
        if not good:
            raise CalibrationError(
                f'none of {state.count} frames of {", ".join(set(self.image_topics.values()))} '
                'can be read',
                remedy=str(state.damaged) or 'the bag is damaged before the first',
            )

    def _all_frames(self, state: _Pass, every: int) -> Iterator[RecordedFrame]:
        """Yield frames without comparing them; count what is wrong in ``state``."""
        due = 0
        for image in self._images.messages_of_all():
            index = state.count
            state.count += 1
            if image.error:
                state.damaged.add(image.error)
                continue
            stamp = stamp_ns(image.message.header.stamp)
            if not stamp:
                stamp = image.received
                state.without_stamp += 1
            known = self._settings.at(stamp, image.received, image.bag)
            if not known.matched:
                state.unmatched.add(f'frame {index} at {stamp} ns')
            if index < due:
                continue
            try:
                pixels, encoding, lossy = self._images.decode(image)
            except CalibrationError as error:
                state.damaged.add(str(error))
                continue
            due = index - index % every + every
            if self._shift and pixels.dtype.itemsize == 2:
                pixels = pixels >> self._shift
            pixels.flags.writeable = False
            yield RecordedFrame(
                index=index,
                stamp=stamp,
                topic=image.topic,
                frame_id=str(image.message.header.frame_id),
                bag=image.bag,
                image=pixels,
                encoding=encoding,
                settings=known.settings,
                role=self._bag_roles.get(image.bag) or self.frame_roles.get(index, ''),
                bit_depth=self.bit_depth if pixels.dtype.itemsize == 2 else 0,
                lossy=lossy,
                settling=known.settling,
                automatic=known.automatic,
            )


def _bag_names(paths: Sequence[PathLike]) -> list[str]:
    """Return short names that tell the bags apart."""
    short = [Path(path).name or str(path) for path in paths]
    names = [
        name if short.count(name) == 1 else str(path)
        for name, path in zip(short, paths, strict=True)
    ]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CalibrationError('bags', twice, allowed='each given once')
    return names


def _bag_roles(
    roles: str | Mapping[str, str], paths: Sequence[PathLike], names: Sequence[str]
) -> dict[str, str]:
    """Return the role of each bag that was given one, by name."""
    given = dict.fromkeys(names, roles) if isinstance(roles, str) else {}
    for key, role in {} if isinstance(roles, str) else roles.items():
        found = [
            name
            for path, name in zip(paths, names, strict=True)
            if key in (str(path), name, Path(path).name)
        ]
        if not found:
            raise CalibrationError('bag of a role', key, allowed=f'one of {", ".join(names)}')
        given.update(dict.fromkeys(found, role))
    for role in given.values():
        if role and role not in ROLES:
            raise CalibrationError('role', role, allowed=f'one of {", ".join(ROLES)}')
    return given
