# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Wavefront MTL: paint descriptions that come with an OBJ file, as metallic-roughness materials.

The format knows no colour space; its colours are what modelling tools show on screen, hence
sRGB here. ``Ns`` becomes a roughness by matching the width of the Blinn-Phong lobe with that of
GGX: alpha² = 2 / (Ns + 2) and alpha = roughness². The PBR keys ``Pr``, ``Pm``, ``map_Pr``,
``map_Pm`` and ``norm`` (Exocortex) win over it. ``d`` (or 1 − ``Tr``) and ``map_d`` are alpha: a
picture of little but 0 and 1 cuts, others blend. Bump maps are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
import warnings

import torch
import torch.nn.functional as functional

from diffphyscam_ros.scene.colors import linear_from_srgb_color
from diffphyscam_ros.scene.errors import SceneWarning
from diffphyscam_ros.scene.images import TextureLoader
from diffphyscam_ros.scene.types import AlphaMode, Material, Texture

_OPTION_ARGUMENTS = {
    '-blendu': 1, '-blendv': 1, '-boost': 1, '-bm': 1, '-cc': 1, '-clamp': 1, '-imfchan': 1,
    '-mm': 2, '-texres': 1, '-type': 1, '-o': 3, '-s': 3, '-t': 3, '-colorspace': 1,
}  # fmt: skip
_COLORS = ('kd', 'ks', 'ke')
_NUMBERS = ('ns', 'pr', 'pm', 'd', 'tr')
_MAPS = ('map_kd', 'map_ke', 'map_d', 'map_pr', 'map_pm', 'norm', 'map_norm')
_COLOR_MAPS = ('map_kd', 'map_ke')


@dataclass
class _Entry:
    """The statements of one ``newmtl``."""

    colors: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    maps: dict[str, str] = field(default_factory=dict)


def parse_mtl(text: str, folder: Path, textures: TextureLoader) -> dict[str, Material]:
    """Return the materials by name.

    :param text: the file's contents.
    :param folder: where the file lies: its texture paths are relative to it.
    """
    entries: dict[str, _Entry] = {}
    entry = _Entry()
    for number, line in enumerate(text.splitlines(), start=1):
        keyword, _, rest = line.strip().partition(' ')
        keyword, rest = keyword.lower(), rest.strip()
        if not rest or keyword.startswith('#'):
            continue
        try:
            if keyword == 'newmtl':
                entry = entries.setdefault(rest, _Entry())
            elif keyword in _COLORS:
                entry.colors[keyword] = _color(rest.split())
            elif keyword in _NUMBERS:
                entry.numbers[keyword] = float(rest.removeprefix('-halo').split()[0])
            elif keyword in _MAPS:
                entry.maps[keyword] = _map_path(rest)
        except ValueError as error:
            warnings.warn(
                f'material file in {folder}, line {number}: {line.strip()!r} '
                f'is left out ({error})',
                SceneWarning,
                stacklevel=2,
            )
    return {name: _material(item, folder, textures) for name, item in entries.items()}


def _color(words: list[str]) -> tuple[float, float, float]:
    """Return a colour; one number stands for a grey."""
    values = [float(word) for word in words[:3]]
    if len(values) == 1:
        values *= 3
    red, green, blue = values
    return red, green, blue


def _map_path(text: str) -> str:
    """Return the file name of a map statement, its options left out; the name may hold spaces."""
    words = text.split()
    index = 0
    while index < len(words) and words[index].lower() in _OPTION_ARGUMENTS:
        option = words[index].lower()
        index += 1
        for _ in range(_OPTION_ARGUMENTS[option]):
            # -o, -s and -t take one to three numbers.
            if option in ('-o', '-s', '-t') and not _is_number(words[index : index + 1]):
                break
            index += 1
    if index >= len(words):
        raise ValueError('no file name')
    return text.split(None, index)[index].replace('\\', '/')


