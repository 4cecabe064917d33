# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The report for people: one HTML file that needs nothing else, on a screen and on paper."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from diffphyscam_ros.calibration.audit import Audit
from diffphyscam_ros.calibration.calibration_file import given_reason, latest, tool_version
from diffphyscam_ros.calibration.pipeline import Calibration
from diffphyscam_ros.calibration.report_data import OUTCOMES
from diffphyscam_ros.calibration.report_figures import drawings
from diffphyscam_ros.calibration.report_style import Drawing, STYLE
from diffphyscam_ros.calibration.report_text import number_with_std, unit_text, value_parts
from diffphyscam_ros.calibration.types import Estimate, StageResult
from diffphyscam_ros.camera.sensor_model import PARAMETERS

TITLES = {
    'intrinsics': 'Geometry: K and the lens distortion',
    'vignetting': 'Vignetting',
    'response': 'Response',
    'noise': 'Noise of the sensor',
    'defocus': 'Defocus',
    'colour': 'Colour',
    'joint': 'Joint refinement',
    'output': 'Darkness in finished pictures',
}

_ABOUT_SETTINGS = {
    'aperture': 'the f-number',
    'exposure_time': 'exposure time',
    'iso': '100 = 0 dB',
    'focal_length': 'focal length',
    'focus_distance': 'distance in focus',
}


def report_html(found: Calibration) -> str:
    """Return the page."""
    name = escape(found.request.name)
    sections = [
        _head(found),
        _parameters(found),
        *(_stage(result) for result in found.results),
        _pictures(found),
        _recording(found),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>Calibration of {name}</title>\n<style>{STYLE}</style></head>\n<body><main>\n'
        + '\n'.join(section for section in sections if section)
        + f'\n<footer>{escape(tool_version())}. ± is one standard deviation. The same bags and '
        'options give this same file; report.json has its numbers.</footer>\n'
        '</main></body></html>\n'
    )


def _head(found: Calibration) -> str:
    sensor, request = found.sensor, found.request
    frames = sum(bag.frames for bag in found.bags)
    bags = f'{len(found.bags)} bag{"s" * (len(found.bags) != 1)}'
    board = request.target and f', target <code>{escape(request.target.text)}</code>'
    kind = {0: 'passed', 1: 'below', 3: 'nothing'}[found.exit_code]
    words = OUTCOMES[found.exit_code]
    counts = {
        verdict: sum(item.verdict == verdict for item in latest(found.estimates).values())
        for verdict in ('estimated', 'weak', 'not estimated')
    }
    summary = (
        f'{counts["estimated"]} parameters estimated, {counts["weak"]} weak, '
        f'{counts["not estimated"]} not estimated.'
    )
    links = ''.join(
        f'<a href="#{result.stage}">{TITLES.get(result.stage, result.stage)}</a>'
        for result in found.results
    )
    return (
        f'<h1>Calibration of {escape(request.name)}</h1>\n'
        f'<p class="sub">{sensor.image_width} × {sensor.image_height} px, {frames} frames in '
        f'{bags}{board or ""}</p>\n'
        f'<nav><a href="#parameters">Parameters</a>{links}'
        '<a href="#recording">Recording</a></nav>\n'
        f'<div class="verdict {kind}"><b>{words[0].upper()}{words[1:]}</b><div>{summary}'
        f'{_list(found.below)}</div></div>\n' + _cards(found)
    )


def _list(items: Iterable[str]) -> str:
    rows = ''.join(f'<li>{escape(item)}</li>' for item in items)
    return f'<ul>{rows}</ul>' if rows else ''


def _cards(found: Calibration) -> str:
    cards: list[tuple[str, str, str]] = []
    if found.intrinsics is not None and found.intrinsics.fit is not None:
        fit = found.intrinsics.fit
        for name, (value, std) in found.intrinsics.parameters.items():
            if name in ('fx', 'fy', 'cx', 'cy'):
                text = number_with_std(value, std)
                number, _, rest = text.partition(' ± ')
                cards.append((name, number, f'± {rest} px' if rest else 'px'))
        cards.append(('reprojection error, rms', f'{fit.fit.rms:.3f}', 'px'))
        if fit.held_out == fit.held_out:
            cards.append(('in views held out', f'{fit.held_out:.3f}', 'px'))
    headed = ('defocus_gain', 'vignetting_gain', 'read_noise', 'full_well')
    for item in latest(found.estimated).values():
        parts = value_parts(item) if item.name in headed else []
        colours = ('red', 'green', 'blue') if len(parts) == 3 else ('',) * len(parts)
        for text, colour in zip(parts, colours, strict=True):
            number, _, rest = text.partition(' ± ')
            unit = '' if item.unit == '1' else unit_text(item.unit)
            note = f'± {rest} {unit}' if rest else unit
            cards.append((f'{item.name} {colour}'.strip().replace('_', ' '), number, note))
    rows = ''.join(
        f'<div class="card"><div class="what">{escape(what)}</div><div class="number">'
        f'{escape(number)} <small>{escape(note)}</small></div></div>'
        for what, number, note in cards
    )
    return f'<div class="cards">{rows}</div>' if rows else ''


