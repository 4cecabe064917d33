# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Reads robot descriptions in a thread of its own: large meshes must not hold up frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import threading

from diffphyscam_ros.scene.errors import SceneError
from diffphyscam_ros.scene.robot import Robot
from diffphyscam_ros.scene.urdf import load_robot

Done = Callable[[str, 'Robot | SceneError', list[str]], None]


class RobotLoader:
    """Reads the newest description of each topic, one after the other.

    :param done: called in the loader's thread with the topic, the robot or why there is none,
        and what of it cannot be drawn.
    """

    def __init__(self, done: Done) -> None:
        """Start idle; the thread begins with the first description."""
        self._done = done
        self._waiting: dict[str, tuple[str, Sequence[str]]] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def load(self, topic: str, text: str, package_paths: Sequence[str]) -> None:
        """Read a description, in place of one of the same topic that still waits."""
        with self._changed:
            self._waiting[topic] = (text, package_paths)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name='robots', daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def cancel(self, topic: str) -> None:
        """Do not read what waits for a topic."""
        with self._changed:
            self._waiting.pop(topic, None)

    def stop(self) -> None:
        """End the thread after what it is reading; what waits is not read."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=5.0)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._stopped:
                    self._changed.wait()
                if self._stopped:
                    return
                topic = next(iter(self._waiting))
                text, paths = self._waiting.pop(topic)
            missing: list[str] = []
            result: Robot | SceneError
            try:
                # A text that is no XML must not be taken for the name of a file.
                if not text.lstrip('\ufeff \t\r\n').startswith('<'):
                    raise SceneError('it is no XML: must begin with <robot> or <?xml')
                result = load_robot(text, paths, on_missing=missing.append)
            except SceneError as error:
                result = error
            except Exception as error:  # readers of third parties raise anything
                result = SceneError(f'{type(error).__name__}: {error}')
            self._done(topic, result, missing)
