# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Defocus against a path tracer: a light form of bench/defocus_truth.py."""

from __future__ import annotations

import importlib.util
import sys

import pytest


@pytest.fixture(scope='module')
def truth(repository):
    pytest.importorskip('mitsuba', reason='Mitsuba 3 (pip install mitsuba) draws the truth')
    pytest.importorskip('cv2')
    folder = repository / 'bench'
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location('defocus_truth', folder / 'defocus_truth.py')
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


@pytest.mark.parametrize('name', ['sharp over 16 px behind'])
def test_thin_lens(truth, name):
    scene = truth.SCENES[name]
    drawn = truth.render(scene, 16)
    lens, noise = drawn['lens'].mean(axis=0), 3.0
    blur = truth.signed_blur(scene, drawn['depth'])
    fast = truth.defocus_fast(drawn['pinhole'], blur.numpy(), psf='disk', occlusion=True)
    plain = truth.defocus_fast(drawn['pinhole'], blur.numpy(), psf='disk')
    floor = truth.psnr(*drawn['lens']) + noise - 1.0  # mean of two seeds; ours adds little to it
    assert truth.psnr(fast, lens) > min(floor, 42.0)
    assert truth.psnr(fast, lens) > truth.psnr(plain, lens) + 1.0
    assert truth.psnr(drawn['pinhole'], lens) < 28.0
