# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Lens models against OpenCV, and the distorted picture un-distorted by OpenCV again."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.autograd import gradcheck
import yaml

from diffphyscam_ros.camera import distort, distort_points, Intrinsics, undistort_points
from diffphyscam_ros.camera.distortion import distortion_map, source_padding
from diffphyscam_ros.camera.lens_models import fold_radius

LENSES = {
    'usb_cam': ('plumb_bob', (-0.361976, 0.110510, 0.001014, 0.000505, 0.0)),
    'bfs_5mm': ('plumb_bob', (-0.141590, 0.162831, 0.0, 0.0, -0.108763)),
    'pincushion': ('plumb_bob', (0.16, -0.05, -0.003, 0.002, 0.01)),
    'vehicle': (
        'rational_polynomial',
        (0.929988, 0.165923, -2.4e-5, -1.4e-5, 0.002886, 1.331432, 0.435830, 0.027607),
    ),
    'tumvi': ('equidistant', (0.003482, 0.000715, -0.002053, 0.000203)),
    'kalibr': ('equidistant', (-0.029225, 0.020824, -0.031942, 0.016593)),
}
SAMPLES = {
    'usb_cam/camera_info.yaml': 'camera_info',
    'image_common/test_calibration.yaml': 'camera_info',
    'aravis2/camera_info_example_gv.yaml': 'camera_info',
    'depthai/left.yaml': 'camera_info',
    'aip/traffic_light_camera.yaml': 'camera_info',
    'raspicam_node/camerav2_1280x960.yaml': 'camera_info',
    'rational_camera_info.yaml': 'list',
    'tumvi_kalibr/camchain-imucam-imucalib.yaml': 'kalibr',
}


def opencv_distort(model: str, k: tuple[float, ...], points: np.ndarray) -> np.ndarray:
    if model == 'equidistant':
        return cv2.fisheye.distortPoints(points[:, None], np.eye(3), np.array(k))[:, 0]
    rays = np.column_stack([points, np.ones(len(points))])
    zero = np.zeros(3)
    return cv2.projectPoints(rays[:, None], zero, zero, np.eye(3), np.array(k))[0][:, 0]


def opencv_undistort(model: str, k, picture: np.ndarray, lens: Intrinsics, view: Intrinsics):
    """Rectify a picture of the lens to the pinhole view, as image_proc would."""
    given, wanted = lens.matrix().double().numpy(), view.matrix().double().numpy()
    rectify = cv2.fisheye if model == 'equidistant' else cv2
    maps = rectify.initUndistortRectifyMap(
        given, np.array(k), np.eye(3), wanted, (view.width, view.height), cv2.CV_32FC1
    )
    return cv2.remap(picture, *maps, cv2.INTER_CUBIC)


def pattern(view: Intrinsics) -> torch.Tensor:
    """Return a smooth colour picture with detail at 12 px and more."""
    u = torch.arange(view.width, dtype=torch.float32)[None, :, None]
    v = torch.arange(view.height, dtype=torch.float32)[:, None, None]
    period = torch.tensor([24.0, 36.0, 60.0])
    waves = torch.sin(2 * math.pi * u / period) * torch.cos(2 * math.pi * v / period)
    return 0.5 + 0.4 * waves


@pytest.mark.parametrize('lens', LENSES)
def test_points_fall_where_opencv_puts_them(lens: str) -> None:
    model, k = LENSES[lens]
    points = np.random.default_rng(0).uniform(-0.7, 0.7, (500, 2))
    points[0] = 0
    ours = distort_points(torch.tensor(points), model, k)
    np.testing.assert_allclose(ours, opencv_distort(model, k, points), rtol=0, atol=1e-12)
    back = undistort_points(ours, model, k)
    np.testing.assert_allclose(back, points, rtol=0, atol=1e-10)


@pytest.mark.parametrize('lens', LENSES)
def test_gradients_of_the_lens_models(lens: str) -> None:
    model, k = LENSES[lens]
    points = torch.tensor([[0.0, 0.0], [0.3, -0.2], [-0.5, 0.4]], dtype=torch.float64)
    inputs = (points.requires_grad_(), torch.tensor(k, dtype=torch.float64, requires_grad=True))
    assert gradcheck(lambda p, c: distort_points(p + 1e-3, model, c), inputs)
    assert gradcheck(lambda p, c: undistort_points(p, model, c), inputs)


@pytest.mark.parametrize('lens', LENSES)
def test_gradients_of_the_map(lens: str) -> None:
    model, k = LENSES[lens]

    def run(f, g, cx, source_f, c):
        target = Intrinsics(4, 3, f, g, cx, 1.0)
        return distortion_map(Intrinsics(6, 5, source_f, 4.1, 2.5, 2.0), target, model, c)

    numbers = [torch.tensor(v, dtype=torch.float64) for v in (5.0, 5.5, 1.4, 4.0)]
    inputs = [v.requires_grad_() for v in (*numbers, torch.tensor(k, dtype=torch.float64))]
    assert gradcheck(run, inputs)


