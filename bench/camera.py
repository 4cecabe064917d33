# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The camera alone, stage by stage: everything after rendering, forward and backward.

    python bench/camera.py [--quick] [--json] [--size 640 480] [--size 1920 1080]
                           [--forms fast peer]

Each stage gets the same picture in each of its forms, in one process, one after the other:

fast      the compiled kernels, as a picture without gradients takes them
torch     our readable reference, on the same CPU, without gradients
backward  the forward pass with gradients and the backward pass to picture, depth, all settings
          and numbers of the sensor model: kernels with written adjoints where there are some
autograd  the same by the torch reference alone
peer      what there is elsewhere for this stage, named in the last column. 'reference' is the
          reference implementation's method: the sparse matrix of bench/defocus.py for defocus,
          torch.randn for noise; OpenCV's filters are yardsticks, they do less (one blur for all
          pixels; no noise, no vignetting)

Floors of the whole camera on 2 cores: as the node uses it, into bytes, 5 ms at 640x480 and 35 ms
at 1920x1080; forward and backward, 20 ms at 640x480.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
import sys
import time
from unittest.mock import patch

from _measuring import finish, machine, measure, parser, print_machine, print_table
import cv2
from defocus import sparse_torch
import numpy as np
import torch

from diffphyscam_ros.camera import (
    adjoint_path,
    CameraSettings,
    lens_adjoint,
    LENS_STAGES,
    PhysicalCamera,
    SENSOR_STAGES,
    SensorModel,
)
from diffphyscam_ros.camera.distortion import distortion_map

FLOORS = {(640, 480): 5.0, (1920, 1080): 35.0}
STEP_FLOORS = {(640, 480): 20.0}
Call = Callable[[], object]


@dataclass
class Case:
    """One row: a stage and its forms; None where there is none."""

    name: str
    fast: Call | None = None
    torch: Call | None = None
    backward: Call | None = None
    autograd: Call | None = None
    peer: Call | None = None
    peer_name: str = ''
    slow_peer: bool = False


def view_of(camera: PhysicalCamera) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a smooth picture with fine patterns, and a depth from 0.4 m to 6 m."""
    source = camera.source_intrinsics(camera.sensor.settings)
    v, u = torch.meshgrid(
        torch.linspace(0, 1, source.height), torch.linspace(0, 1, source.width), indexing='ij'
    )
    waves = 0.35 + 0.3 * torch.sin(90 * u + 20 * v) * torch.cos(70 * v)
    radiance = waves[..., None] * torch.tensor([1.0, 0.8, 0.6])
    return radiance.contiguous(), (1.0 / (1.0 / 0.4 + (1.0 / 6.0 - 1.0 / 0.4) * u)).contiguous()


KNOBS = ('aperture', 'exposure_time', 'iso', 'focal_length', 'focus_distance')
LENS_NUMBERS = (
    'distortion_coefficients', 'chromatic_scale', 'chromatic_curve', 'vignetting_gain',
    'defocus_gain', 'defocus_dead_zone', 'glare_fraction',
)  # fmt: skip
SENSOR_NUMBERS = ('quantum_efficiency', 'shot_noise_gain', 'read_noise', 'response_gains')


def gradient_of(camera: PhysicalCamera, light: torch.Tensor, depth: torch.Tensor | None) -> Call:
    """Return a forward and backward pass to picture, depth, settings and the sensor's numbers."""
    given, sensor = camera.sensor.settings, camera.sensor
    wanted = SENSOR_NUMBERS if depth is None else LENS_NUMBERS + SENSOR_NUMBERS
    absent = () if sensor.chromatic_scale != (1.0, 1.0, 1.0) else LENS_NUMBERS[1:3]
    absent += () if sensor.glare_fraction else ('glare_fraction',)
    names = [name for name in wanted if name not in absent]

    def run() -> object:
        knobs = {n: torch.tensor(float(getattr(given, n)), requires_grad=True) for n in KNOBS}
        model = {n: torch.tensor(getattr(sensor, n), requires_grad=True) for n in names}
        unknown = PhysicalCamera(replace(sensor, **model), camera.stages)
        unknown._coverage_known = True  # to warn of black corners is no part of a step
        picture, settings = light.clone().requires_grad_(), CameraSettings(**knobs)
        if depth is None:
            image = unknown.sense(picture, settings).image
        else:
            image = unknown(picture, depth.clone().requires_grad_(), settings).image
        image.sum().backward()
        return picture.grad

    return run


def by_torch(call: Call) -> Call:
    """Return a call in which gradients and batches take the torch reference."""

    def run() -> object:
        with (
            patch.object(lens_adjoint, 'serves', lambda *_: False),
            patch.object(adjoint_path, 'serves', lambda *_: False),
        ):
            return call()

    return run


def forms(name: str, camera: PhysicalCamera, light: torch.Tensor, depth: torch.Tensor) -> Case:
    """Return a stage of the lens, or the whole lens, in our forms."""
    settings = camera.sensor.settings
    step = gradient_of(camera, light, depth)
    return Case(
        name,
        lambda: camera.lens(light, depth, settings),
        by_torch(lambda: camera.lens(light[None], depth[None], settings)),
        step,
        by_torch(step),
    )


