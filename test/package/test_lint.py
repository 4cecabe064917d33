# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The style, the types and the first lines of all code; nothing that ties it to one machine."""

from __future__ import annotations

import importlib.util
from pathlib import Path
import re
import subprocess
import sys

import numpy as np
import pytest

COPYRIGHT = re.compile(
    r'# Copyright \d{4} diffphyscam_ros contributors\. SPDX-License-Identifier: Apache-2\.0'
)
GENERATED = re.compile(
    r'^diffphyscam_ros/(msg|srv|_lib)/|\.so$'
    r'|(^|/)(build|install|log|dist|out|__pycache__|\.(?!ci/)\w+|\w+\.egg-info)/'
)
# Where packages come from is the business of pip's configuration, and no path of a developer's
# machine is of use to others.
UNPORTABLE = re.compile(
    r'https?://[\w.-]*(pypi|pythonhosted|whl|wheels?|registry|npmjs|mirrors?)\b'
    r'|--(extra-)?(index)-url|--(find)-links|--(trusted)-host'
    r'|(?<![\w.~$}])/(work|farm|root|Users)/'
)


def source_files(repository: Path) -> list[Path]:
    """Return the files that git tracks or would track, or all but the generated without git."""
    listing = subprocess.run(
        ['git', 'ls-files', '--cached', '--others', '--exclude-standard'],
        cwd=repository,
        capture_output=True,
        text=True,
    )
    if listing.returncode == 0 and listing.stdout:
        names = listing.stdout.splitlines()
    else:
        paths = (path.relative_to(repository).as_posix() for path in repository.rglob('*'))
        names = [name for name in paths if not GENERATED.match(name)]
    return [path for path in (repository / name for name in names) if path.is_file()]


def run_tool(repository: Path, name: str, *arguments: str) -> None:
    """Run a checker as a module, and fail with what it printed."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f'{name} is not installed: pip install -r requirements/test.in')
    command = [sys.executable, '-m', name, *arguments]
    result = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    assert result.returncode == 0, f'{name} {" ".join(arguments)}\n{result.stdout}{result.stderr}'


def test_ruff_check(repository: Path) -> None:
    run_tool(repository, 'ruff', 'check', '--no-cache', '.')


def test_ruff_format(repository: Path) -> None:
    run_tool(repository, 'ruff', 'format', '--no-cache', '--check', '.')


def test_mypy(repository: Path) -> None:
    if np.lib.NumpyVersion(np.__version__) < '2.3.0':  # the last for Python 3.10
        pytest.skip(
            f'the types of numpy {np.__version__} say too little of shapes: types are checked '
            'with 2.3 and later, on Python 3.11 and later'
        )
    run_tool(repository, 'mypy')


def test_first_line_of_python_files(repository: Path) -> None:
    missing = [
        path.relative_to(repository).as_posix()
        for path in source_files(repository)
        if path.suffix == '.py'
        and not COPYRIGHT.fullmatch(path.read_text(encoding='utf-8').split('\n', 1)[0])
    ]
    assert not missing, f'without the copyright line: {missing}'


@pytest.mark.parametrize(
    'text',
    [
        'https://' + 'py' + 'pi.org/simple',
        'pip install --index' + '-url x',
        'pip install --find' + '-links x',
        'see /' + 'work/main',
        'open("/' + 'root/x")',
    ],
)
def test_unportable_text_is_recognised(text: str) -> None:
    assert UNPORTABLE.search(text)


@pytest.mark.parametrize(
    'text', ['~/' + 'work/src', '../shared/data', 'github.com/x/' + 'work/y', 'pypi']
)
def test_portable_text_is_left_alone(text: str) -> None:
    assert not UNPORTABLE.search(text)


def test_nothing_names_a_registry_or_a_machine(repository: Path) -> None:
    found = []
    for path in source_files(repository):
        try:
            lines = path.read_text(encoding='utf-8').splitlines()
        except UnicodeDecodeError:
            continue
        place = path.relative_to(repository)
        found += [f'{place}:{i}: {x}' for i, x in enumerate(lines, 1) if UNPORTABLE.search(x)]
    assert not found, '\n'.join(found)