def _chip(verdict: str) -> str:
    return f'<span class="chip {verdict.split()[0]}">{escape(verdict)}</span>'


def _about(name: str) -> str:
    return PARAMETERS[name].about if name in PARAMETERS else _ABOUT_SETTINGS.get(name, '')


def _value_cell(item: Estimate) -> str:
    lines = []
    for text in value_parts(item):
        number, sign, std = text.partition(' ± ')
        rest = f' <span class="std">± {escape(std)}</span>' if sign else ''
        lines.append(escape(number) + rest)
    unit = (
        '' if item.unit in ('', '1') or item.value is None else f' {escape(unit_text(item.unit))}'
    )
    return '<br>'.join(line + unit for line in lines)


def _rows(items: Sequence[Estimate]) -> str:
    rows = []
    before = ''
    for item in (item for item in items if item.value is not None):
        # What holds for several parameters in a row is said once.
        reason = 'As above.' if item.reason == before else _sentence(item.reason)
        before = item.reason
        rows.append(
            f'<tr><td class="name">{escape(item.name)}<div class="about">'
            f'{escape(_about(item.name))}</div></td><td class="value">{_value_cell(item)}</td>'
            f'<td class="verdict-cell">{_chip(item.verdict)}</td>'
            f'<td class="why">{escape(reason)}</td></tr>'
        )
    refused: dict[str, list[str]] = {}
    for item in items:
        if item.value is None:
            refused.setdefault(item.reason, []).append(item.name)
    for reason, names in refused.items():
        rows.append(
            f'<tr><td class="name" colspan="2">{escape(", ".join(names))}</td>'
            f'<td class="verdict-cell">{_chip("not estimated")}</td>'
            f'<td class="why">{escape(_sentence(reason))}</td></tr>'
        )
    return ''.join(rows)


def _sentence(text: str) -> str:
    """Return a text with a capital and a full stop; names of parameters stay as they are."""
    first = text.split(maxsplit=1)[0] if text else ''
    name = '_' in first or any(letter.isdigit() for letter in first)
    start = text if name else text[:1].upper() + text[1:]
    return start + ('' if text.endswith('.') else '.')


def _parameters(found: Calibration) -> str:
    held = latest(found.estimates)
    rest = [name for name in PARAMETERS if name not in held]
    given = ', '.join(f'<code>{name}</code>' for name in rest)
    return (
        '<h2 id="parameters">Parameters</h2>\n<div class="scroll"><table class="stack"><thead><tr>'
        '<th>Parameter</th><th>Value ± 1 std</th><th>Verdict</th><th>Why</th></tr></thead>'
        f'<tbody>{_rows(list(held.values()))}</tbody></table></div>\n'
        f'<details><summary>{len(rest)} parameters are not part of this calibration</summary>'
        f'<p>{_chip("given")} {escape(_sentence(given_reason(found.base)))}</p><p>{given}</p>'
        '</details>'
    )


def _figures(items: Sequence[Drawing]) -> str:
    rows = ''.join(
        f'<figure{" class=wide" if item.wide else ""}>{item.svg}'
        f'<figcaption>{escape(item.caption)}</figcaption></figure>'
        for item in items
    )
    return f'<div class="figures">{rows}</div>' if rows else ''


def _messages(items: Sequence[str]) -> str:
    rows = ''.join(f'<li>{escape(_sentence(item))}</li>' for item in items)
    return f'<ul class="messages">{rows}</ul>' if rows else ''


