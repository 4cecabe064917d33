# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""An audit as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import math
import textwrap

from diffphyscam_ros.calibration.audit import Audit, CLIPPED
from diffphyscam_ros.calibration.audit_checks import Ability
from diffphyscam_ros.calibration.audit_summaries import Coverage

_NAMED = 8
_VERDICTS = {'yes': 'yes ', 'weak': 'weak', 'no': 'no  '}


def audit_text(found: Audit, width: int = 99) -> str:
    """Return the whole audit, lines of at most ``width`` characters where words allow it."""
    blocks = (
        ('Bags', _bags(found)),
        ('Topics', (f'{name}  {kind}  {count}' for name, kind, count in found.topics)),
        ('Pictures', _pictures(found)),
        ('Settings', _settings(found)),
        ('Can be estimated', _abilities(found.abilities)),
        ('To know', found.messages),
    )
    lines: list[str] = []
    for title, content in blocks:
        text = [line for item in content for line in _wrapped(item, width)]
        if text:
            lines += ([''] if lines else []) + [title, *text]
    return '\n'.join(lines)


def _wrapped(text: str, width: int) -> list[str]:
    """Break a line; its continuation stands under the text after the first wide gap."""
    place = text.rfind('   ', 0, width // 2)
    hang = ' ' * (place + 3 if place >= 0 else 4)
    return textwrap.wrap(
        text,
        width,
        initial_indent='  ',
        subsequent_indent='  ' + hang,
        break_on_hyphens=False,
        drop_whitespace=True,
        replace_whitespace=False,
    ) or ['']


def _row(name: str, text: str) -> str:
    return f'{name:<16}   {text}'


def _numbers(indices: Sequence[int]) -> str:
    rest = len(indices) - _NAMED
    return ', '.join(map(str, indices[:_NAMED])) + (f' and {rest} more' if rest > 0 else '')


def _roles(roles: dict[str, int]) -> str:
    return ', '.join(f'{count} {role or "without a role"}' for role, count in roles.items())


def _bags(found: Audit) -> Iterable[str]:
    for bag in found.bags:
        how = 'given' if bag.role_given else 'recognised'
        yield f'{bag.name}: {bag.frames} frames of {bag.topic}; {how}: {_roles(bag.roles)}'


def _pictures(found: Audit) -> Iterable[str]:
    kind = found.encoding + (f' with {found.bit_depth} bits' if found.bit_depth else '')
    size = f'{found.size[0]}x{found.size[1]} {kind}' + (', through JPEG' if found.lossy else '')
    yield _row('frames', f'{found.frames}, {found.looked_at} looked at, {size}')
    gaps = f', {found.gaps} gaps' if found.gaps else ''
    yield _row('rate', f'{found.rate:.3g} Hz over {found.duration:.3g} s{gaps}')
    yield _row('roles', _roles(found.roles))
    if found.boards is None:
        yield _row('boards', 'not looked for: no target was given')
    else:
        yield _row('boards', f'found in {found.boards[0]} of {found.boards[1]} frames')
    low, middle, high = found.exposure.levels
    yield _row('mean level', f'{low:.3f} to {high:.3f} of full scale, median {middle:.3f}')
    for name, frames, share in (
        ('saturated', found.exposure.saturated, found.exposure.saturated_share),
        ('black', found.exposure.black, found.exposure.black_share),
    ):
        text = f'{frames} frames with more than {CLIPPED:.0%} of their pixels, {share:.2%} of all'
        yield _row(name, text)
    if found.blur is None:
        yield _row('sharpness', 'no frame has clear edges')
    else:
        blur = found.blur
        yield _row('sharpness', f'sigma {blur.best:.1f} px at best, {blur.typical:.1f} px typical')
        if blur.blurred:
            yield _row('blurred', f'{len(blur.blurred)} frames: {_numbers(blur.blurred)}')
        if blur.moved:
            yield _row('moved', f'{len(blur.moved)} frames: {_numbers(blur.moved)}')
    yield _row('camera_info', found.camera_info_verdict)


def _settings(found: Audit) -> Iterable[str]:
    yield _row('from', ', '.join(found.settings_sources) or 'nowhere: no source is in the bags')
    for item in found.coverage:
        yield _row(item.name.replace('_', ' '), _coverage(item))
    yield _row('auto exposure', f'{found.automatic[0]}: {found.automatic[1]}')
    yield _row('settling', f'{found.settling} frames')


def _coverage(item: Coverage) -> str:
    if not item.values:
        return 'not known'
    scale, unit = {
        'exposure_time': (1e6, ' us'),
        'focus_distance': (1.0, ' m'),
        'focal_length': (1e3, ' mm'),
        'aperture': (1.0, ''),
    }.get(item.name, (1.0, ''))
    prefix = 'f/' if item.name == 'aperture' else ''

    def words(value: float) -> str:
        return 'infinity' if math.isinf(value) else f'{prefix}{value * scale:.4g}{unit}'

    low, high = item.values[0], item.values[-1]
    values = words(low)
    if len(item.values) > 1:
        values = f'{len(item.values)} values, {words(low)} to {words(high)}'
    known = '' if item.share == 1 else f', known of {item.share:.0%} of the frames'
    return values + known


def _abilities(items: Sequence[Ability]) -> Iterable[str]:
    for item in items:
        remedy = f': {item.remedy}' if item.remedy else ''
        yield f'{_VERDICTS[item.verdict]}  {item.group:<22}   {item.reason}{remedy}'
