# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What the camera looks at: the scene file and the markers, as one scene."""

from __future__ import annotations

from collections.abc import Iterable
import time

from visualization_msgs.msg import Marker

from diffphyscam_ros.nodes.marker_scene import MarkerScene, MarkerView
from diffphyscam_ros.nodes.marker_tracks import relative
from diffphyscam_ros.nodes.parameter import ParameterError
from diffphyscam_ros.nodes.robot_scene import Instances, RobotScene
from diffphyscam_ros.nodes.tf_listener import Transforms
from diffphyscam_ros.nodes.urls import resolve_url
from diffphyscam_ros.render.image_motion import MovingScene
from diffphyscam_ros.scene.load import default_light, load_scene
from diffphyscam_ros.scene.types import Environment, Scene

EMPTY = Scene()


def load_scene_file(url: str) -> Scene:
    """Return the scene of the parameter scene_file, the empty one for ''.

    :raises ParameterError: where it is missing or broken.
    """
    if not url:
        return EMPTY
    try:
        return load_scene(resolve_url(url))
    except Exception as error:  # readers of third parties raise anything on broken files
        words = str(error) if isinstance(error, (ValueError, OSError)) else repr(error)
        raise ParameterError(f'scene_file = {url!r}: {words}') from None


class SceneSource:
    """Joins what stands in the file, markers and robots; lit by default where nothing else is.

    ``file`` may be exchanged at any time.
    """

    def __init__(self, transforms: Transforms) -> None:
        """Start empty."""
        self.file = EMPTY
        self.markers = MarkerScene()
        self.robots = RobotScene()
        self._transforms = transforms
        self._default = default_light()
        self._joined: tuple[Scene, MarkerView, Instances, Scene] | None = None

    def apply(self, markers: Iterable[Marker], now: int) -> list[str]:
        """Take the markers of a message; see ``MarkerScene.apply``."""
        return self.markers.apply(markers, now)

    def clock_jumped(self, now: int) -> None:
        """Begin lifetimes and places anew: the clock was set back."""
        self.markers.clock_jumped(now)
        self.robots.clock_jumped()

    def at(self, now: int, world: str) -> Scene:
        """Return the scene at a time in ns; the same object again while nothing changes."""
        file = self.file
        view = self.markers.view(now, world, self._transforms)
        return self._joined_with(file, view, self.robots.view(now, world, self._transforms))

    def over(self, first: int, last: int, world: str) -> MovingScene:
        """Return the scene at the middle of a span in ns, and how things move in it."""
        file, middle = self.file, (first + last) // 2
        view, found = self.markers.moving_view(first, last, world, self._transforms)
        robots, links = self.robots.moving_view(first, last, world, self._transforms)
        scene = self._joined_with(file, view, robots)
        offset = len(file.instances)
        paths = {offset + index: relative(path, middle) for index, path in found.items()}
        offset += len(view.instances)
        paths |= {offset + index: relative(path, middle) for index, path in links.items()}
        if not paths:
            return MovingScene(scene)
        return MovingScene(MovingScene(scene, paths).at(0.0), paths)

    def wait(self, stamp: int, timeout: float, world: str, markers: bool = True) -> None:
        """Wait, for at most so many s, for newer poses of what is on the move."""
        deadline = time.monotonic() + timeout
        if markers:
            self.markers.wait(stamp, timeout)
        left = max(deadline - time.monotonic(), 0.0)
        self.robots.wait(stamp, left, world, self._transforms)

    def _joined_with(self, file: Scene, view: MarkerView, robots: Instances) -> Scene:
        last = self._joined
        if last is not None and last[0] is file and last[1] is view and last[2] is robots:
            return last[3]
        scene = self._join(file, view, robots)
        self._joined = (file, view, robots, scene)
        return scene

    def _join(self, file: Scene, view: MarkerView, robots: Instances) -> Scene:
        instances = (*file.instances, *view.instances, *robots)
        lights = (*file.lights, *view.lights)
        environment = _sum(file.environment, view.environment)
        background = file.background
        # A scene file says itself how dark it is; markers alone are lit unless they bring light.
        if file is EMPTY:
            background = self._default.background
            if not lights and environment is None:
                lights, environment = self._default.lights, self._default.environment
        return Scene(instances, lights, environment, background)


def _sum(first: Environment | None, second: Environment | None) -> Environment | None:
    """Return the light of both, the second being constant."""
    if first is None or second is None:
        return first if second is None else second
    if first.intensity == 0:
        return second
    return Environment(
        first.image + second.image / first.intensity, first.rotation, first.intensity
    )