def _stage(result: StageResult) -> str:
    verdicts = {item.verdict for item in result.estimates}
    verdict = next((v for v in ('estimated', 'weak') if v in verdicts), 'not estimated')
    verdict = result.plots.get('verdict', verdict)  # of the joint refinement
    return (
        f'<h2 id="{result.stage}">{escape(TITLES.get(result.stage, result.stage))} '
        f'{_chip(verdict)}</h2>\n{_messages(result.messages)}{_figures(drawings(result))}{_moves(result)}'
    )


def _moves(result: StageResult) -> str:
    """Return the table of what the joint refinement moved."""
    moves = result.plots.get('moves', [])
    rows = ''.join(
        f'<tr><td class="name">{escape(row["name"])}</td>'
        f'<td class="value">{number_with_std(row["staged"], row["staged_std"])}</td>'
        f'<td class="value">{number_with_std(row["refined"], row["std"])}</td>'
        f'<td class="number">{_sigmas(row["sigmas"])}</td></tr>'
        for row in moves
    )
    if not rows:
        return ''
    head = '<th>Free to move</th><th>Staged</th><th>Refined</th>'
    return (
        f'<div class="scroll"><table><thead><tr>{head}<th class="number">Move, in staged std</th>'
        f'</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _sigmas(value: float | None) -> str:
    return '–' if value is None else f'{value:+.2f}'


def _pictures(found: Calibration) -> str:
    if not found.pictures:
        return ''
    rows = []
    for picture in found.pictures:
        images = ''.join(
            f'<figure class="pixels"><img alt="{escape(label)}" src="data:image/png;base64,'
            f'{picture[key]}"><figcaption>{escape(label)}</figcaption></figure>'
            for key, label in picture['labels'].items()
        )
        rows.append(
            f'<h3>{escape(picture["name"])}</h3><p>{escape(picture["caption"])}</p>'
            f'<div class="figures">{images}</div>'
        )
    return '<h2 id="pictures">Recorded against made pictures</h2>\n' + ''.join(rows)


def _recording(found: Calibration) -> str:
    bags = ''.join(
        f'<tr><td class="name">{escape(bag.name)}</td><td class="number">{bag.frames}</td>'
        f'<td>{escape(_roles(found.audit, bag.name))}</td>'
        f'<td class="mono">{bag.sha256[:16]}…</td></tr>'
        for bag in found.bags
    )
    able = ''.join(
        f'<tr><td class="name">{escape(item.group)}</td>'
        f'<td class="verdict-cell">{_chip(item.verdict)}</td>'
        f'<td class="why">{escape(" ".join(map(_sentence, filter(None, why))))}</td></tr>'
        for item in found.audit.abilities
        for why in [(item.reason, item.remedy)]
    )
    audited = found.audit
    facts = (
        ('size and encoding', f'{audited.size[0]} × {audited.size[1]} px, {audited.encoding}'),
        ('frames', f'{audited.frames}, {audited.rate:.3g} Hz, {audited.duration:.3g} s'),
        ('settings from', ', '.join(audited.settings_sources) or 'nowhere'),
        ('automatic exposure or gain', ': '.join(filter(None, audited.automatic))),
        ('saturated frames', f'{audited.exposure.saturated} of {audited.looked_at}'),
        ('camera_info', audited.camera_info_verdict),
    )
    table = ''.join(
        f'<tr><td class="name">{escape(name)}</td><td>{escape(text)}</td></tr>'
        for name, text in facts
    )
    return (
        '<h2 id="recording">The recording</h2>\n<div class="scroll"><table><thead><tr>'
        '<th>Bag</th><th class="number">Frames</th><th>Filmed for</th><th>SHA-256</th></tr>'
        f'</thead><tbody>{bags}</tbody></table></div>\n{_messages(found.messages)}'
        f'<h3>What was found in it</h3><table><tbody>{table}</tbody></table>\n'
        '<h3>What it allows</h3><div class="scroll"><table class="stack"><thead><tr>'
        '<th>Parameters</th><th>Possible</th><th>Why, and what to film</th></tr></thead>'
        f'<tbody>{able}</tbody>'
        '</table></div>\n<details><summary>The whole audit</summary><pre class="mono scroll">'
        f'{escape(audited.text())}</pre></details>'
    )


def _roles(audited: Audit, name: str) -> str:
    bag = next(item for item in audited.bags if item.name == name)
    parts = [f'{role or "nothing known"} ({count})' for role, count in bag.roles.items() if count]
    return ', '.join(parts) + (' – as given' if bag.role_given else '')
