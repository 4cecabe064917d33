# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The picture messages of all bags, and their pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from diffphyscam_ros.calibration.bags import Bag
from diffphyscam_ros.calibration.compressed_encodings import decode_compressed
from diffphyscam_ros.calibration.encodings import check_encoding, decode_image, Pixels
from diffphyscam_ros.calibration.errors import CalibrationError
from diffphyscam_ros.calibration.message_types import COMPRESSED_IMAGE, IMAGE
from diffphyscam_ros.calibration.settings_sources import stamp_ns

_NAMED = 5
_OTHER_CLOCK = 5_000_000_000  # ns; no driver takes so long to deliver a picture


@dataclass
class Counted:
    """Counts names and keeps the first few."""

    count: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.names) < _NAMED:
            self.names.append(name)

    def __str__(self) -> str:
        """Name a few and count the rest."""
        rest = self.count - len(self.names)
        return '; '.join(self.names) + (f'; and {rest} more' if rest else '')


@dataclass(frozen=True)
class ImageMessage:
    """A message, or the error that it gave.

    :param received: time of recording, ns.
    :param place: which frame, for messages to people.
    """

    bag: str
    topic: str
    received: int
    place: str
    message: Any
    error: str = ''


@dataclass(frozen=True)
class FirstImage:
    """The first picture that can be read."""

    pixels: Pixels
    encoding: str
    lossy: bool


class ImageReader:
    """Reads the image topic of each bag.

    :param image_topics: by the name of the bag; bags without one are left out.
    :param encoding: read the pixels so, or '' for what the messages say.
    """

    def __init__(
        self, bags: Sequence[Bag], image_topics: Mapping[str, str], encoding: str
    ) -> None:
        """See the class."""
        self._bags = [bag for bag in bags if bag.name in image_topics]
        self._topics, self._encoding = image_topics, encoding
        self.same_clock = True
        """Whether stamps and times of recording agree; known after ``first``."""
        self.messages: list[str] = []

    def _of_bag(self, bag: Bag, start: int | None = None) -> Iterator[ImageMessage]:
        topic = self._topics[bag.name]
        types = {item.type for item in bag.channels() if item.topic == topic}
        kind = IMAGE if IMAGE in types else COMPRESSED_IMAGE
        for number, (_, received, data) in enumerate(bag.read([topic], start)):
            place = f'frame {number} of {topic} in {bag.name}'
            try:
                message, error = bag.types.read(data, kind, place), ''
            except CalibrationError as problem:
                message, error = None, str(problem)
            yield ImageMessage(bag.name, topic, received, place, message, error)

    def messages_of_all(self) -> Iterator[ImageMessage]:
        """Yield the messages, one bag after the other."""
        for bag in self._bags:
            yield from self._of_bag(bag)

    def decode(self, image: ImageMessage) -> tuple[Pixels, str, bool]:
        """Return pixels, canonical encoding, and whether it went through JPEG.

        :raises CalibrationError: for what cannot be read.
        """
        if hasattr(image.message, 'format'):
            return decode_compressed(image.message, image.place)
        return (*decode_image(image.message, image.place, self._encoding), False)

    def first(self) -> FirstImage:
        """Look at the first whole frame of each bag, and return that of the first bag.

        :raises CalibrationError: for encodings that cannot be read, sizes that differ between
            bags, or if no frame is whole.
        """
        found: list[tuple[str, FirstImage]] = []
        problems = Counted()
        for bag in self._bags:
            for image in self._of_bag(bag):
                if image.error:
                    problems.add(image.error)
                    continue
                if not hasattr(image.message, 'format'):
                    check_encoding(self._encoding or image.message.encoding, image.topic)
                try:
                    pixels, encoding, lossy = self.decode(image)
                except CalibrationError as error:
                    problems.add(str(error))
                    continue
                stamp = stamp_ns(image.message.header.stamp) or image.received
                self.same_clock &= abs(stamp - image.received) <= _OTHER_CLOCK
                found.append((bag.name, FirstImage(pixels, encoding, lossy)))
                break
        if not found:
            raise CalibrationError(
                f'none of the frames of {", ".join(dict.fromkeys(self._topics.values()))} can be '
                f'read ({problems or "the bag is damaged before the first"})',
                remedy='record them again, or choose another topic with --image-topic',
            )
        _check_sizes(found)
        if not self.same_clock:
            self.messages.append(
                'stamps of the pictures and times of recording differ by more than 5 s: parameter '
                'events are matched by time of recording'
            )
        return found[0][1]

    def spread(self, count: int) -> list[Pixels]:
        """Return about so many pictures, spread over the time of the bags."""
        pictures: list[Pixels] = []
        for bag in self._bags:
            begin = min(part.span[0] for part in bag.parts)
            length = max(part.span[1] for part in bag.parts) - begin
            share = max(count // len(self._bags), 2)
            for number in range(share):
                for image in self._of_bag(bag, begin + length * number // share):
                    try:
                        pictures += [] if image.error else [self.decode(image)[0]]
                    except CalibrationError:
                        continue
                    break
        return pictures


def _check_sizes(found: Sequence[tuple[str, FirstImage]]) -> None:
    """Refuse bags whose frames differ in size."""
    (first_bag, first), *others = found
    height, width = first.pixels.shape[:2]
    for bag, image in others:
        if image.pixels.shape[:2] != (height, width):
            raise CalibrationError(
                f'size of the frames in {bag}',
                f'{image.pixels.shape[1]}x{image.pixels.shape[0]}',
                allowed=f'{width}x{height} as in {first_bag}',
                remedy='calibrate each resolution by itself: give its bags alone',
            )
