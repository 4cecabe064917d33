# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Whether Triton kernels can run here, and on which GPU: that which holds their arguments."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
import importlib
import os
from pathlib import Path
import shutil
import sysconfig

import torch


@lru_cache(maxsize=1)
def triton_problem() -> str | None:
    """Return why Triton cannot run kernels here, with the remedy, or None if it can.

    Its kernels need no compiler of the machine's; but when it first starts, it builds a small
    module that talks to the driver, with a C compiler and Python's headers.
    """
    try:
        importlib.import_module('triton')
    except ImportError as error:
        return f'triton cannot be imported ({error}): pip install triton'
    if os.environ.get('TRITON_INTERPRET') == '1':
        return None
    if not (os.environ.get('CC') or shutil.which('gcc') or shutil.which('clang')):
        return 'triton finds no C compiler, with which it starts: apt install gcc, or set CC'
    # Debian's own scheme, posix_local, names a folder that Triton does not look into.
    scheme = sysconfig.get_default_scheme().replace('posix_local', 'posix_prefix')
    header = Path(sysconfig.get_path('include', scheme)) / 'Python.h'
    if not header.is_file():
        return (
            f'triton needs {header} when it starts, and it is absent: install the headers of this '
            'Python (apt install python3-dev)'
        )
    return None


def on_device_of(tensor: torch.Tensor) -> AbstractContextManager[object]:
    """Return a context in which kernels start on a tensor's GPU; Triton itself takes the current.

    For tensors on the CPU, which interpreted kernels take, it does nothing.
    """
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()
