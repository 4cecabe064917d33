# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Fused CPU kernels (numba), each beside the readable torch operation that it must equal."""
