# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Folders of compiled kernels: kept while in use, removed when long unused."""

from __future__ import annotations

import os
from pathlib import Path
import time

import pytest

from diffphyscam_ros.kernels import cache_folders
from diffphyscam_ros.kernels.cache_folders import claim, MARK_AGAIN, remove_unused, UNUSED


def folder_of_age(parent: Path, name: str, seconds: float) -> Path:
    path = parent / name
    (path / 'kernels').mkdir(parents=True)
    (path / 'kernels' / 'index.nbi').write_bytes(b'compiled')
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def test_a_new_version_removes_what_is_long_unused_and_nothing_else(tmp_path: Path) -> None:
    old = folder_of_age(tmp_path, 'diffphyscam_ros-old', UNUSED + 60)
    half_removed = folder_of_age(tmp_path, '.diffphyscam_ros-gone.17', UNUSED + 60)
    recent = folder_of_age(tmp_path, 'diffphyscam_ros-recent', UNUSED - 3600)
    foreign = folder_of_age(tmp_path, 'somebody_else-old', 10 * UNUSED)
    new = claim(tmp_path, 'new')
    assert new == tmp_path / 'diffphyscam_ros-new'
    assert sorted(tmp_path.iterdir()) == sorted([new, recent, foreign])
    assert not old.exists() and not half_removed.exists()
    assert (recent / 'kernels' / 'index.nbi').read_bytes() == b'compiled'


def test_use_keeps_a_folder(tmp_path: Path) -> None:
    used = folder_of_age(tmp_path, 'diffphyscam_ros-used', UNUSED + 60)
    assert claim(tmp_path, 'used') == used
    assert time.time() - used.stat().st_mtime < 60.0
    assert remove_unused(tmp_path) == []
    before = folder_of_age(tmp_path, 'diffphyscam_ros-today', MARK_AGAIN / 2).stat().st_mtime
    assert claim(tmp_path, 'today').stat().st_mtime == before  # no write at every start


def test_a_folder_claimed_while_it_is_set_aside_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder_of_age(tmp_path, 'diffphyscam_ros-contested', UNUSED + 60)
    rename = Path.rename

    def claimed_just_before(self: Path, target: Path) -> Path:
        if self == path:
            os.utime(self)
        return rename(self, target)

    monkeypatch.setattr(Path, 'rename', claimed_just_before)
    assert remove_unused(tmp_path) == []
    assert (path / 'kernels' / 'index.nbi').is_file()
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_removed_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_of_age(tmp_path, 'diffphyscam_ros-old', UNUSED + 60)

    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(13, 'read-only', str(self))

    monkeypatch.setattr(Path, 'rename', refuse)
    assert claim(tmp_path, 'new').is_dir()
    assert claim(tmp_path / 'missing', 'new') == tmp_path / 'missing' / 'diffphyscam_ros-new'


def test_kernels_lie_in_claimed_folders() -> None:
    from diffphyscam_ros.kernels import runtime

    if not runtime.CACHE:
        pytest.skip('the cache folder cannot be written')
    from diffphyscam_ros.kernels.encoding import encode_rows

    place = Path(encode_rows._cache.cache_path)
    assert place.parent.name.startswith(cache_folders.PREFIX)
    assert place.parent.is_dir()