def reference_sensor(sensor: SensorModel, light: torch.Tensor) -> Call:
    """Return exposure, noise and response as the reference writes them: torch and its randn."""
    settings, three = sensor.settings, torch.tensor
    scale = float(sensor.aggregator_gain) * float(sensor.scene_illuminance)
    scale *= float(settings.exposure_time) * (sensor.pixel_size / float(settings.aperture)) ** 2
    quantum, shot = three(sensor.quantum_efficiency), three(sensor.shot_noise_gain)
    read, gains = three(sensor.read_noise), three(sensor.response_gains)

    def run() -> torch.Tensor:
        electrons = light * scale * quantum
        noisy = electrons + shot * electrons.sqrt() * torch.randn_like(electrons)
        noisy = noisy + read * torch.randn_like(electrons)
        values = (gains * noisy * float(settings.iso)).clamp(0.0, 1.0)
        return (values * 255.0 + 0.5).to(torch.uint8)

    return run


def lens_cases(sensor: SensorModel, quick: bool) -> list[Case]:
    """Return the rows of the lens."""

    def camera(*stages: str, **change: object) -> PhysicalCamera:
        return PhysicalCamera(replace(sensor, **change), stages)

    warped = camera('distortion', 'vignetting')
    light, depth = view_of(warped)
    settings = sensor.settings
    flat, far = view_of(camera('defocus'))
    cases = [forms('distortion + vignetting', warped, light, depth)]
    source, target = warped.source_intrinsics(settings), sensor.intrinsics(settings)
    positions = distortion_map(
        source, target, sensor.distortion_model, sensor.distortion_coefficients
    )
    places = positions.float().numpy()
    cases[0].peer = lambda: cv2.remap(light.numpy(), places, None, cv2.INTER_LINEAR)
    cases[0].peer_name = 'cv2.remap, colour alone'
    colours = {'chromatic_scale': (1.002, 1.0, 0.998)}
    fringed = camera('distortion', 'aberration', 'vignetting', **colours)
    cases.append(forms('  with lateral colour', fringed, *view_of(fringed)))
    cases.append(forms('vignetting alone', camera('vignetting'), flat, far))
    # The blur of this preset is small: with this gain it reaches the largest, 31 px at 640 px.
    strong = {'defocus_gain': 20.0}
    blurred = forms('defocus gaussian', camera('defocus', **strong), flat, far)
    blurred.peer_name, blurred.slow_peer = 'reference: sparse matrix, 31 px', True
    if not quick:
        blurred.peer = sparse_torch(flat.numpy(), far.numpy(), 31.0)
    cases.append(blurred)
    disk = forms('defocus disk', camera('defocus', psf='disk', **strong), flat, far)
    disk.peer = lambda: cv2.GaussianBlur(flat.numpy(), (31, 31), 5.0)
    disk.peer_name = 'cv2.GaussianBlur, 31 px everywhere'
    cases.append(disk)
    cases.append(forms('glare', camera('glare', glare_fraction=0.05), flat, far))
    return cases


def sensor_cases(sensor: SensorModel) -> list[Case]:
    """Return the rows of the sensor."""
    settings = sensor.settings
    camera = PhysicalCamera(sensor, SENSOR_STAGES)
    light, _ = view_of(camera)
    height, width = light.shape[:2]
    colour = np.empty((height, width, 3), np.uint8)

    step = gradient_of(PhysicalCamera(replace(sensor, bit_depth=0), SENSOR_STAGES), light, None)
    cases = [
        Case(
            'sensor, to floats',
            lambda: camera.sense(light, settings),
            lambda: camera.sense(light[None], settings),
            step,
            by_torch(step),
        ),
        Case(
            'sensor, to bytes',
            lambda: camera.sense_pixels(light, settings, out=colour),
            lambda: camera.sense(light[None], settings).image.mul(255).add(0.5).byte(),
            None,
            None,
            reference_sensor(sensor, light),
            'reference: torch.randn',
        ),
    ]
    quiet = PhysicalCamera(sensor, [s for s in SENSOR_STAGES if s != 'noise'])
    table = np.arange(256, dtype=np.uint8)
    cases.append(
        Case(
            '  without noise',
            lambda: quiet.sense_pixels(light, settings, out=colour),
            lambda: quiet.sense(light[None], settings).image.mul(255).add(0.5).byte(),
            None,
            None,
            lambda: cv2.LUT(cv2.convertScaleAbs(light.numpy(), alpha=255.0), table),
            'cv2.convertScaleAbs + LUT',
        )
    )
    for method in ('bilinear', 'malvar'):
        bayer = PhysicalCamera(
            replace(sensor, bayer_pattern='rggb', demosaic=method), SENSOR_STAGES
        )
        raw = bayer.sense_pixels(light, settings, encoding='bayer_rggb8').pixels[..., 0]
        peer = partial_cvt(raw) if method == 'bilinear' else None
        cases.append(
            Case(
                f'  Bayer sensor, {method}',
                lambda bayer=bayer: bayer.sense_pixels(light, settings, out=colour),
                lambda bayer=bayer: bayer.sense(light[None], settings),
                gradient_of(bayer, light, None),
                by_torch(gradient_of(bayer, light, None)),
                peer,
                'cv2.cvtColor, demosaic of bytes alone' if peer else '',
            )
        )
    return cases


