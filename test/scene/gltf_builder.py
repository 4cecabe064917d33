# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""glTF documents made by hand."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np

TRIANGLE = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=np.float32)


class Builder:
    """Collects a glTF document whose buffer is a data URI."""

    def __init__(self) -> None:
        self.data = b''
        self.tree: dict[str, Any] = {
            'asset': {'version': '2.0'}, 'bufferViews': [], 'accessors': [], 'meshes': [],
            'nodes': [], 'materials': [], 'images': [], 'textures': [],
        }  # fmt: skip

    def view(self, data: bytes, **options: Any) -> int:
        self.data += b'\0' * (-len(self.data) % 4)
        entry = {'buffer': 0, 'byteOffset': len(self.data), 'byteLength': len(data), **options}
        self.tree['bufferViews'].append(entry)
        self.data += data
        return len(self.tree['bufferViews']) - 1

    def accessor(self, values: np.ndarray, kind: int, **options: Any) -> int:
        shape = {1: 'SCALAR', 2: 'VEC2', 3: 'VEC3', 4: 'VEC4'}[
            1 if values.ndim == 1 else values.shape[1]
        ]
        self.tree['accessors'].append(
            {
                'bufferView': self.view(values.tobytes()),
                'componentType': kind,
                'count': len(values),
                'type': shape,
                **options,
            }
        )
        return len(self.tree['accessors']) - 1

    def mesh(self, **options: Any) -> int:
        """Add a triangle; options replace the primitive's entries."""
        primitive = {'attributes': {'POSITION': self.accessor(TRIANGLE, 5126)}}
        primitive['attributes'].update(options.pop('attributes', {}))
        self.tree['meshes'].append({'primitives': [{**primitive, **options}]})
        return len(self.tree['meshes']) - 1

    def write(self, path: Path) -> Path:
        uri = 'data:application/octet-stream;base64,' + base64.b64encode(self.data).decode()
        self.tree['buffers'] = [{'uri': uri, 'byteLength': len(self.data)}]
        path.write_text(json.dumps({key: item for key, item in self.tree.items() if item}))
        return path
