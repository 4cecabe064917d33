# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Mesh files and textures that markers name, each read once while it does not change."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diffphyscam_ros.nodes.urls import resolve_url
from diffphyscam_ros.scene.errors import SceneError
from diffphyscam_ros.scene.images import decode_linear, make_texture
from diffphyscam_ros.scene.load import load_mesh
from diffphyscam_ros.scene.types import Instance, Texture

KEPT_FILES = 64

EMBEDDED = 'embedded://'


class ResourceCache:
    """Reads files by URL; what could not be read is not tried again until the file changes."""

    def __init__(self) -> None:
        """Start empty."""
        self._kept: OrderedDict[tuple[Any, ...], Any] = OrderedDict()

    def mesh(self, url: str) -> tuple[Instance, ...]:
        """Return the parts of a mesh file.

        :raises SceneError: where it is missing, or broken.
        """
        if not url:
            raise SceneError('mesh_resource is empty: must name a file:// or package:// URL')
        if url.startswith(EMBEDDED):
            raise SceneError(
                f'mesh_resource {url!r}: meshes inside the message are not read; '
                'give a file:// or package:// URL'
            )
        found: tuple[Instance, ...] = self._cached('mesh', url, load_mesh)
        return found

    def texture(self, url: str, message: Any) -> Texture:
        """Return the texture of a marker: of its file, or inside the message.

        :param message: the sensor_msgs/CompressedImage of the marker.
        :raises SceneError: where it is missing, or no picture.
        """
        found: Texture
        if url.startswith(EMBEDDED):
            data = bytes(message.data)
            key = ('texture', url, hash(data))
            found = self._kept_or(
                key, lambda: make_texture(decode_linear(data, url, srgb=True), url)
            )
        else:
            found = self._cached(
                'texture',
                url,
                lambda path: make_texture(
                    decode_linear(path.read_bytes(), str(path), srgb=True), str(path)
                ),
            )
        return found

    def _cached(self, kind: str, url: str, load: Callable[[Path], Any]) -> Any:
        try:
            path = resolve_url(url)
            state = path.stat()
        except (ValueError, OSError) as error:
            raise SceneError(str(error)) from None
        return self._kept_or(
            (kind, str(path), state.st_mtime_ns, state.st_size), lambda: load(path)
        )

    def _kept_or(self, key: tuple[Any, ...], load: Callable[[], Any]) -> Any:
        if key not in self._kept:
            try:
                self._kept[key] = load()
            except Exception as error:  # readers of third parties raise anything on broken files
                self._kept[key] = SceneError(f'{error or type(error).__name__}')
            while len(self._kept) > KEPT_FILES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        found = self._kept[key]
        if isinstance(found, SceneError):
            raise found
        return found
