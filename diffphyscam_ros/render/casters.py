# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What may stand in the way of light: trees of boxes, one for each mesh and one for a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
import weakref

import numpy as np
import numpy.typing as npt
import torch

from diffphyscam_ros.kernels.shadow_tree import build_tree, MOST_ITEMS, triangle_boxes, WIDTH
from diffphyscam_ros.render.cache import version
from diffphyscam_ros.render.frame import Frame
from diffphyscam_ros.render.panes import casts_nothing, pack_panes
from diffphyscam_ros.scene.types import Mesh, Scene


@dataclass(frozen=True)
class Tree:
    """Boxes around things, in some frame.

    :param nodes: (n, 6, 8) float32 and ``children`` (n, 8) int32, see
        :func:`diffphyscam_ros.kernels.shadow_tree.build_tree`.
    :param box: (6,) around all: least x, y, z and greatest; NaN where there is nothing.
    """

    nodes: npt.NDArray[np.float32]
    children: npt.NDArray[np.int32]
    box: npt.NDArray[np.float64]


def tree_of_boxes(boxes: npt.NDArray[np.float32]) -> Tree:
    """Build a tree; boxes (N, 6) with NaN are left out.

    :raises ValueError: for more boxes than a walk can remember its way through.
    """
    count = len(boxes)
    if count > MOST_ITEMS:
        raise ValueError(
            f'a mesh has {count} triangles: shadows take at most {MOST_ITEMS}; simplify it, or '
            'switch shadows off'
        )
    nodes = np.empty((max(count, 1), 6, WIDTH), np.float32)
    children = np.empty((max(count, 1), WIDTH), np.int32)
    made = build_tree(boxes, np.empty_like(boxes), np.empty(count, np.int32), nodes, children)
    good = boxes[np.isfinite(boxes).all(axis=1)].astype(np.float64)
    box = np.full(6, np.nan)
    if len(good):
        box = np.concatenate([good[:, :3].min(axis=0), good[:, 3:].max(axis=0)])
    # Copies: most of what was set aside is not used.
    return Tree(nodes[:made].copy(), children[:made].copy(), box)


def tree_of_mesh(mesh: Mesh) -> Tree:
    """Build the tree of a mesh's triangles in its own frame."""
    vertices = mesh.vertices.detach().to('cpu', torch.float32).numpy()
    faces = mesh.faces.detach().to('cpu', torch.int32).numpy()
    boxes = np.empty((len(faces), 6), np.float32)
    triangle_boxes(np.ascontiguousarray(vertices), np.ascontiguousarray(faces), boxes)
    return tree_of_boxes(boxes)


class MeshTrees:
    """Keeps the trees of meshes as long as these live, unchanged."""

    def __init__(self) -> None:
        """Start with none."""
        self._trees: weakref.WeakKeyDictionary[Mesh, tuple[tuple[int, int], Tree]] = (
            weakref.WeakKeyDictionary()
        )

    def get(self, mesh: Mesh) -> Tree:
        """Return the tree of a mesh, built if need be."""
        versions = (version(mesh.vertices), version(mesh.faces))
        kept = self._trees.get(mesh)
        if kept is None or kept[0] != versions:
            kept = versions, tree_of_mesh(mesh)
            self._trees[mesh] = kept
        return kept[1]


def _boxes_in_camera(
    boxes: npt.NDArray[np.float64], matrices: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return boxes (I, 6) around boxes (I, 6) that are carried by matrices (I, 3, 4)."""
    middle, half = 0.5 * (boxes[:, :3] + boxes[:, 3:]), 0.5 * (boxes[:, 3:] - boxes[:, :3])
    middle = (matrices[:, :, :3] * middle[:, None]).sum(-1) + matrices[:, :, 3]
    half = (np.abs(matrices[:, :, :3]) * half[:, None]).sum(-1)
    room = 1e-6 * (np.abs(middle) + half)
    return np.concatenate([middle - half - room, middle + half + room], axis=1)


class CasterPacker:
    """Brings all that casts shadows in a scene into the arrays that the kernels take."""

    def __init__(self) -> None:
        """Start with nothing kept."""
        self._trees = MeshTrees()
        self._joined: tuple[list[Tree], tuple[Any, ...]] | None = None

    def pack(
        self, scene: Scene, frame: Frame, camera: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[Any], ...]:
        """Return the argument ``casters`` of :func:`diffphyscam_ros.kernels.shadow.find_shadows`.

        Of masked and blended materials those parts cast a shadow that ``render/panes.py`` says.

        :param camera: (V, 3) vertices in the optical frame.
        """
        instances, boxes, nodes, children = self.scenery(scene)
        matrices = np.ascontiguousarray(frame.mesh_to_camera.detach()[:, :3].numpy())
        here = _boxes_in_camera(boxes, matrices)
        here[casts_nothing(scene)] = np.nan
        top = tree_of_boxes(here.astype(np.float32))
        reaches = np.concatenate(
            [
                np.maximum(-boxes[:, :3], boxes[:, 3:]),
                np.maximum(-here[:, :3], here[:, 3:]).max(axis=1, initial=0.0)[:, None],
            ],
            axis=1,
        )
        top_reach = np.append(np.maximum(-top.box[:3], top.box[3:]), 0.0)
        return (
            frame.geometry.faces.cpu().numpy(),
            camera,
            top.nodes.reshape(-1),
            top.children,
            top_reach,
            instances,
            matrices,
            reaches,
            nodes,
            children,
            *pack_panes(scene, frame),
        )

    def scenery(self, scene: Scene) -> tuple[Any, ...]:
        """Return instances (I, 2), boxes (I, 6), and all trees' nodes and children.

        It is the same object as long as the meshes are the same, unchanged.
        """
        trees = [self._trees.get(instance.mesh) for instance in scene.instances]
        kept = self._joined
        if kept is not None and len(kept[0]) == len(trees):
            if all(a is b for a, b in zip(kept[0], trees, strict=True)):
                return kept[1]
        roots: dict[int, int] = {}
        distinct: list[Tree] = []
        total = 0
        for tree in trees:
            if id(tree) not in roots:
                roots[id(tree)] = total
                distinct.append(tree)
                total += len(tree.children)
        counts = [len(instance.mesh.faces) for instance in scene.instances]
        firsts = np.concatenate([[0], np.cumsum(counts)])[:-1]
        joined = (
            np.stack([[roots[id(tree)] for tree in trees], firsts], axis=1).astype(np.int64),
            np.stack([tree.box for tree in trees]),
            np.concatenate([tree.nodes.reshape(-1) for tree in distinct]),
            np.concatenate([tree.children for tree in distinct]),
        )
        self._joined = trees, joined
        return joined
