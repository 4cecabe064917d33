# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What the camera looks at: the scene file and the markers, as one scene."""

from __future__ import annotations

from collections.abc import Iterable

from visualization_msgs.msg import Marker

from diffphyscam_ros.nodes.marker_scene import MarkerScene, MarkerView
from diffphyscam_ros.nodes.marker_tracks import relative
from diffphyscam_ros.nodes.parameter import ParameterError
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
    """Joins what stands in the file and what markers show; lit by default where nothing else is.

    ``file`` may be exchanged at any time.
    """

    def __init__(self, transforms: Transforms) -> None:
        """Start empty."""
        self.file = EMPTY
        self.markers = MarkerScene()
        self._transforms = transforms
        self._default = default_light()
        self._joined: tuple[Scene, MarkerView, Scene] | None = None

    def apply(self, markers: Iterable[Marker], now: int) -> list[str]:
        """Take the markers of a message; see ``MarkerScene.apply``."""
        return self.markers.apply(markers, now)

    def at(self, now: int, world: str) -> Scene:
        """Return the scene at a time in ns; the same object again while nothing changes."""
        file = self.file
        return self._joined_with(file, self.markers.view(now, world, self._transforms))

    def over(self, first: int, last: int, world: str) -> MovingScene:
        """Return the scene at the middle of a span in ns, and how its markers move in it."""
        file, middle = self.file, (first + last) // 2
        view, found = self.markers.moving_view(first, last, world, self._transforms)
        scene = self._joined_with(file, view)
        offset = len(file.instances)
        paths = {offset + index: relative(path, middle) for index, path in found.items()}
        if not paths:
            return MovingScene(scene)
        return MovingScene(MovingScene(scene, paths).at(0.0), paths)

    def _joined_with(self, file: Scene, view: MarkerView) -> Scene:
        if self._joined is None or self._joined[0] is not file or self._joined[1] is not view:
            self._joined = (file, view, self._join(file, view))
        return self._joined[2]

    def _join(self, file: Scene, view: MarkerView) -> Scene:
        instances = (*file.instances, *view.instances)
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
