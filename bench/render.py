# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The renderer beside others, on the same scene, in the same run, in turns.

    python bench/render.py [--quick] [--json] [--size 640 480] [--picture FILE]

Rendering only: colour and depth of 25 balls on a floor under a sun, a lamp and an even sky. Peers:

mujoco    OpenGL in software (Mesa's llvmpipe through EGL, or OSMesa): MUJOCO_GL=egl needs Debian's
          libegl1 and libgl1-mesa-dri; its own lighting model, without textures. With a graphics
          card it draws on that.
pyrender  the same software OpenGL, metallic-roughness shading, no environment but an even one:
          pip install --no-deps pyrender 'pyglet<2' freetype-py networkx imageio six (it asks
          for an old PyOpenGL, and works with that of MuJoCo).
mitsuba   Mitsuba 3, llvm_ad_rgb, direct light, one sample a pixel (pip install mitsuba; needs
          Debian's libllvm).

A peer that is missing is named with the reason. --picture writes all pictures side by side.
"""

from __future__ import annotations

from collections.abc import Callable
import itertools
import os
from pathlib import Path
import sys
import time
from typing import Any

os.environ.setdefault('MUJOCO_GL', 'egl')

from _measuring import finish, machine, parser, print_machine, print_table
import numpy as np
import torch

from diffphyscam_ros.camera.intrinsics import Intrinsics
from diffphyscam_ros.cli.bench import bench_scene
from diffphyscam_ros.render import Renderer
from diffphyscam_ros.scene import Scene
from diffphyscam_ros.scene.transforms import look_at
from diffphyscam_ros.scene.types import DirectionalLight, Environment, PointLight

SIZES = (10_000, 100_000, 1_000_000)
EYE, AIM, FOV = (0.0, 0.0, 0.6), (3.0, 0.0, 0.0), 1.1
Draw = Callable[[], np.ndarray]
"""Draws once and returns the picture (H, W, 3) uint8."""


def shown(color: np.ndarray) -> np.ndarray:
    """Return linear radiance as a picture."""
    return (np.clip(color, 0.0, 1.0) ** (1.0 / 2.2) * 255.0).astype(np.uint8)


def ours(scene: Scene, view: Intrinsics, **switches: bool) -> Draw:
    """Return our renderer."""
    renderer = Renderer('cpu', **switches)
    # Of a camera that stands still, shadows would be looked for once.
    beside = np.add((EYE, AIM), (0.0, 1e-3, 0.0)).tolist()
    poses = itertools.cycle((look_at(EYE, AIM), look_at(*beside)))
    return lambda: renderer(scene, view, next(poses)).color.numpy()


def mujoco(scene: Scene, view: Intrinsics, shadows: bool) -> Draw:
    """Return MuJoCo's renderer with the same meshes, places, lights and view."""
    import mujoco as mj

    spec = mj.MjSpec()
    spec.visual.global_.offwidth, spec.visual.global_.offheight = view.width, view.height
    spec.visual.quality.shadowsize = 2048
    names: dict[int, str] = {}
    flat = {id(i.mesh) for i in scene.instances if float(i.mesh.vertices[:, 2].abs().max()) == 0.0}
    for item in scene.instances:
        if id(item.mesh) not in names and id(item.mesh) not in flat:
            names[id(item.mesh)] = f'mesh{len(names)}'
            spec.add_mesh(
                name=names[id(item.mesh)],
                uservert=item.mesh.vertices.numpy().reshape(-1).tolist(),
                userface=item.mesh.faces.numpy().reshape(-1).tolist(),
                inertia=mj.mjtMeshInertia.mjMESH_INERTIA_SHELL,
            )
    for item in scene.instances:
        body = spec.worldbody.add_body(pos=item.pose[:3, 3].tolist())
        color = [float(value) for value in torch.as_tensor(item.material.base_color)]
        if id(item.mesh) in flat:  # MuJoCo's meshes have a volume
            half = item.mesh.vertices.amax(0).tolist()
            kind = {'type': mj.mjtGeom.mjGEOM_PLANE, 'size': [half[0], half[1], 0.1]}
        else:
            kind = {'type': mj.mjtGeom.mjGEOM_MESH, 'meshname': names[id(item.mesh)]}
        body.add_geom(rgba=[*color, 1.0], contype=0, conaffinity=0, **kind)
    for light in scene.lights:
        sun = isinstance(light, DirectionalLight)
        spec.worldbody.add_light(
            pos=(0.0, 0.0, 4.0) if sun else list(light.position),
            dir=list(light.direction) if sun else (0.0, 0.0, -1.0),
            type=mj.mjtLightType.mjLIGHT_DIRECTIONAL if sun else mj.mjtLightType.mjLIGHT_POINT,
            castshadow=shadows,
        )
    forward = np.subtract(AIM, EYE) / np.linalg.norm(np.subtract(AIM, EYE))
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    eye = spec.worldbody.add_camera(
        name='eye',
        pos=EYE,
        fovy=float(np.degrees(2.0 * np.arctan(view.height / 2.0 / float(view.fy)))),
    )
    eye.alt.type = mj.mjtOrientation.mjORIENTATION_XYAXES
    eye.alt.xyaxes = [*right, *np.cross(right, forward)]
    model = spec.compile()
    data = mj.MjData(model)
    mj.mj_forward(model, data)
    renderer = mj.Renderer(model, view.height, view.width)
    renderer.scene.flags[mj.mjtRndFlag.mjRND_SHADOW] = shadows

    def draw() -> np.ndarray:
        renderer.update_scene(data, camera='eye')
        picture: np.ndarray = renderer.render()
        return picture

    return draw


def pyrender(scene: Scene, view: Intrinsics, shadows: bool) -> Draw:
    """Return pyrender's OpenGL with the same meshes, materials, lights and view."""
    os.environ.setdefault('PYOPENGL_PLATFORM', os.environ['MUJOCO_GL'])
    if not hasattr(np, 'infty'):  # its last version, 0.1.45, is older than NumPy 2
        np.infty = np.inf  # type: ignore[attr-defined]
    import pyrender as pr
    import trimesh

    even = scene.environment.image[0, 0].tolist() if scene.environment else [0.0] * 3
    world = pr.Scene(bg_color=even, ambient_light=even)
    meshes: dict[tuple[int, tuple[float, ...]], Any] = {}
    for item in scene.instances:
        color = tuple(float(value) for value in torch.as_tensor(item.material.base_color))
        key = id(item.mesh), color
        if key not in meshes:
            shape = trimesh.Trimesh(
                item.mesh.vertices.numpy(), item.mesh.faces.numpy(), process=False
            )
            material = pr.MetallicRoughnessMaterial(
                baseColorFactor=(*color, 1.0),
                metallicFactor=float(item.material.metallic),
                roughnessFactor=float(item.material.roughness),
            )
            meshes[key] = pr.Mesh.from_trimesh(shape, material)
        world.add(meshes[key], pose=item.pose.double().numpy())
    for light in scene.lights:
        if isinstance(light, DirectionalLight):
            # Its lights shine along −z of their pose.
            place = look_at((0.0, 0.0, 4.0), np.add((0.0, 0.0, 4.0), light.direction).tolist())
            made = pr.DirectionalLight(intensity=float(np.mean(light.irradiance)))
        else:
            place = torch.eye(4)
            place[:3, 3] = torch.as_tensor(light.position)
            made = pr.PointLight(intensity=float(np.mean(light.intensity)))
        world.add(made, pose=place.double().numpy() @ np.diag([1.0, -1.0, -1.0, 1.0]))
    camera = pr.IntrinsicsCamera(
        float(view.fx), float(view.fy), float(view.cx) + 0.5, float(view.cy) + 0.5
    )
    world.add(camera, pose=look_at(EYE, AIM).double().numpy() @ np.diag([1.0, -1.0, -1.0, 1.0]))
    renderer = pr.OffscreenRenderer(view.width, view.height)
    flags = pr.RenderFlags.SHADOWS_DIRECTIONAL if shadows else pr.RenderFlags.NONE

    def draw() -> np.ndarray:
        picture: np.ndarray = renderer.render(world, flags=flags)[0]
        return picture

    return draw


def mitsuba(scene: Scene, view: Intrinsics) -> Draw:
    """Return Mitsuba's direct light, one sample a pixel."""
    from _mitsuba_scene import build
    import drjit as dr
    import mitsuba as mi

    if dr.detail.llvm_version()[0] < 16:  # it would end the process
        raise RuntimeError(
            f'LLVM {dr.detail.llvm_version()[0]} fails on environments: set DRJIT_LIBLLVM_PATH to '
            'the libLLVM.so of version 16 or newer (Debian: libllvm19)'
        )
    world = build(scene)
    to_world = look_at(EYE, AIM).numpy() @ np.diag([-1.0, -1.0, 1.0, 1.0])
    sensor = mi.load_dict(
        {
            'type': 'perspective',
            'fov': float(np.degrees(2.0 * np.arctan(view.width / 2.0 / float(view.fx)))),
            'to_world': mi.ScalarTransform4f(to_world),
            'film': {'type': 'hdrfilm', 'width': view.width, 'height': view.height,
                     'rfilter': {'type': 'box'}, 'pixel_format': 'rgb'},
            'sampler': {'type': 'independent', 'sample_count': 1},
        }
    )  # fmt: skip
    integrator = mi.load_dict({'type': 'direct'})
    return lambda: np.array(mi.render(world, sensor=sensor, integrator=integrator, spp=1))


def contenders(scene: Scene, view: Intrinsics, missing: dict[str, str]) -> dict[str, Draw]:
    """Return all that can draw here; the others are put into ``missing`` with the reason."""
    made: dict[str, Draw] = {
        'ours': ours(scene, view, shadows=False),
        'ours, shadows': ours(scene, view, shadows=True),
        'ours, shadows, smooth': ours(scene, view, shadows=True, antialias=True),
    }
    peers: dict[str, Callable[[], Draw]] = {
        'mujoco': lambda: mujoco(scene, view, False),
        'mujoco, shadows': lambda: mujoco(scene, view, True),
        'pyrender': lambda: pyrender(scene, view, False),
        "pyrender, sun's shadows": lambda: pyrender(scene, view, True),
        'mitsuba, 1 sample': lambda: mitsuba(scene, view),
    }
    for name, make in peers.items():
        if name in missing:
            continue
        try:
            draw = make()
            draw()
            made[name] = draw
        except Exception as error:  # whatever a driver or an import may say
            missing[name] = reason(error)
    return made


def reason(error: Exception) -> str:
    """Return in a line why a peer cannot draw."""
    return f'{type(error).__name__}: {(str(error).splitlines() or [""])[0][:160]}'


def in_turns(made: dict[str, Draw], runs: int, missing: dict[str, str]) -> dict[str, float]:
    """Return the least time of each, ms; what fails in between is left out and ``missing``."""
    least = dict.fromkeys(made, float('inf'))
    for turn in range(runs + 2):
        for name in list(least):
            try:
                for _ in range(3):  # the first pays for the caches that the one before has filled
                    start = time.perf_counter()
                    made[name]()
                    if turn > 1:
                        least[name] = min(least[name], 1e3 * (time.perf_counter() - start))
            except Exception as error:  # two OpenGL contexts of one process may not get on
                del least[name], made[name]
                missing[name] = reason(error)
    return least


def main() -> int:
    """Measure and print."""
    options = parser(__doc__ or '')
    options.add_argument('--size', nargs=2, type=int, default=(640, 480), metavar=('W', 'H'))
    options.add_argument('--picture', type=Path, default=None)
    chosen = options.parse_args()
    view = Intrinsics.from_fov(*chosen.size, FOV)
    described = machine()
    print_machine(described)
    missing: dict[str, str] = {}
    results: dict[str, Any] = {}
    rows = []
    alive = []  # pyrender's end would end the display that MuJoCo draws on
    for triangles in SIZES[:1] if chosen.quick else SIZES:
        scene = bench_scene(triangles)
        sky = Environment(torch.tensor([[[0.3, 0.36, 0.48]]]))
        scene = Scene(scene.instances, scene.lights, sky)
        assert all(isinstance(light, DirectionalLight | PointLight) for light in scene.lights)
        made = contenders(scene, view, missing)
        alive.append(dict(made))
        least = in_turns(made, 5 if chosen.quick else 12, missing)
        results[str(triangles)] = least
        for name, value in least.items():
            rows.append((f'{triangles:,}', name, f'{value:.1f}', f'{value / least["ours"]:.1f}'))
        if chosen.picture is not None and triangles == SIZES[0]:
            import cv2

            pictures = [draw() for draw in made.values()]
            pictures = [p if p.dtype == np.uint8 else shown(p) for p in pictures]
            cv2.imwrite(str(chosen.picture), np.hstack(pictures)[..., ::-1])
    print_table(('triangles', 'renderer', 'least, ms', 'times ours'), rows)
    for name, why in missing.items():
        print(f'{name} is missing here: {why}', file=sys.stderr)
    finish({'machine': described, 'least_ms': results, 'missing': missing}, chosen.json)
    return 0


if __name__ == '__main__':
    sys.exit(main())
