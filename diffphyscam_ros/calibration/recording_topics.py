# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Which topics of the bags belong to the camera: pictures, camera_info, settings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from diffphyscam_ros.calibration.bags import Bag
from diffphyscam_ros.calibration.compressed_encodings import recorded_encoding
from diffphyscam_ros.calibration.encodings import check_encoding
from diffphyscam_ros.calibration.errors import CalibrationError
from diffphyscam_ros.calibration.message_types import COMPRESSED_IMAGE, IMAGE

_COMPRESSED = '/compressed'


@dataclass(frozen=True)
class TopicSummary:
    """A topic over all bags: name, type with ``/msg/``, number of messages, names of the bags."""

    name: str
    type: str
    count: int
    bags: tuple[str, ...]


def summaries(bags: Sequence[Bag]) -> tuple[TopicSummary, ...]:
    """Return all topics of the bags, by name."""
    counts: dict[tuple[str, str], int] = {}
    places: dict[tuple[str, str], dict[str, None]] = {}
    for bag in bags:
        for channel in bag.channels():
            key = (channel.topic, channel.type)
            counts[key] = counts.get(key, 0) + channel.count
            places.setdefault(key, {})[bag.name] = None
    return tuple(
        TopicSummary(name, kind, counts[name, kind], tuple(places[name, kind]))
        for name, kind in sorted(counts)
    )


def _namespace(name: str) -> list[str]:
    return name.split('/')[:-1]


def related(topic: str, names: Iterable[str]) -> list[str]:
    """Return those names whose namespace holds the topic's, or lies in it."""
    own = _namespace(topic)
    spaces = {name: _namespace(name) for name in names}
    return [name for name, space in spaces.items() if own[: len(space)] == space[: len(own)]]


def nearest(topic: str, names: Iterable[str]) -> list[str]:
    """Return those names that share most levels of the topic's namespace; several = a tie."""
    own = _namespace(topic)

    def shared(name: str) -> tuple[int, int]:
        parts = _namespace(name)
        same = 0
        while same < min(len(own), len(parts)) and own[same] == parts[same]:
            same += 1
        return (same, -len(parts))

    scores = {name: shared(name) for name in names}
    best = max(scores.values(), default=None)
    return [name for name, score in scores.items() if score == best]


def camera_count(bag: Bag) -> int:
    """Return how many topics of a bag have pictures, a compressed copy not counted."""
    names = (
        base_topic(channel.topic)
        for channel in bag.channels()
        if channel.type in (IMAGE, COMPRESSED_IMAGE) and channel.count
    )
    return len(set(names))


def base_topic(name: str) -> str:
    """Return the name of the raw topic of a compressed one."""
    return name.removesuffix(_COMPRESSED)


def choose_image_topics(
    bags: Sequence[Bag], wanted: str | None, encoding: str, messages: list[str]
) -> dict[str, str]:
    """Return the image topic of each bag that has one, by the bag's name.

    Of a picture and its compressed copy the raw one is taken. Depth topics do not count.

    :param wanted: a topic, with or without ``/compressed``, or None: there must be only one.
    :param encoding: what the user says that the encoding is, or ''.
    :param messages: gets what people should know about the choice.
    :raises CalibrationError: listing the topics where the choice is not clear.
    """
    topics = [item for item in summaries(bags) if item.type in (IMAGE, COMPRESSED_IMAGE)]
    bases = {base_topic(item.name): None for item in topics if 'compressedDepth' not in item.name}
    listing = ', '.join(_describe(item, bags) for item in topics) or 'none'
    if wanted is not None:
        base = base_topic(wanted)
        if wanted not in (item.name for item in topics) and base not in bases:
            raise CalibrationError(
                'image topic', wanted, allowed=f'a topic of the bags: {listing}'
            )
    else:
        base = _only(bags, topics, list(bases), listing, encoding)
    names = [item.name for item in topics if base_topic(item.name) == base]
    names.sort(key=lambda name: (name != wanted, name != base))
    chosen: dict[str, str] = {}
    for bag in bags:
        counts: dict[str, int] = {}
        for channel in bag.channels():
            counts[channel.topic] = counts.get(channel.topic, 0) + channel.count
        filled = [name for name in names if counts.get(name)]
        if filled:
            chosen[bag.name] = filled[0]
            if wanted is not None and filled[0] != wanted:
                messages.append(f'{bag.name}: {filled[0]} is read, {wanted} has no messages')
        else:
            messages.append(f'{bag.name}: no messages of {wanted or base}, the bag is left out')
    if not chosen:
        raise CalibrationError(
            f'image topic {wanted or base} has no messages',
            remedy='the camera did not run, or its best-effort topic was not received: record '
            f'again and look at `ros2 topic hz`. Image topics: {listing}',
        )
    return chosen


def _only(
    bags: Sequence[Bag],
    topics: Sequence[TopicSummary],
    bases: list[str],
    listing: str,
    encoding: str,
) -> str:
    """Return the only camera's topic, or refuse."""
    if not bases:
        video = [item.name for item in summaries(bags) if 'Packet' in item.type]
        raise CalibrationError(
            'the bags have no sensor_msgs/Image or CompressedImage',
            remedy=(
                f'video packets ({", ".join(video)}) cannot be read, record image_raw'
                if video
                else 'record the image topic of the camera'
            )
            + f'. Topics: {", ".join(item.name for item in summaries(bags)) or "none"}',
        )
    filled = {base_topic(item.name) for item in topics if item.count} & set(bases)
    if len(filled) > 1 and not encoding:
        seen = {base for base in filled if _shows_brightness(base, topics, bags)}
        filled = seen or filled
    if len(filled) > 1:
        raise CalibrationError(
            'image topic of several',
            allowed=f'one of {listing}',
            remedy='choose with --image-topic',
        )
    return next(iter(filled), bases[0])


def _first_encoding(topic: TopicSummary, bags: Sequence[Bag]) -> tuple[str, str]:
    """Return encoding and size of the first message that can be read, or two empty strings."""
    for bag in bags:
        if bag.name in topic.bags:
            for _, _, data in bag.read([topic.name]):
                try:
                    message = bag.types.read(data, topic.type, topic.name)
                except CalibrationError:
                    break
                if topic.type == COMPRESSED_IMAGE:
                    return message.format, ''
                return message.encoding, f'{message.width}x{message.height}'
    return '', ''


def _describe(topic: TopicSummary, bags: Sequence[Bag]) -> str:
    kind = topic.type.rsplit('/', 1)[-1]
    about = [kind, f'{topic.count} messages', *filter(None, _first_encoding(topic, bags))]
    return f'{topic.name} ({", ".join(about)})'


def _shows_brightness(base: str, topics: Sequence[TopicSummary], bags: Sequence[Bag]) -> bool:
    """Return whether a topic holds pictures that can be read, not depth."""
    for topic in topics:
        if base_topic(topic.name) == base and topic.count:
            name, _ = _first_encoding(topic, bags)
            if topic.type == COMPRESSED_IMAGE:
                name = recorded_encoding(name) or 'mono8'
            try:
                check_encoding(name, base)
            except CalibrationError:
                return False
    return True
