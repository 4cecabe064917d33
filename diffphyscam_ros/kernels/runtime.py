# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""How the CPU kernels are compiled, cached and threaded: one decorator for all of them."""

from __future__ import annotations

import ast
from collections.abc import Callable
import functools
import hashlib
import importlib
import os
from pathlib import Path
import tempfile
from typing import Any, cast, TypeVar
import warnings

import numba

from diffphyscam_ros.kernels.cache_folders import claim

Function = TypeVar('Function', bound=Callable[..., Any])


def _writable_cache() -> Path | None:
    """Return where compiled kernels can be kept, looking where numba would put them."""
    chosen = os.environ.get('NUMBA_CACHE_DIR')
    candidates = [Path(chosen)] if chosen else [Path(__file__).parent / '__pycache__']
    if not chosen:
        candidates.append(Path(os.environ.get('XDG_CACHE_HOME', Path.home() / '.cache')) / 'numba')
    for folder in candidates:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    warnings.warn(
        f'compiled kernels cannot be kept: {" and ".join(map(str, candidates))} cannot be '
        'written. Each start will compile them anew (up to a minute). '
        'Set NUMBA_CACHE_DIR to a folder that can be written.',
        RuntimeWarning,
        stacklevel=2,
    )
    return None


_PACKAGE = Path(__file__).parents[1]

FUSED = {'contract'}
"""The one liberty that NaN and infinity survive: a · b + c may be one instruction."""


def _imported(source: bytes) -> set[Path]:
    """Return the files of this package that a source text imports itself."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f'{node.module}.{alias.name}' for alias in node.names)}
    paths = {_PACKAGE.parent / f'{name.replace(".", "/")}.py' for name in names}
    return {path for path in paths if path.is_relative_to(_PACKAGE) and path.is_file()}


@functools.cache
def sources_digest(path: Path) -> str:
    """Return a name for this version of a source file and of all that it imports from here."""
    sources: dict[Path, bytes] = {}
    open_ends = {path}
    while open_ends:
        one = open_ends.pop()
        sources[one] = one.read_bytes()
        open_ends |= _imported(sources[one]) - sources.keys()
    digest = hashlib.sha256()
    for one in sorted(sources):
        digest.update(sources[one])
    return digest.hexdigest()[:16]


_FOLDER = _writable_cache()
CACHE = _FOLDER is not None


def _pick_threading_layer() -> str:
    """Choose a layer that may be entered from several Python threads, as a ROS executor does."""
    if 'NUMBA_THREADING_LAYER' in os.environ:
        return os.environ['NUMBA_THREADING_LAYER']
    try:
        importlib.import_module('numba.np.ufunc.omppool')
    except ImportError:
        warnings.warn(
            "numba's OpenMP layer is missing (install libgomp1): kernels run in numba's "
            'workqueue, which must not be entered from two Python threads at once.',
            RuntimeWarning,
            stacklevel=2,
        )
        return 'workqueue'
    return 'omp'


numba.config.THREADING_LAYER = _pick_threading_layer()


def kernel(
    *, parallel: bool = False, fastmath: bool | set[str] = False, inline: bool = False
) -> Callable[[Function], Function]:
    """Compile a function with numba: no GIL, kept on disk where possible.

    :param fastmath: True for all liberties, which assume finite numbers, or LLVM's names of some.
    :param inline: copy the code into every caller. A small function that takes arrays and is
        called from several places otherwise costs more for the call than for its work.
    """

    def decorate(function: Function) -> Function:
        if _FOLDER is not None:
            # numba compiles a kernel anew when its own file has changed, but not when a constant
            # or an inlined function of another file has: old and new code would be mixed, and
            # write outside their arrays. Every version of the sources that a kernel is made of
            # has a folder of its own instead.
            source = Path(function.__code__.co_filename)
            numba.config.CACHE_DIR = str(claim(_FOLDER, sources_digest(source)))
        # The numpy error model (x / 0 = inf) has no branch to an exception, which would keep
        # every loop with a division from being vectorized.
        compiled = numba.njit(
            nogil=True,
            cache=CACHE,
            parallel=parallel,
            fastmath=fastmath,
            forceinline=inline,
            error_model='numpy',
        )
        return cast(Function, compiled(function))

    return decorate
