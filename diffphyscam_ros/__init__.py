# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""DiffPhysCam: a differentiable, physics-based camera for ROS 2."""

import os
from pkgutil import extend_path

# A waiting OpenMP thread spins by default: with the cores busy (a robot's always are) a frame
# then takes 30 times longer. It must be set before torch or numba start OpenMP.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

# The generated packages msg and srv may lie in another folder than these modules: those come from
# the source tree when Python starts there, while the interfaces were built into a workspace.
__path__ = extend_path(__path__, __name__)