def _is_number(words: list[str]) -> bool:
    try:
        float(words[0])
    except (IndexError, ValueError):
        return False
    return True


def _clamp(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _material(entry: _Entry, folder: Path, textures: TextureLoader) -> Material:
    """Translate one entry; a colour that is not stated is white, a shine not stated is none."""
    maps = {
        key: textures.file(folder / path, srgb=key in _COLOR_MAPS, alpha=key == 'map_d')
        for key, path in entry.maps.items()
    }
    paint = entry.colors.get('kd', (1.0, 1.0, 1.0))
    if maps.get('map_kd') is not None and not any(paint):
        paint = (1.0, 1.0, 1.0)  # exporters write Kd 0 beside a map and mean the map
    glow, glow_map = entry.colors.get('ke'), maps.get('map_ke')
    if glow_map is not None and not any(glow or ()):
        glow = (1.0, 1.0, 1.0)
    alpha = _clamp(entry.numbers.get('d', 1.0 - entry.numbers.get('tr', 0.0)))
    texture, mode = _with_alpha(maps.get('map_kd'), maps.get('map_d'), alpha)
    shine = entry.numbers.get('ns')
    roughness = 1.0
    if 'pr' in entry.numbers:
        roughness = _clamp(entry.numbers['pr'])
    elif shine is not None and any(entry.colors.get('ks', (1.0,))):
        roughness = (2.0 / (max(shine, 0.0) + 2.0)) ** 0.25
    metallic = _clamp(entry.numbers.get('pm', 0.0))
    rough_map, metal_map = maps.get('map_pr'), maps.get('map_pm')
    if rough_map is not None and 'pr' not in entry.numbers:
        roughness = 1.0
    if metal_map is not None and 'pm' not in entry.numbers:
        metallic = 1.0
    return Material(
        base_color=linear_from_srgb_color(tuple(_clamp(value) for value in paint)),
        metallic=metallic,
        roughness=roughness,
        emissive=linear_from_srgb_color(glow or (0.0, 0.0, 0.0)),
        base_color_texture=texture,
        metallic_roughness_texture=_combine(rough_map, metal_map),
        normal_texture=maps.get('norm') or maps.get('map_norm'),
        emissive_texture=glow_map,
        alpha=alpha,
        alpha_mode=mode,
    )


def _with_alpha(
    color: Texture | None, matte: Texture | None, alpha: float
) -> tuple[Texture | None, AlphaMode]:
    """Return a colour texture with a matte as its alpha, and how that is to be used.

    The matte is the alpha of its file where that has one, else its grey.
    """
    if matte is None:
        return color, 'opaque' if alpha == 1.0 else 'blend'
    share = matte.image[..., 3] if matte.image.shape[-1] == 4 else matte.image[..., 0]
    between = float(((share > 0.05) & (share < 0.95)).float().mean())
    mode: AlphaMode = 'mask' if alpha == 1.0 and between < 0.1 else 'blend'
    if color is None:
        rgb = torch.ones(*share.shape, 3)
    else:
        rgb = color.image[..., :3]
        share = _resized(share, rgb.shape[:2])
    return Texture(torch.cat([rgb, share[..., None]], dim=-1).contiguous()), mode


def _resized(grey: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Return a grey picture (H, W) at another size, bilinear."""
    if grey.shape == size:
        return grey
    return functional.interpolate(grey[None, None], size=tuple(size), mode='bilinear')[0, 0]


def _combine(roughness: Texture | None, metallic: Texture | None) -> Texture | None:
    """Put two grey pictures into the green and blue channel of one, as glTF has them."""
    present = roughness or metallic
    if present is None:
        return None
    size = present.image.shape[:2]
    channels = []
    for texture in (roughness, metallic):
        if texture is None:
            channels.append(torch.ones(size))
            continue
        channels.append(_resized(texture.image[..., 0], size))
    return Texture(torch.stack([torch.ones(size), *channels], dim=-1).contiguous())
