# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Reads what lies beside the pictures in one pass: settings and camera_info."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from diffphyscam_ros.calibration.bags import Bag
from diffphyscam_ros.calibration.driver_parameters import (
    Driver,
    driver_named,
    DRIVER_NAMES,
    recognise,
)
from diffphyscam_ros.calibration.errors import CalibrationError
from diffphyscam_ros.calibration.message_types import (
    CAMERA_INFO,
    CAMERA_METADATA,
    FLIR_METADATA,
    PARAMETER_EVENT,
    PYLON_PARAMETERS,
    REALSENSE_METADATA,
)
from diffphyscam_ros.calibration.recording_topics import camera_count, nearest, related
from diffphyscam_ros.calibration.settings_sources import (
    from_camera_metadata,
    from_flir,
    from_parameter_changes,
    from_pylon,
    from_realsense,
    Moment,
    parameter_value,
    ParameterChange,
    stamp_ns,
)

_FRAME_TYPES = {
    'metadata': CAMERA_METADATA,
    'flir': FLIR_METADATA,
    'realsense': REALSENSE_METADATA,
    'pylon': PYLON_PARAMETERS,
}


@dataclass(frozen=True)
class RecordedCameraInfo:
    """What ``camera_info`` said.

    :param k: 9 numbers, rows.
    :param d: coefficients in the order of the model.
    :param count: messages.
    :param constant: all messages said the same.
    """

    topic: str
    width: int
    height: int
    distortion_model: str
    k: tuple[float, ...]
    d: tuple[float, ...]
    count: int
    constant: bool


@dataclass
class SideTopics:
    """What was found beside the pictures.

    :param frames: settings of single frames by the name of the source.
    :param events: settings by parameter events, or nothing.
    """

    frames: dict[str, list[Moment]] = field(default_factory=dict)
    events: list[Moment] = field(default_factory=list)
    camera_info: RecordedCameraInfo | None = None
    messages: list[str] = field(default_factory=list)


def read_side_topics(
    bags: Sequence[Bag],
    image_topics: dict[str, str],
    sources: Sequence[str],
    driver: str = '',
    node: str = '',
) -> SideTopics:
    """Read the topics that belong to the image topic.

    :param image_topics: of each bag by name.
    :param sources: which are wanted.
    :param driver: one of ``DRIVER_NAMES``, or '' to recognise it.
    :param node: full name of the driver's node, or ''.
    :raises CalibrationError: for an unknown driver.
    """
    if driver and driver_named(driver) is None:
        raise CalibrationError('driver', driver, allowed=f'one of {", ".join(DRIVER_NAMES)}')
    found = SideTopics()
    changes: dict[str, list[ParameterChange]] = {}
    for bag in bags:
        image_topic = image_topics.get(bag.name)
        if image_topic is None:
            continue
        wanted: dict[str, tuple[str, str]] = {}
        for name, kind in _FRAME_TYPES.items():
            if name in sources:
                wanted |= _belonging(bag, image_topic, name, kind, found.messages)
        wanted |= _belonging(bag, image_topic, 'camera_info', CAMERA_INFO, found.messages)
        if 'parameter_events' in sources:
            wanted |= {
                channel.topic: ('parameter_events', PARAMETER_EVENT)
                for channel in bag.channels()
                if channel.type == PARAMETER_EVENT
            }
        stereo = driver == 'realsense stereo' or '/infra' in image_topic
        _read(bag, wanted, stereo, found, changes)
    topic = next(iter(image_topics.values()), '')
    found.events = _events(changes, topic, driver, node, found.messages)
    return found


def _belonging(
    bag: Bag, image_topic: str, name: str, kind: str, messages: list[str]
) -> dict[str, tuple[str, str]]:
    """Return the topic of that type that belongs to the pictures: {topic: (source, type)}."""
    candidates = dict.fromkeys(
        channel.topic for channel in bag.channels() if channel.type == kind and channel.count
    )
    near = nearest(image_topic, related(image_topic, candidates))
    if not near and len(candidates) == 1 and camera_count(bag) == 1:
        near = list(candidates)
    if len(near) == 1:
        return {near[0]: (name, kind)}
    if candidates:
        messages.append(
            f'{bag.name}: {name} is not read, of {", ".join(candidates)} '
            f'{"several are" if near else "none is"} in the namespace of {image_topic}'
        )
    return {}


