# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: timing, peak memory, the machine, tables, one JSON line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from typing import Any

os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')  # before torch: spinning threads steal cores


def parser(doc: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    result = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument('--quick', action='store_true', help='fewer cases and repetitions')
    result.add_argument(
        '--json', action='store_true', help='print one JSON object as the last line'
    )
    return result


def measure(function: Callable[[], object], runs: int, warm_up: int = 3) -> dict[str, float | int]:
    """Time a call: median, 95th percentile and minimum in ms, after the warm-up calls."""
    for _ in range(warm_up):
        function()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        times.append(1e3 * (time.perf_counter() - start))
    times.sort()
    return {
        'median_ms': statistics.median(times),
        'p95_ms': times[min(len(times) - 1, round(0.95 * (len(times) - 1)))],
        'min_ms': times[0],
        'runs': runs,
    }


def memory_kib(field: str) -> int:
    """Return a field of this process's memory in KiB: VmRSS now, or VmHWM at its highest."""
    with open('/proc/self/status', encoding='ascii') as status:
        for line in status:
            if line.startswith(field + ':'):
                return int(line.split()[1])
    raise KeyError(field)


def peak_memory(function: Callable[[], object]) -> float:
    """Return by how much a call raised the memory of this process at its highest, in MiB.

    Linux only. Call it in a process of its own: memory that an earlier call has freed but that
    the allocator kept would hide what this one needs.
    """
    with open('/proc/self/clear_refs', 'w', encoding='ascii') as reset:
        reset.write('5')  # the high-water mark starts again from here
    before = memory_kib('VmRSS')
    function()
    return (memory_kib('VmHWM') - before) / 1024.0


def available_memory_gib() -> float:
    """Return the memory that may be taken without swapping, in GiB."""
    return os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30


def in_own_process(script: str, arguments: Sequence[str]) -> dict[str, Any] | None:
    """Run a script anew and return the JSON object on its last line; None where it died."""
    done = subprocess.run(
        [sys.executable, script, *arguments], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        return None
    return json.loads(done.stdout.splitlines()[-1])


def machine() -> dict[str, Any]:
    """Describe what the figures were measured on."""
    import numba
    import torch

    model = platform.processor() or platform.machine()
    try:
        with open('/proc/cpuinfo', encoding='utf-8') as info:
            names = [line.split(':', 1)[1].strip() for line in info if line.startswith('model n')]
        model = names[0] if names else model
    except OSError:
        pass
    return {
        'cpu': model,
        'cores': os.cpu_count(),
        'load': round(os.getloadavg()[0], 2),
        'numba_threads': numba.get_num_threads(),
        'torch_threads': torch.get_num_threads(),
        'python': platform.python_version(),
        'torch': torch.__version__,
        'numba': numba.__version__,
    }


def print_machine(described: dict[str, Any]) -> None:
    """Print the machine on one line."""
    print(', '.join(f'{key} {value}' for key, value in described.items()))


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print columns as wide as their widest cell, the first to the left."""
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    for row in cells:
        first, *rest = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print('  '.join([first, *rest]))


def finish(result: dict[str, Any], as_json: bool) -> None:
    """Print the JSON line where it was asked for."""
    if as_json:
        print(json.dumps(result))