def partial_cvt(raw: np.ndarray) -> Call:
    """Return OpenCV's bilinear demosaic of bytes."""
    mosaic = np.ascontiguousarray(raw)
    return lambda: cv2.cvtColor(mosaic, cv2.COLOR_BayerRGGB2RGB)


def whole_cases(sensor: SensorModel) -> list[Case]:
    """Return the rows of the whole camera."""
    settings = sensor.settings
    cases = []
    for name, model in (
        ('whole camera, to bytes', sensor),
        ('  with a Bayer mosaic', replace(sensor, bayer_pattern='rggb')),
        ('  with large blur', replace(sensor, defocus_gain=20.0)),
    ):
        camera = PhysicalCamera(model, LENS_STAGES + SENSOR_STAGES)
        light, depth = view_of(camera)
        out = np.empty((sensor.image_height, sensor.image_width, 3), np.uint8)
        cases.append(
            Case(
                name,
                lambda c=camera, i=light, d=depth, o=out: c.photograph(i, d, settings, 1, out=o),
                by_torch(lambda c=camera, i=light, d=depth: c(i[None], d[None], settings, 1)),
                gradient_of(camera, light, depth),
                by_torch(gradient_of(camera, light, depth)),
            )
        )
    return cases


FORMS = ('fast', 'torch', 'backward', 'autograd', 'peer')


def timed(case: Case, quick: bool, forms: Sequence[str]) -> dict[str, float]:
    """Return the least time of each form, ms: other programs only ever add to it."""
    result = {}
    for form, call, runs in (
        ('fast', case.fast, 20 if quick else 100),
        ('torch', case.torch, 2 if quick else 7),
        ('backward', case.backward, 20),
        ('autograd', case.autograd, 2 if quick else 5),
        ('peer', case.peer, 1 if case.slow_peer else (5 if quick else 30)),
    ):
        if call is None or form not in forms:
            continue
        with torch.inference_mode(form not in ('backward', 'autograd')):
            if form == 'backward':  # of the disk, one takes seconds
                begin = time.perf_counter()
                call()
                runs = runs if time.perf_counter() - begin < 0.5 else 2
            measured = measure(call, runs, warm_up=0 if case.slow_peer and form == 'peer' else 2)
        result[form] = float(measured['min_ms'])
        result[f'{form} median'] = float(measured['median_ms'])
    return result


def cell(times: dict[str, float], form: str) -> str:
    """Return a time, and how many times the compiled kernels' it is."""
    if form not in times:
        return '-'
    if form == 'fast' or 'fast' not in times or (form == 'autograd' and 'backward' not in times):
        return f'{times[form]:.2f}'
    against = 'backward' if form == 'autograd' else 'fast'
    return f'{times[form]:.2f} ({times[form] / times[against]:.1f}x)'


def main() -> int:
    """Print the tables."""
    options = parser(__doc__)
    options.add_argument('--size', nargs=2, type=int, action='append', metavar=('W', 'H'))
    options.add_argument('--forms', nargs='+', choices=FORMS, default=FORMS)
    arguments: argparse.Namespace = options.parse_args()
    sizes = [tuple(size) for size in arguments.size or []]
    sizes = sizes or ([(640, 480)] if arguments.quick else [(640, 480), (1920, 1080)])
    result: dict[str, object] = {'machine': machine(), 'sizes': {}}
    print_machine(result['machine'])
    for width, height in sizes:
        sensor = SensorModel.preset('generic_vga').resized(width, height)
        sparse = not arguments.quick and width <= 640
        cases = lens_cases(sensor, not sparse) + sensor_cases(sensor) + whole_cases(sensor)
        times = {
            case.name.strip(): timed(case, arguments.quick, arguments.forms) for case in cases
        }
        print(
            f'\n{width}x{height}, least time in ms (and how many times that of fast; of autograd, '
            'that of backward)'
        )
        rows = [
            [
                case.name,
                *(cell(times[case.name.strip()], form) for form in FORMS),
                case.peer_name if case.peer else '',
            ]
            for case in cases
        ]
        print_table(['stage', *FORMS, 'peer is'], rows)
        floor = FLOORS.get((width, height))
        whole = times['whole camera, to bytes'].get('fast', 0.0)
        if floor is not None and whole > 0.0:
            verdict = 'met' if whole <= floor else 'MISSED'
            print(f'whole camera: {whole:.2f} ms, floor {floor:g} ms {verdict}')
        floor = STEP_FLOORS.get((width, height))
        step = times['whole camera, to bytes'].get('backward', 0.0)
        if floor is not None and step > 0.0:
            verdict = 'met' if step <= floor else 'MISSED'
            print(f'differentiable step: {step:.2f} ms, floor {floor:g} ms {verdict}')
        result['sizes'][f'{width}x{height}'] = times
    finish(result, arguments.json)
    return 0


if __name__ == '__main__':
    sys.exit(main())