def _read(
    bag: Bag,
    wanted: dict[str, tuple[str, str]],
    stereo: bool,
    found: SideTopics,
    changes: dict[str, list[ParameterChange]],
) -> None:
    """Read the wanted topics of one bag."""
    readers: dict[str, Callable[[Any, int], Moment]] = {
        'metadata': from_camera_metadata,
        'flir': from_flir,
        'realsense': lambda message, received: from_realsense(message, received, stereo),
        'pylon': from_pylon,
    }
    broken: dict[str, tuple[int, str]] = {}
    for topic, received, data in bag.read(list(wanted)) if wanted else ():
        source, kind = wanted[topic]
        try:
            message = bag.types.read(data, kind, f'{topic} in {bag.name}')
            if source == 'camera_info':
                found.camera_info = _with_info(found.camera_info, topic, message)
            elif source == 'parameter_events':
                values = {
                    item.name: parameter_value(item.value)
                    for item in [*message.new_parameters, *message.changed_parameters]
                }
                stamp = stamp_ns(message.stamp) or received
                change = ParameterChange(stamp, received, values)
                changes.setdefault(message.node, []).append(change)
            else:
                found.frames.setdefault(source, []).append(readers[source](message, received))
        except CalibrationError as error:
            count, first = broken.get(topic, (0, str(error)))
            broken[topic] = (count + 1, first)
    for topic, (count, first) in broken.items():
        found.messages.append(f'{bag.name}: {count} messages of {topic} are left out: {first}')


def _with_info(known: RecordedCameraInfo | None, topic: str, message: Any) -> RecordedCameraInfo:
    """Return what is known of camera_info after one more message."""
    # ROS 1 writes K and D
    k = tuple(float(x) for x in (message.k if hasattr(message, 'k') else message.K))
    d = tuple(float(x) for x in (message.d if hasattr(message, 'd') else message.D))
    new = (int(message.width), int(message.height), str(message.distortion_model), k, d)
    if known is None:
        return RecordedCameraInfo(topic, *new, count=1, constant=True)
    old = (known.width, known.height, known.distortion_model, known.k, known.d)
    return RecordedCameraInfo(
        known.topic, *old, count=known.count + 1, constant=known.constant and old == new
    )


def _events(
    changes: dict[str, list[ParameterChange]],
    topic: str,
    driver: str,
    node: str,
    messages: list[str],
) -> list[Moment]:
    """Return the settings by the parameter events of the camera's node."""
    if node and node not in changes:
        messages.append(
            f'{node} has no parameter events; nodes that have: {", ".join(changes) or "none"}'
        )
        return []
    nodes = {node: changes[node]} if node else changes
    known: dict[str, Driver] = {}
    for name, events in nodes.items():
        names = {key for event in events for key in event.values}
        found = driver_named(driver) if driver else recognise(names, topic)
        if found is not None and names & {*found.fields, *found.automatic, *found.unknown}:
            known[name] = found
        elif any('exposure' in key.lower() for key in names):
            messages.append(
                f'{name} has parameters of exposure, but which driver it is cannot be told: say '
                f'--driver {"|".join(DRIVER_NAMES)}'
            )
    names_of_nodes = [f'{name}/node' for name in known]
    near = nearest(topic, related(topic, names_of_nodes) or names_of_nodes)
    if len(near) != 1:
        if near:
            messages.append(
                f'parameter events of {", ".join(known)}: which belongs to {topic} cannot be '
                'told, say --driver-node'
            )
        return []
    name = near[0].removesuffix('/node')
    chosen = known[name]
    names = {key for event in nodes[name] for key in event.values}
    messages += [
        f'{strange} of {name} ({chosen.name}) {chosen.unknown[strange]}, and is not taken: keep '
        'it fixed and give it as --constant, or for each frame by --exposure-csv'
        for strange in sorted(names & {*chosen.unknown})
    ]
    return from_parameter_changes(chosen, nodes[name])
