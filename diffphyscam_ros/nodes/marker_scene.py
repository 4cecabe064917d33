# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The scene that MarkerArrays describe, with the semantics of RViz; knows no rclpy.

A marker is known by its namespace and id. ADD and MODIFY are one; DELETE and DELETEALL (of a
namespace where one is given, else of all) take away; messages are applied in their order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
import threading
import time

import numpy as np
import torch
from visualization_msgs.msg import Marker

from diffphyscam_ros.nodes.marker_drawing import draw, Drawing, MarkerError
from diffphyscam_ros.nodes.marker_meshes import ResourceCache
from diffphyscam_ros.nodes.marker_tracks import (
    followed_by,
    FramePaths,
    MarkerTrack,
    same_shape,
    StampedPath,
)
from diffphyscam_ros.nodes.pose_math import Matrix
from diffphyscam_ros.nodes.tf_buffer import frame_name, TransformError
from diffphyscam_ros.nodes.tf_listener import Transforms
from diffphyscam_ros.nodes.units import NANOSECONDS_PER_SECOND
from diffphyscam_ros.scene.types import DirectionalLight, Environment, Instance, PointLight

Key = tuple[str, int]

MAX_MARKERS = 20_000
"""At once; further ones are refused by name."""


LONGEST_WAIT = 0.05  # s, after which it is looked again who is on the move


@dataclass
class _Entry:
    """A marker that is shown.

    :param stamp: ns at which the frame is looked up, 0 = the latest.
    :param expires: ns, or None for ever.
    :param place: (4, 4) world from the frame of the header, None while TF does not know it.
    :param track: where it was before, None while that is not kept.
    """

    drawing: Drawing
    frame: str
    stamp: int
    locked: bool
    lifetime: int
    expires: int | None
    place: Matrix | None = None
    instances: tuple[Instance, ...] = ()
    track: MarkerTrack | None = None


@dataclass(frozen=True)
class MarkerView:
    """What the markers show at one time."""

    instances: tuple[Instance, ...] = ()
    lights: tuple[DirectionalLight | PointLight, ...] = ()
    environment: Environment | None = None