def test_gradients_of_the_picture() -> None:
    model, k = LENSES['usb_cam']
    generator = torch.Generator().manual_seed(3)
    image = torch.rand(8, 10, 2, dtype=torch.float64, generator=generator).requires_grad_()
    depth = torch.rand(8, 10, dtype=torch.float64, generator=generator).requires_grad_()

    def run(image, depth, f, c):
        source, target = Intrinsics(10, 8, 7.0, 7.1, 4.4, 3.6), Intrinsics(6, 5, f, f, 2.6, 2.1)
        return distort(image, depth, source, target, model, c)

    focal = torch.tensor(7.3, dtype=torch.float64, requires_grad=True)
    coefficients = torch.tensor(k, dtype=torch.float64, requires_grad=True)
    assert gradcheck(run, (image, depth, focal, coefficients))


@pytest.mark.parametrize('lens', LENSES)
def test_opencv_gives_back_the_pinhole_picture(lens: str) -> None:
    model, k = LENSES[lens]
    target = Intrinsics(320, 240, 230.0, 231.0, 161.3, 118.2)
    source = target.padded(*source_padding(target, model, k))
    picture = pattern(source)
    ours, _ = distort(picture, None, source, target, model, k)
    assert (ours > 0).all()
    back = opencv_undistort(model, k, ours.numpy(), target, source)
    known = opencv_undistort(model, k, np.ones((240, 320), np.float32), target, source)
    inside = cv2.erode(known, np.ones((9, 9))) > 0.999
    assert inside.mean() > 0.3
    error = (back - picture.numpy())[inside]
    assert -10 * math.log10(np.mean(error**2)) > 45


def real_lenses(path: Path, kind: str):
    """Yield (model, coefficients, K, width, height) of a calibration file."""
    content = yaml.safe_load(path.read_text())
    if kind == 'list':
        for c in content:
            yield c['model'], c['d'], c['K'], c['width'], c['height']
    elif kind == 'kalibr':
        for c in content.values():
            fx, fy, cx, cy = c['intrinsics']
            matrix = [fx, 0, cx, 0, fy, cy, 0, 0, 1]
            yield c['distortion_model'], c['distortion_coeffs'], matrix, *c['resolution']
    else:
        k, matrix = (content[n]['data'] for n in ('distortion_coefficients', 'camera_matrix'))
        size = content['image_width'], content['image_height']
        yield content['distortion_model'], k, matrix, *size


@pytest.mark.parametrize('name', SAMPLES)
def test_real_cameras_are_consistent_with_opencv(shared_data: Path, name: str) -> None:
    """Every pixel that has a ray falls back on itself; the others are beyond the fold or 85°."""
    for model, k, matrix, width, height in real_lenses(
        shared_data / 'camera_info' / name, SAMPLES[name]
    ):
        step = max(width, height) / 64
        small = Intrinsics(
            round(width / step),
            round(height / step),
            matrix[0] / step,
            matrix[4] / step,
            (matrix[2] + 0.5) / step - 0.5,
            (matrix[5] + 0.5) / step - 0.5,
        )
        unit = Intrinsics(small.width, small.height, 1.0, 1.0, 0.0, 0.0)
        rays = distortion_map(unit, small, model, k).reshape(-1, 2)
        found = ~rays.isnan().any(-1)
        assert found.double().mean() > 0.5
        image = opencv_distort(model, tuple(k), rays[found].numpy())
        v, u = np.mgrid[: small.height, : small.width].reshape(2, -1)[:, found.numpy()]
        np.testing.assert_allclose(image[:, 0] * small.fx + small.cx, u, atol=1e-6)
        np.testing.assert_allclose(image[:, 1] * small.fy + small.cy, v, atol=1e-6)
        limit = fold_radius(model, k)
        assert (rays[found].norm(dim=-1) <= limit * (1 + 1e-6)).all()


