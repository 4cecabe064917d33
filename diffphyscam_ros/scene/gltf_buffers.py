# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The container of glTF 2.0: JSON, binary chunks, buffers and accessors, with checks."""

from __future__ import annotations

import json
from pathlib import Path
import struct
from typing import Any
from urllib.parse import unquote

import numpy as np

from diffphyscam_ros.scene.errors import SceneError
from diffphyscam_ros.scene.images import decode_data_uri, read_bytes
from diffphyscam_ros.scene.meshes import Array

_COMPONENTS = {5120: '<i1', 5121: '<u1', 5122: '<i2', 5123: '<u2', 5125: '<u4', 5126: '<f4'}
_WIDTHS = {'SCALAR': 1, 'VEC2': 2, 'VEC3': 3, 'VEC4': 4, 'MAT4': 16}
_JSON_CHUNK, _BINARY_CHUNK = 0x4E4F534A, 0x004E4942


class GltfDocument:
    """An opened .gltf or .glb file.

    :param path: its name; other files that it names are relative to it.
    :raises SceneError: where it is no glTF 2.0, or broken.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        data = read_bytes(path, 'mesh')
        self._binary: bytes | None = None
        text = self._split_binary(data) if data.startswith(b'glTF') else data
        try:
            tree = json.loads(text)
        except (ValueError, UnicodeDecodeError) as error:
            raise self.error(f'its JSON cannot be read: {error}') from error
        if not isinstance(tree, dict) or not isinstance(tree.get('asset'), dict):
            raise self.error('it has no "asset", so it is no glTF 2.0')
        version = str(tree['asset'].get('version', ''))
        if not version.startswith('2.'):
            raise self.error(f'its version is {version!r}: only 2.x is read')
        self.tree: dict[str, Any] = tree
        self._buffers: dict[int, bytes] = {}

    def error(self, message: str) -> SceneError:
        """Return an error that names the file."""
        return SceneError(f'glTF {self.path}: {message}')

    def _split_binary(self, data: bytes) -> bytes:
        """Return the JSON chunk of a GLB file and keep its binary chunk."""
        if len(data) < 20:
            raise self.error(f'it is cut short: {len(data)} bytes')
        _, version, length = struct.unpack_from('<4sII', data)
        if version != 2:
            raise self.error(f'its GLB version is {version}: only 2 is read')
        if length > len(data):
            raise self.error(f'it is cut short: {len(data)} of {length} bytes')
        chunks: dict[int, bytes] = {}
        offset = 12
        while offset + 8 <= length:
            size, kind = struct.unpack_from('<II', data, offset)
            body = data[offset + 8 : offset + 8 + size]
            if len(body) < size:
                raise self.error(f'a chunk is cut short: {len(body)} of {size} bytes')
            chunks.setdefault(kind, body)
            offset += 8 + size
        if _JSON_CHUNK not in chunks:
            raise self.error('it has no JSON chunk')
        self._binary = chunks.get(_BINARY_CHUNK)
        return chunks[_JSON_CHUNK]

    def item(self, kind: str, index: Any) -> dict[str, Any]:
        """Return ``tree[kind][index]``, or say which index there is not."""
        items = self.tree.get(kind, [])
        if not isinstance(index, int) or not 0 <= index < len(items):
            raise self.error(f'it names {kind} {index}, but has {len(items)} of them')
        result: dict[str, Any] = items[index]
        return result

    def uri_bytes(self, uri: str) -> bytes:
        """Return the contents of a data URI or of a file beside this one."""
        if uri.startswith('data:'):
            return decode_data_uri(uri, str(self.path))
        if '://' in uri:
            raise self.error(f'it names {uri!r}: only files and data URIs are read')
        return read_bytes(self.path.parent / unquote(uri), f'file named by {self.path.name},')

    def _buffer(self, index: int) -> bytes:
        if index not in self._buffers:
            entry = self.item('buffers', index)
            if 'uri' in entry:
                data = self.uri_bytes(entry['uri'])
            elif index == 0 and self._binary is not None:
                data = self._binary
            else:
                raise self.error(f'buffer {index} has neither a uri nor a binary chunk')
            if len(data) < entry.get('byteLength', 0):
                raise self.error(
                    f'buffer {index} is cut short: {len(data)} of {entry["byteLength"]} bytes'
                )
            self._buffers[index] = data
        return self._buffers[index]

    def view(self, index: int) -> tuple[bytes, int | None]:
        """Return the bytes of a buffer view and its stride."""
        entry = self.item('bufferViews', index)
        start, length = entry.get('byteOffset', 0), entry.get('byteLength', 0)
        data = self._buffer(entry.get('buffer', 0))
        if start < 0 or start + length > len(data):
            raise self.error(f'buffer view {index} ends at byte {start + length} of {len(data)}')
        return data[start : start + length], entry.get('byteStride')

    def accessor(self, index: int) -> Array:
        """Return an accessor as (N, width), normalised integers as floats."""
        entry = self.item('accessors', index)
        try:
            dtype = np.dtype(_COMPONENTS[entry['componentType']])
            width = _WIDTHS[entry['type']]
            count = int(entry['count'])
        except (KeyError, TypeError, ValueError) as error:
            raise self.error(f'accessor {index} is malformed: {error}') from error
        if 'bufferView' in entry:
            values = self._strided(index, entry, dtype, width, count)
        else:
            values = np.zeros((count, width), dtype=dtype)
        if 'sparse' in entry:
            values = self._sparse(entry['sparse'], values)
        if entry.get('normalized') and dtype.kind in 'iu':
            values = np.maximum(values.astype(np.float32) / np.iinfo(dtype).max, -1.0)
        return values

    def _strided(
        self, index: int, entry: dict[str, Any], dtype: np.dtype[Any], width: int, count: int
    ) -> Array:
        data, stride = self.view(entry['bufferView'])
        offset, size = entry.get('byteOffset', 0), dtype.itemsize * width
        stride = stride or size
        needed = offset + stride * (count - 1) + size if count else 0
        if needed > len(data) or offset < 0 or count < 0:
            raise self.error(
                f'accessor {index} needs {needed} bytes, its buffer view has {len(data)}'
            )
        return np.ndarray(
            (count, width), dtype, data, offset, strides=(stride, dtype.itemsize)
        ).copy()

    def _sparse(self, sparse: dict[str, Any], values: Array) -> Array:
        """Replace the rows that a sparse accessor lists."""
        count, where, what = sparse['count'], sparse['indices'], sparse['values']
        rows = self._strided(-1, where, np.dtype(_COMPONENTS[where['componentType']]), 1, count)
        replacement = self._strided(-1, what, values.dtype, values.shape[1], count)
        if count and int(rows.max()) >= len(values):
            raise self.error(f'a sparse accessor names row {int(rows.max())} of {len(values)}')
        values[rows[:, 0].astype(np.int64)] = replacement
        return values