class MarkerScene:
    """Keeps the markers; ``apply`` and ``view`` may be called from two threads.

    ``memory`` says for how long, in ns, it is remembered where they were; 0 = not at all.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.memory = 0
        self._lock = threading.Lock()
        self._heard = threading.Condition(self._lock)
        self._entries: dict[Key, _Entry] = {}
        self._rejected: dict[Key, str] = {}
        self._waiting: dict[Key, str] = {}
        self._resources = ResourceCache()
        self._view = MarkerView()
        self._stale = False

    def apply(self, markers: Iterable[Marker], now: int) -> list[str]:
        """Take the markers of a message, in order.

        :param now: ns, from which lifetimes run.
        :returns: what is to be said of markers that cannot be drawn and were not named before.
        """
        news: list[str] = []
        for marker in markers:
            key = (marker.ns, marker.id)
            if marker.action == Marker.ADD:
                self._add(key, marker, now, news)
            elif marker.action == Marker.DELETE:
                self._remove([key])
            elif marker.action == Marker.DELETEALL:
                with self._lock:
                    keys = [*self._entries, *self._rejected]
                self._remove([item for item in keys if marker.ns in ('', item[0])])
            else:
                self._reject(
                    key,
                    f'action {marker.action} is unknown: must be 0 (add, modify), 2 (delete) or '
                    '3 (delete all)',
                    news,
                )
        return news

    def _add(self, key: Key, marker: Marker, now: int, news: list[str]) -> None:
        if marker.type == Marker.TEXT_VIEW_FACING:
            self._reject(key, 'text is not drawn', news)
            return
        previous = self._entries.get(key)
        if previous is None and len(self._entries) >= MAX_MARKERS:
            self._reject(key, f'there are {MAX_MARKERS} markers already', news)
            return
        try:
            drawing = draw(marker, self._resources, previous.drawing if previous else None)
        except MarkerError as error:
            self._reject(key, str(error), news)
            return
        lifetime = marker.lifetime.sec * NANOSECONDS_PER_SECOND + marker.lifetime.nanosec
        stamp = marker.header.stamp.sec * NANOSECONDS_PER_SECOND + marker.header.stamp.nanosec
        entry = _Entry(
            drawing,
            frame_name(marker.header.frame_id),
            stamp,
            marker.frame_locked,
            lifetime,
            now + lifetime if lifetime > 0 else None,
        )
        with self._lock:
            if self.memory > 0:
                entry.track = _continued(previous, entry)
                entry.track.add(stamp, now, drawing.pose)
            self._entries[key] = entry
            self._rejected.pop(key, None)
            self._stale = True
            self._heard.notify_all()

    def _remove(self, keys: list[Key]) -> None:
        with self._lock:
            for key in keys:
                self._stale |= self._entries.pop(key, None) is not None
                self._rejected.pop(key, None)

    def _reject(self, key: Key, reason: str, news: list[str]) -> None:
        """Leave a marker out: what was shown under its name goes, as its picture is wrong."""
        with self._lock:
            self._stale |= self._entries.pop(key, None) is not None
            known = self._rejected.get(key) == reason
            self._rejected[key] = reason
            while len(self._rejected) > MAX_MARKERS:
                del self._rejected[next(iter(self._rejected))]
        if not known:
            news.append(f'{key[0]}/{key[1]}: {reason}')

    def view(self, now: int, world: str, transforms: Transforms) -> MarkerView:
        """Return what is shown; the same object again while nothing has changed.

        :param now: ns, at which lifetimes are looked at and locked frames are placed.
        """
        with self._lock:
            return self._renew(now, world, transforms)

    def moving_view(
        self, first: int, last: int, world: str, transforms: Transforms
    ) -> tuple[MarkerView, dict[int, StampedPath]]:
        """Return what is shown at the middle of a span in ns, and what moves during it.

        :returns: ``view`` of the middle, and by their index the poses over time of those of its
            instances that move, or stand elsewhere now than then.
        """
        with self._lock:
            view = self._renew((first + last) // 2, world, transforms)
            frames = FramePaths(world, transforms, first, last)
            paths: dict[int, StampedPath] = {}
            index = 0
            for item in self._entries.values():
                path = None if item.place is None else _path(item, first, last, frames)
                if path is not None:
                    for number, part in enumerate(item.drawing.parts):
                        paths[index + number] = followed_by(path, part.pose)
                index += 0 if item.place is None else len(item.instances)
            return view, paths

    def wait(self, stamp: int, timeout: float) -> None:
        """Wait, for at most so many s, for newer poses of markers that are on the move."""
        deadline = time.monotonic() + timeout
        with self._heard:
            while any(
                item.track is not None and item.track.awaits(stamp)
                for item in self._entries.values()
            ):
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                self._heard.wait(min(left, LONGEST_WAIT))  # it may also fall silent

    def _renew(self, now: int, world: str, transforms: Transforms) -> MarkerView:
        """Return what is shown; the lock is held."""
        expired = [
            key
            for key, item in self._entries.items()
            if item.expires is not None and item.expires <= now
        ]
        for key in expired:
            del self._entries[key]
        changed = self._stale or bool(expired)
        self._waiting = {}
        for key, item in self._entries.items():
            if item.place is None or item.locked:
                changed |= self._place(key, item, now, world, transforms)
        if changed:
            self._view = self._compose()
            self._stale = False
        return self._view

    def _place(
        self, key: Key, entry: _Entry, now: int, world: str, transforms: Transforms
    ) -> bool:
        """Find where the marker's frame is; return whether it moved."""
        before = entry.place
        if entry.track is not None:
            frame = '' if entry.locked else entry.frame
            entry.track.place(frame, world, transforms, self.memory)
        if not entry.frame or entry.frame == frame_name(world):
            entry.place = np.eye(4)
        else:
            stamp = now if entry.locked or entry.stamp == 0 else entry.stamp
            try:
                entry.place = transforms.lookup(world, entry.frame, stamp)[0]
            except TransformError as error:
                self._waiting[key] = str(error)
                return False
        if before is not None and np.array_equal(before, entry.place):
            return False
        pose = entry.place @ entry.drawing.pose
        entry.instances = tuple(
            Instance(
                f'{key[0]}/{key[1]}' if index == 0 else f'{key[0]}/{key[1]}_{index + 1}',
                part.mesh,
                part.material,
                torch.from_numpy((pose @ part.pose).astype(np.float32)),
            )
            for index, part in enumerate(entry.drawing.parts)
        )
        return True

    def _compose(self) -> MarkerView:
        placed = [item for item in self._entries.values() if item.place is not None]
        lights: list[DirectionalLight | PointLight] = []
        ambient: torch.Tensor | None = None
        for item in placed:
            light = item.drawing.light
            if light is None or item.place is None:
                continue
            pose = item.place @ item.drawing.pose
            if isinstance(light, DirectionalLight):
                x, y, z = (pose[:3, :3] @ np.asarray(light.direction)).tolist()
                lights.append(DirectionalLight((x, y, z), light.irradiance))
            elif isinstance(light, PointLight):
                x, y, z = pose[:3, 3].tolist()
                lights.append(PointLight((x, y, z), light.intensity))
            else:
                ambient = light.image if ambient is None else ambient + light.image
        return MarkerView(
            tuple(instance for item in placed for instance in item.instances),
            tuple(lights),
            None if ambient is None else Environment(ambient),
        )

    def clock_jumped(self, now: int) -> None:
        """Begin lifetimes and places anew: the clock was set back."""
        with self._lock:
            for item in self._entries.values():
                item.place = None
                item.stamp = 0
                item.track = None
                if item.expires is not None:
                    item.expires = now + item.lifetime
            self._stale = True

    def problems(self) -> list[str]:
        """Return the markers that are not drawn, as ``namespace/id: reason``."""
        with self._lock:
            both = {**self._rejected, **self._waiting}
        return [f'{key[0]}/{key[1]}: {reason}' for key, reason in both.items()]


def _continued(previous: _Entry | None, entry: _Entry) -> MarkerTrack:
    """Return the track of the marker that an entry replaces, where that is the same thing."""
    if (
        previous is None
        or previous.track is None
        or (previous.frame, previous.locked) != (entry.frame, entry.locked)
        or not same_shape(previous.drawing, entry.drawing)
    ):
        return MarkerTrack()
    return previous.track


def _path(item: _Entry, first: int, last: int, frames: FramePaths) -> StampedPath | None:
    """Return how a marker moves; None where it stands where it is shown."""
    own = None if item.track is None else item.track.path(first, last)
    if item.locked and frames.moves(item.frame):
        return frames.path(item.frame, item.drawing.pose if own is None else own)
    if own is None or not item.locked or item.place is None:
        return own
    place = item.place
    return lambda stamps: place @ own(stamps)