def test_a_folding_lens_is_marked_and_not_wrapped() -> None:
    """With k1 = −0.5 the radius r − r³/2 turns back at r = √(2/3), where the image is at 0.544."""
    k = torch.tensor([-0.5, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    assert fold_radius('plumb_bob', k) == pytest.approx(math.sqrt(2 / 3))
    edge = math.sqrt(2 / 3) * (1 - 1 / 3)
    points = torch.tensor([[0.99 * edge, 0.0], [0.0, 1.01 * edge], [5.0, 5.0]])
    found = undistort_points(points, 'plumb_bob', k)
    assert found[0].isfinite().all() and found[0, 0] < math.sqrt(2 / 3)
    assert found[1:].isnan().all()
    view = Intrinsics(21, 21, 10.0, 10.0, 10.0, 10.0)
    image, depth = distort(torch.ones(21, 21, 3), torch.ones(21, 21), view, view, 'plumb_bob', k)
    assert (image[0, 0] == 0).all() and depth[0, 0] == 0
    assert (image[10, 10] == 1).all() and depth[10, 10] == 1


def test_marked_pixels_do_not_spoil_gradients() -> None:
    k = torch.tensor([-0.5, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64, requires_grad=True)
    view = Intrinsics(21, 21, 10.0, 10.0, 10.0, 10.0)
    picture = torch.rand(21, 21, 3, dtype=torch.float64, requires_grad=True)
    image, _ = distort(picture, None, view, view, 'plumb_bob', k)
    image.sum().backward()
    assert k.grad.isfinite().all() and picture.grad.isfinite().all() and (k.grad[0] != 0)


def test_depth_is_never_mixed() -> None:
    model, k = LENSES['usb_cam']
    view = Intrinsics(40, 30, 30.0, 30.0, 19.5, 14.5)
    depth = torch.full((30, 40), 1.0)
    depth[:, 20:] = 9.0
    depth[:4] = math.inf
    depth[-4:] = math.nan
    _, result = distort(torch.ones(30, 40, 3), depth, view, view, model, k)
    known = (result == 0) | (result == 1) | (result == 9) | result.isinf() | result.isnan()
    assert known.all()


def test_distance_along_an_edge_moves_with_the_lens() -> None:
    """A barrel lens pulls a corner of the scene towards the middle of the picture."""
    view = Intrinsics(41, 41, 40.0, 40.0, 20.0, 20.0)
    pixels = distortion_map(view, view, 'plumb_bob', (-0.2, 0.0, 0.0, 0.0, 0.0))
    assert pixels[0, 0, 0] < 0 and pixels[-1, -1, 1] > 40
    torch.testing.assert_close(pixels[20, 20], torch.tensor([20.0, 20.0]).double())


def test_no_coefficients_mean_no_distortion() -> None:
    view = Intrinsics(9, 7, 8.0, 8.0, 4.0, 3.0)
    image, depth = torch.rand(7, 9, 3), torch.rand(7, 9)
    warped, far = distort(image, depth, view, view)
    torch.testing.assert_close(warped, image)
    assert torch.equal(far, depth)
    assert source_padding(view, 'plumb_bob', ()) == (0, 0, 0, 0)


def test_a_batch_equals_its_pictures() -> None:
    k = torch.tensor([LENSES['usb_cam'][1], LENSES['pincushion'][1]]).double()
    focal = torch.tensor([20.0, 25.0]).double()
    images, depths = torch.rand(2, 20, 24, 3).double(), torch.rand(2, 20, 24).double()
    source = Intrinsics(24, 20, 20.0, 20.0, 11.5, 9.5)
    target = Intrinsics(16, 12, focal, focal, 7.5, 5.5)
    batch, far = distort(images, depths, source, target, 'plumb_bob', k)
    for i in range(2):
        one = Intrinsics(16, 12, float(focal[i]), float(focal[i]), 7.5, 5.5)
        image, depth = distort(images[i], depths[i], source, one, 'plumb_bob', k[i])
        torch.testing.assert_close(batch[i], image)
        torch.testing.assert_close(far[i], depth)


@pytest.mark.parametrize(
    ('model', 'k', 'message'),
    [
        ('plumb_bob', (0.1, 0.2), r'plumb_bob.*\(2,\).*k1, k2, p1, p2, k3'),
        ('equidistant', (0.1,) * 5, r'equidistant.*\(5,\)'),
        ('rational_polynomial', (0.1,) * 14, r'rational_polynomial.*\(14,\)'),
        ('fisheye', (0.1,) * 4, "'fisheye'.*equidistant"),
    ],
)
def test_bad_coefficients_are_refused(model: str, k: tuple[float, ...], message: str) -> None:
    view = Intrinsics(4, 4, 4.0, 4.0, 1.5, 1.5)
    with pytest.raises(ValueError, match=message):
        distort(torch.ones(4, 4, 3), None, view, view, model, k)


def test_finer_pixels_lie_evenly_in_each_pixel() -> None:
    coarse = Intrinsics(7, 5, 11.0, 12.0, 2.9, 2.2)
    fine = coarse.finer(3)
    assert (fine.width, fine.height) == (21, 15)
    across = ((torch.arange(21.0) - fine.cx) / fine.fx).reshape(7, 3)
    down = ((torch.arange(15.0) - fine.cy) / fine.fy).reshape(5, 3)
    torch.testing.assert_close(across.mean(1), (torch.arange(7.0) - coarse.cx) / coarse.fx)
    torch.testing.assert_close(down.mean(1), (torch.arange(5.0) - coarse.cy) / coarse.fy)
    torch.testing.assert_close(across.diff(dim=1), torch.full((7, 2), 1.0 / (3.0 * coarse.fx)))
    assert coarse.finer(1) == coarse
    with pytest.raises(ValueError, match='at least 1'):
        coarse.finer(0)
