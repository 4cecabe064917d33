# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""A tree of boxes with eight children in each node: what stands in the way of light.

Built top down with the surface area heuristic in 16 bins along the longest side (Wald 2007, "On
fast construction of SAH-based bounding volume hierarchies"). A node holds its children's boxes,
so one look at a node decides about eight boxes at a time.
"""

from __future__ import annotations

import math

from numba import prange
import numpy as np

from diffphyscam_ros.kernels.runtime import kernel

WIDTH = 8  # children of a node
BINS = 16
EMPTY = -1  # in place of a child; an item is −2 − its number
STACK = 1024
"""Entries for a walk through a tree: each split leaves at least an eighth on either side, so that
a tree of 2³¹ items has at most 161 levels, at seven entries each at most 1127; of 10⁸ items, 966.
"""
MOST_ITEMS = 100_000_000


@kernel(parallel=True)
def triangle_boxes(vertices, faces, boxes):
    """Find the box of each triangle; of one that can hide nothing, a box with NaN.

    :param vertices: (V, 3) float32.
    :param faces: (F, 3) int32.
    :param boxes: (F, 6) float32, out: least x, y, z, greatest x, y, z.
    """
    for face in prange(faces.shape[0]):
        a, b, c = np.uint32(faces[face, 0]), np.uint32(faces[face, 1]), np.uint32(faces[face, 2])
        for k in range(3):
            p, q, r = vertices[a, k], vertices[b, k], vertices[c, k]
            # Infinity minus itself and NaN alike give NaN.
            bad = (p - p) + (q - q) + (r - r)
            boxes[face, k] = min(p, q, r) + bad
            boxes[face, 3 + k] = max(p, q, r) + bad


@kernel()
def _area(lx, ly, lz, hx, hy, hz):
    """Return half the surface of a box."""
    x, y, z = hx - lx, hy - ly, hz - lz
    return x * y + y * z + z * x


@kernel()
def _swap(boxes, items, i, j):
    items[i], items[j] = items[j], items[i]
    for k in range(6):
        boxes[i, k], boxes[j, k] = boxes[j, k], boxes[i, k]


@kernel()
def _select_middle(boxes, items, first, end, axis):
    """Order [first, end) so that the centres before its middle are not above those after."""
    middle = (first + end) >> 1
    low, high = first, end - 1
    while low < high:
        pivot = boxes[(low + high) >> 1, axis] + boxes[(low + high) >> 1, 3 + axis]
        i, j = low, high
        while i <= j:
            while boxes[i, axis] + boxes[i, 3 + axis] < pivot:
                i += 1
            while boxes[j, axis] + boxes[j, 3 + axis] > pivot:
                j -= 1
            if i <= j:
                _swap(boxes, items, i, j)
                i += 1
                j -= 1
        if middle <= j:
            high = j
        elif middle >= i:
            low = i
        else:
            break
    return middle


@kernel()
def _split(boxes, items, first, end, counts, bins):
    """Order [first, end) into two halves and return where the second begins."""
    lowest, axis, widest = np.float32(0.0), 0, np.float32(-1.0)
    for k in range(3):
        low, high = np.float32(np.inf), np.float32(-np.inf)
        for i in range(first, end):
            centre = boxes[i, k] + boxes[i, 3 + k]
            low, high = min(low, centre), max(high, centre)
        if high - low > widest:
            lowest, axis, widest = low, k, high - low
    number = end - first
    if not widest > 0.0 or not math.isfinite(widest):
        return (first + end) >> 1
    scale = np.float32(BINS * 0.9999) / widest
    if number <= 4 or not math.isfinite(scale):
        return _select_middle(boxes, items, first, end, axis)
    for b in range(BINS):
        counts[b] = 0
        for k in range(3):
            bins[b, k], bins[b, 3 + k] = np.inf, -np.inf
    for i in range(first, end):
        b = int((boxes[i, axis] + boxes[i, 3 + axis] - lowest) * scale)
        b = min(max(b, 0), BINS - 1)
        counts[b] += 1
        for k in range(3):
            bins[b, k] = min(bins[b, k], boxes[i, k])
            bins[b, 3 + k] = max(bins[b, 3 + k], boxes[i, 3 + k])
    # bins[BINS + b]: all from b on.
    for k in range(3):
        low, high = np.float32(np.inf), np.float32(-np.inf)
        for b in range(BINS - 1, -1, -1):
            low, high = min(low, bins[b, k]), max(high, bins[b, 3 + k])
            bins[BINS + b, k], bins[BINS + b, 3 + k] = low, high
    before, best, chosen = 0, np.inf, -1
    lx, ly, lz, hx, hy, hz = np.inf, np.inf, np.inf, -np.inf, -np.inf, -np.inf
    for b in range(BINS - 1):
        before += counts[b]
        lx, ly, lz = min(lx, bins[b, 0]), min(ly, bins[b, 1]), min(lz, bins[b, 2])
        hx, hy, hz = max(hx, bins[b, 3]), max(hy, bins[b, 4]), max(hz, bins[b, 5])
        if before * 8 < number or (number - before) * 8 < number:
            continue
        r = BINS + b + 1
        right = _area(bins[r, 0], bins[r, 1], bins[r, 2], bins[r, 3], bins[r, 4], bins[r, 5])
        cost = before * _area(lx, ly, lz, hx, hy, hz) + (number - before) * right
        if cost < best:
            best, chosen = cost, b
    if chosen < 0:
        return _select_middle(boxes, items, first, end, axis)
    i, j = first, end - 1
    while i <= j:
        b = int((boxes[i, axis] + boxes[i, 3 + axis] - lowest) * scale)
        if min(max(b, 0), BINS - 1) <= chosen:
            i += 1
        else:
            _swap(boxes, items, i, j)
            j -= 1
    return i


@kernel()
def _bound(boxes, first, end, around, slot):
    """Write the box around the boxes [first, end) to ``around[slot]``."""
    for k in range(3):
        low, high = np.float32(np.inf), np.float32(-np.inf)
        for i in range(first, end):
            low, high = min(low, boxes[i, k]), max(high, boxes[i, 3 + k])
        around[slot, k], around[slot, 3 + k] = low, high


@kernel()
def build_tree(all_boxes, boxes, items, nodes, children):
    """Build a tree.

    :param all_boxes: (N, 6) float32: least x, y, z, greatest; those with NaN are left out.
    :param boxes: (N, 6) float32 and ``items`` (N,) int32, scratch.
    :param nodes: (max(N, 1), 6, 8) float32, out: boxes of the children, a coordinate at a time.
    :param children: (max(N, 1), 8) int32, out: number of a node; −2 − number of an item;
        ``EMPTY``.
    :returns: how many nodes there are, at least one, of which the first is the root.
    """
    total = 0
    for i in range(all_boxes.shape[0]):
        check = np.float32(0.0)
        for k in range(6):
            check += all_boxes[i, k] - all_boxes[i, k]
        if check == 0.0:
            items[total] = i
            for k in range(6):
                boxes[total, k] = all_boxes[i, k]
            total += 1
    firsts, ends = np.empty(nodes.shape[0], np.int64), np.empty(nodes.shape[0], np.int64)
    counts, bins = np.empty(BINS, np.int64), np.empty((2 * BINS, 6), np.float32)
    starts, stops = np.empty(WIDTH, np.int64), np.empty(WIDTH, np.int64)
    around = np.empty((WIDTH, 6), np.float32)
    firsts[0], ends[0] = 0, total
    made, node = 1, 0
    while node < made:
        starts[0], stops[0] = firsts[node], ends[node]
        count = 1 if total > 0 else 0
        if count > 0:
            _bound(boxes, starts[0], stops[0], around, 0)
        while 0 < count < WIDTH:
            largest, chosen = np.float32(-1.0), -1
            for c in range(count):
                if stops[c] - starts[c] > 1:
                    area = _area(around[c, 0], around[c, 1], around[c, 2], around[c, 3],
                                 around[c, 4], around[c, 5])  # fmt: skip
                    if area > largest or chosen < 0:
                        largest, chosen = area, c
            if chosen < 0:
                break
            middle = _split(boxes, items, starts[chosen], stops[chosen], counts, bins)
            starts[count], stops[count] = middle, stops[chosen]
            stops[chosen] = middle
            _bound(boxes, starts[chosen], stops[chosen], around, chosen)
            _bound(boxes, starts[count], stops[count], around, count)
            count += 1
        for c in range(WIDTH):
            for k in range(6):
                nodes[node, k, c] = around[c, k] if c < count else np.float32(0.0)
            if c >= count:
                children[node, c] = EMPTY
            elif stops[c] - starts[c] == 1:
                children[node, c] = -2 - items[starts[c]]
            else:
                firsts[made], ends[made] = starts[c], stops[c]
                children[node, c] = made
                made += 1
        node += 1
    return made
