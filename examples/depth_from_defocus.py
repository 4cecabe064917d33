# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Recover a depth map, and the sharp picture, from a few photographs with different focus.

A frame of an RGB-D camera is photographed a few times by a simulated lens with shallow depth of
field: direct scatter tap by tap, photon noise, read noise, 8 bit. The depth and the sharp picture
are then both unknown and found together, by gradient through the fast disk defocus, from coarse
to fine, with the prior that depth is piecewise smooth and its edges lie at edges of the picture.

The classical method beside it, on the same photographs: where along the stack is each
neighbourhood sharpest (modified Laplacian, refined by a parabola)? Its answer is also where the
descent starts. Without the frames (--data) a rendered table takes their place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from _common import depth_data, full_frame, options, Progress, run, table, table_scene
import _figures
import cv2
import numpy as np
import torch

from diffphyscam_ros.camera import (
    CameraSettings,
    circle_of_confusion,
    defocus,
    PhysicalCamera,
    SensorModel,
)

FRAME = 'frame-000180'
FOCUS = [0.9, 1.2, 1.65, 2.3, 3.4]  # m, of the photographs: even steps in 1/U
F_NUMBER = 1.4
RANGE = (0.7, 4.0)  # m, in which depths are looked for
NOISE = 0.01  # digital values; larger differences count less
SMOOTHNESS = 1.5  # of 1/depth, in units of 1/dioptre
EDGE = 10  # px at the border that are not judged: what lies outside is not known


@dataclass(frozen=True)
class Result:
    """Median relative errors of depth, over all pixels that have one, and where texture is."""

    error: float
    textured_error: float
    classical_error: float
    classical_textured_error: float
    figure: Path | None


def load_frame(folder: Path, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return radiance (H, W, 3), depth without holes (H, W), and where it was measured."""
    colour = cv2.imread(str(folder / f'{FRAME}.color.png'))
    depth = cv2.imread(str(folder / f'{FRAME}.depth.png'), cv2.IMREAD_UNCHANGED) / 1000.0
    size = (width, width * 3 // 4)
    linear = (colour[..., ::-1] / 255.0) ** 2.2
    linear = cv2.resize(linear, size, interpolation=cv2.INTER_AREA)
    depth = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST)
    known = (depth > 0.3) & (depth < 10.0)
    # A hole gets the depth of the nearest measurement; it is blurred with it, but not judged.
    _, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest = np.zeros(labels.max() + 1)
    nearest[labels[known]] = depth[known]
    filled = torch.from_numpy(nearest[labels]).float()
    return torch.from_numpy(linear).float(), filled, torch.from_numpy(known)


def take_stack(sensor: SensorModel, radiance: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
    """Photograph with every focus, (n, H, W, 3)."""
    body = PhysicalCamera(sensor, ('exposure', 'noise', 'response', 'quantization'), seed=21)
    photos = []
    for number, focus in enumerate(FOCUS):
        shot = settings(focus)
        coc = blur(sensor, depth, shot)
        photos.append(body(defocus(radiance, coc, 'disk', 'exact'), None, shot, number).image)
    return torch.stack(photos)


def settings(focus: float | torch.Tensor) -> CameraSettings:
    """Return the settings of a photograph, exposed so that radiance 1 is digital value 1."""
    return CameraSettings(F_NUMBER, 0.01 * (F_NUMBER / 2.0) ** 2, 100.0, 0.05, focus)


def blur(sensor: SensorModel, depth: torch.Tensor, shot: CameraSettings) -> torch.Tensor:
    """Return the blur diameters of a depth map, (..., H, W) px."""
    return circle_of_confusion(
        depth, shot.aperture, shot.focal_length, shot.focus_distance, sensor.pixel_size, 1.0, 0.0,
        sensor.max_coc,
    )  # fmt: skip


def focus_measure(photos: torch.Tensor) -> torch.Tensor:
    """Return how sharp each neighbourhood is, (n, H, W): the modified Laplacian, summed."""
    out = []
    for photo in photos:
        grey = photo.mean(-1).numpy()
        kernel = np.array([[-1.0, 2.0, -1.0]], np.float32)
        sharp = abs(cv2.filter2D(grey, -1, kernel)) + abs(cv2.filter2D(grey, -1, kernel.T))
        out.append(torch.from_numpy(cv2.GaussianBlur(sharp, (0, 0), photo.shape[1] / 80)))
    return torch.stack(out)


def classical_depth(photos: torch.Tensor) -> torch.Tensor:
    """Return the depth (H, W) at which each neighbourhood would be sharpest."""
    measure = focus_measure(photos).log()
    steps = 1.0 / torch.tensor(FOCUS)
    best = measure.argmax(0).clamp(1, len(FOCUS) - 2)
    x = torch.stack([steps[best + i] for i in (-1, 0, 1)])
    y = torch.stack([measure.gather(0, (best + i)[None])[0] for i in (-1, 0, 1)])
    left, right = (y[1] - y[0]) / (x[1] - x[0]), (y[2] - y[1]) / (x[2] - x[1])
    bend = (right - left) / (x[2] - x[0])
    top = (x[0] + x[1]) / 2 - left / (2 * bend.clamp(max=-1e-6))
    peaked = torch.where(bend < -1e-6, top, steps[measure.argmax(0)])
    return 1.0 / peaked.clamp(1.0 / RANGE[1], 1.0 / RANGE[0])


def shrink(picture: torch.Tensor, times: int) -> torch.Tensor:
    """Average (..., H, W, C) over squares of times² pixels."""
    if times == 1:
        return picture
    planes = picture.movedim(-1, -3)
    flat = torch.nn.functional.avg_pool2d(planes.reshape(-1, 1, *planes.shape[-2:]), times)
    return flat.reshape(*planes.shape[:-2], *flat.shape[-2:]).movedim(-3, -1)


def resize(picture: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Interpolate (H, W, C) to another size."""
    planes = picture.movedim(-1, 0)[None]
    size = (height, width)
    large = torch.nn.functional.interpolate(planes, size, mode='bilinear', align_corners=False)
    return large[0].movedim(0, -1)


def recover(
    sensor: SensorModel, photos: torch.Tensor, plan: Sequence[tuple[int, int]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find depth (H, W) and radiance (H, W, 3), given (shrink factor, steps) of each level."""
    start = cv2.medianBlur((1.0 / classical_depth(photos)).numpy(), 5)
    dioptre = torch.from_numpy(start)[..., None]
    sharp: torch.Tensor | None = None
    progress = Progress('descent', sum(steps for _, steps in plan))
    for factor, steps in plan:
        seen = shrink(photos, factor)
        height, width = seen.shape[1:3]
        camera = PhysicalCamera(
            replace(sensor.resized(width, height), bit_depth=0),
            ('defocus', 'exposure', 'response'),
        )
        shots = settings(torch.tensor(FOCUS))
        weight = edge_weight(seen.mean(0))
        dioptre = resize(dioptre, height, width).requires_grad_()
        # The light that is looked for starts as the sharpest photograph at each place.
        if sharp is None:
            best = focus_measure(seen).argmax(0)
            sharp = seen.gather(0, best[None, ..., None].expand(1, -1, -1, 3))[0]
        sharp = resize(sharp.detach(), height, width).clone().requires_grad_()
        adam = torch.optim.Adam(
            [{'params': [dioptre], 'lr': 0.03}, {'params': [sharp], 'lr': 0.01}], betas=(0.9, 0.99)
        )
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps, eta_min=0.002)
        for _ in range(steps):
            adam.zero_grad()
            light = sharp.expand(len(FOCUS), -1, -1, -1)
            image = camera(light, 1.0 / dioptre[..., 0], shots).image
            squares = (image - seen).square() / NOISE**2
            misfit = (torch.sqrt(1.0 + squares) - 1.0).mean()  # quadratic, straight far off
            loss = misfit + SMOOTHNESS * roughness(dioptre[..., 0], weight)
            loss.backward()
            adam.step()
            falling.step()
            with torch.no_grad():
                dioptre.clamp_(1.0 / RANGE[1], 1.0 / RANGE[0])
                sharp.clamp_(min=1e-3)  # light
            progress.step(f'1/{factor} size, loss {float(loss.detach()):.5f}')
        dioptre = dioptre.detach()
    assert sharp is not None
    return 1.0 / dioptre[..., 0], sharp.detach()


def edge_weight(picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how smooth depth should be between neighbours: less where the picture has an edge."""
    across = (picture[:, 1:] - picture[:, :-1]).abs().mean(-1)
    down = (picture[1:] - picture[:-1]).abs().mean(-1)
    return torch.exp(-across / 0.03), torch.exp(-down / 0.03)


def roughness(dioptre: torch.Tensor, weight: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Return the weighted total variation of 1/depth, rounded off at 0."""
    across, down = dioptre.diff(dim=1), dioptre.diff(dim=0)
    return sum(
        (w * torch.sqrt(d.square() + 0.003**2)).mean()
        for w, d in zip(weight, (across, down), strict=True)
    )


def main(argv: Sequence[str] | None = None) -> Result:
    """Take the stack, recover the depth in two ways, print and draw."""
    choice = options(__doc__, argv, data='folder of the RGB-D frames')
    width, plan = (160, ((2, 40), (1, 40))) if choice.quick else (240, ((2, 40), (1, 50)))
    sensor = full_frame(width, width * 3 // 4)
    folder = depth_data(choice.data)
    if folder is None:
        radiance, depth = table_scene(sensor.intrinsics())
        known = depth.isfinite()
    else:
        radiance, depth, known = load_frame(folder, width)
    photos = take_stack(sensor, radiance, depth)
    classical = classical_depth(photos)
    found, sharp = recover(sensor, photos, plan)

    judged = torch.zeros_like(known)
    judged[EDGE:-EDGE, EDGE:-EDGE] = known[EDGE:-EDGE, EDGE:-EDGE]
    contrast = focus_measure(radiance[None])[0]
    textured = judged & (contrast > contrast[judged].median())
    rows, medians = [], []
    for name, one in (('classical: sharpest focus', classical), ('gradient', found)):
        error = (one / depth - 1.0).abs()
        middle = [float(error[mask].median()) for mask in (judged, textured)]
        within = float((error[judged] < 0.05).float().mean())
        numbers = [*middle, float(error[judged].mean()), within]
        rows.append((name, *(f'{100 * number:.2f} %' for number in numbers)))
        medians.append(middle)
    print(f'Relative error of depth from {len(FOCUS)} photographs at f/{F_NUMBER}, focused at '
          f'{", ".join(map(str, FOCUS))} m:')  # fmt: skip
    table(('', 'median', 'median where textured', 'mean', 'within 5 %'), rows)
    truth = torch.where(known, depth, torch.nan)
    drawn = None
    if not choice.quick:
        drawn = _figures.depth_from_defocus(choice.out, photos, FOCUS, sharp, {
            'True depth': truth, 'Gradient': found, 'Classical (sharpest focus)': classical,
        })  # fmt: skip
    return Result(medians[1][0], medians[1][1], medians[0][0], medians[0][1], drawn)


if __name__ == '__main__':
    run(main)
