# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""How the report looks: colours, style sheet, and figures as SVG inside the page."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
from dataclasses import dataclass
import io
import re
from typing import Any

INK, GREY, FAINT = '#1d2733', '#6b7684', '#dfe4ea'
BLUE, ORANGE, GREEN, RED, PURPLE = '#2b6cb0', '#d9730d', '#2f855a', '#c53030', '#6b46c1'
CHANNELS = {'red': RED, 'green': GREEN, 'blue': BLUE, 'grey': INK}
"""Colours of the channels."""

_LOOK: dict[Any, Any] = {
    'axes.edgecolor': GREY,
    'axes.axisbelow': True,
    'axes.grid': True,
    'axes.labelcolor': INK,
    'axes.labelsize': 8.5,
    'axes.linewidth': 0.7,
    'axes.prop_cycle': "cycler('color', ['#2b6cb0', '#d9730d', '#2f855a', '#6b46c1', '#c53030'])",
    'axes.spines.right': False,
    'axes.spines.top': False,
    'axes.titlelocation': 'left',
    'axes.titlesize': 9.5,
    'axes.titleweight': 'bold',
    'font.family': 'DejaVu Sans',
    'font.size': 8.5,
    'grid.color': '#e8ecf0',
    'grid.linewidth': 0.7,
    'legend.fontsize': 8,
    'legend.frameon': False,
    'lines.linewidth': 1.6,
    'svg.fonttype': 'path',
    'svg.hashsalt': 'diffphyscam_ros',  # the same ids, and so the same file, every time
    'text.color': INK,
    'xtick.color': GREY,
    'xtick.labelcolor': INK,
    'xtick.labelsize': 8,
    'ytick.color': GREY,
    'ytick.labelcolor': INK,
    'ytick.labelsize': 8,
}


@dataclass(frozen=True)
class Drawing:
    """A figure of the report.

    :param svg: the whole element.
    :param caption: what one sees in it, for people.
    """

    svg: str
    caption: str
    wide: bool = False


@contextlib.contextmanager
def figure(width: float, height: float, **subplots: Any) -> Iterator[tuple[Any, Any, list[str]]]:
    """Yield a figure, its axes, and a list that holds its SVG afterwards.

    :param width: inches, and ``height``.
    """
    import matplotlib
    from matplotlib.figure import Figure

    made: list[str] = []
    with matplotlib.rc_context(_LOOK):
        drawing = Figure(figsize=(width, height), layout='constrained')
        axes = drawing.subplots(**subplots)
        yield drawing, axes, made
        buffer = io.StringIO()
        drawing.savefig(buffer, format='svg', dpi=140, metadata={'Date': None, 'Creator': None})
    text = buffer.getvalue()
    text = text[text.index('<svg') :]
    # Ids must not meet those of other figures in the page.
    salt = f'f{abs(hash_of(text)):x}'
    text = re.sub(r'id="([^"]+)"', rf'id="{salt}-\1"', text)
    text = re.sub(r'url\(#([^)]+)\)', rf'url(#{salt}-\1)', text)
    text = re.sub(r'xlink:href="#([^"]+)"', rf'xlink:href="#{salt}-\1"', text)
    made.append(re.sub(r'<svg ([^>]*?)width="[^"]+" height="[^"]+"', r'<svg \1', text, count=1))


def hash_of(text: str) -> int:
    """Return a short number made from a text, the same in every run."""
    import zlib

    return zlib.crc32(text.encode())


STYLE = """
:root { color-scheme: light dark;
  --ink: #1d2733; --soft: #5b6675; --line: #e2e7ec; --paper: #ffffff; --wash: #f5f7f9;
  --rule: #c9d2dc; --good: #23683f; --weak: #855c11; --bad: #8f2d2d; --plain: #4a5563;
  --on-good: #e3f4ea; --on-weak: #fbf0d5; --on-bad: #f8e3e3; --on-plain: #eceff3;
  --blue: #2b6cb0; }
@media screen and (prefers-color-scheme: dark) { :root {
  --ink: #e3e8ee; --soft: #9aa7b5; --line: #2b343f; --paper: #161c23; --wash: #0e1318;
  --rule: #3b4754; --good: #8fd6ac; --weak: #e6c277; --bad: #f0a3a3; --plain: #b6c0cb;
  --on-good: #17382a; --on-weak: #3b2f14; --on-bad: #432222; --on-plain: #29323c;
  --blue: #7fb3ea; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--wash); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 36px 64px; background: var(--paper);
  min-height: 100vh; box-shadow: 0 0 0 1px var(--line); }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 4px; letter-spacing: -0.02em; }
h2 { font-size: 20px; margin: 48px 0 10px; padding-top: 20px; border-top: 2px solid var(--ink);
  letter-spacing: -0.01em; }
h3 { font-size: 15px; margin: 26px 0 6px; }
p { margin: 6px 0 10px; max-width: 76ch; }
a { color: var(--blue); }
.sub { color: var(--soft); margin: 0 0 18px; }
code, .mono { font-family: ui-monospace, SFMono-Regular, Menlo, 'DejaVu Sans Mono', monospace;
  font-size: 0.88em; }
.verdict { display: flex; gap: 14px; align-items: flex-start; padding: 14px 18px;
  border-radius: 8px; margin: 20px 0; }
.verdict b { white-space: nowrap; font-size: 17px; line-height: 1.35; }
.verdict ul { margin: 2px 0 0; padding-left: 18px; }
.passed { background: var(--on-good); } .passed b { color: var(--good); }
.below { background: var(--on-weak); } .below b { color: var(--weak); }
.nothing { background: var(--on-bad); } .nothing b { color: var(--bad); }
nav { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 0 0 8px; font-size: 14px; }
nav a { text-decoration: none; } nav a:hover { text-decoration: underline; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(180px, 1fr)); gap: 10px;
  margin: 18px 0 6px; }
.card { border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px 11px; }
.card .what { color: var(--soft); font-size: 12.5px; }
.card .number { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 7px;
  font-size: 20px; line-height: 1.35; font-weight: 600; letter-spacing: -0.01em;
  font-variant-numeric: tabular-nums; }
.card .number small { display: inline-block; white-space: nowrap; font-size: 13px;
  font-weight: 400; color: var(--soft); }
table { border-collapse: collapse; width: 100%; margin: 10px 0 16px; font-size: 13.5px; }
th { text-align: left; font-weight: 600; font-size: 12px; color: var(--soft); padding: 5px 10px
  5px 0; border-bottom: 1px solid var(--ink); vertical-align: bottom; }
td { padding: 7px 12px 7px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.name { font-weight: 600; }
td.verdict-cell { white-space: nowrap; }
td .about { font-weight: 400; color: var(--soft); font-size: 12px; white-space: normal; }
td.value { font-variant-numeric: tabular-nums; min-width: 200px; }
td .std { color: var(--soft); white-space: nowrap; }
.chip { display: inline-block; padding: 1px 9px 2px; border-radius: 20px; font-size: 12px;
  font-weight: 600; white-space: nowrap; }
.chip.estimated, .chip.improved, .chip.yes { background: var(--on-good); color: var(--good); }
.chip.weak { background: var(--on-weak); color: var(--weak); }
.chip.not, .chip.no { background: var(--on-bad); color: var(--bad); }
.chip.given { background: var(--on-plain); color: var(--plain); }
.figures { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 28px 30px;
  margin: 16px 0; align-items: start; }
figure { margin: 0; break-inside: avoid; }
figure.wide { grid-column: 1 / -1; }
figure svg, figure img { width: 100%; height: auto; display: block; }
figure svg { background: #fff; border-radius: 4px; }
figure.pixels img { border-radius: 4px; }
figcaption { color: var(--soft); font-size: 12.5px; line-height: 1.45; margin-top: 5px; }
.messages { margin: 8px 0 14px; padding: 0; list-style: none; font-size: 13.5px; }
.messages li { padding: 5px 12px; border-left: 3px solid var(--rule); margin: 5px 0;
  background: var(--wash); }
.scroll { overflow-x: auto; }
details { margin: 10px 0; } summary { cursor: pointer; color: var(--blue); }
footer { margin-top: 48px; padding-top: 14px; border-top: 1px solid var(--line);
  color: var(--soft); font-size: 12.5px; }
@media (max-width: 720px) { main { padding: 22px 16px 40px; }
  .figures { grid-template-columns: minmax(0, 1fr); }
  .verdict { flex-direction: column; gap: 4px; }
  .stack thead { display: none; }
  .stack tr { display: grid; grid-template-columns: minmax(0, 1fr) auto; padding: 8px 0;
    border-bottom: 1px solid var(--line); }
  .stack td { border: 0; padding: 2px 12px 2px 0; }
  .stack td.name { grid-area: 1 / 1; } .stack td.verdict-cell { grid-area: 1 / 2; padding: 0; }
  .stack td.value, .stack td.why { grid-column: 1 / -1; min-width: 0; } }
@media print {
  @page { size: A4; margin: 14mm 13mm; }
  body { background: none; font-size: 10.5pt; } nav { display: none; }
  main { max-width: none; padding: 0; box-shadow: none; }
  h2 { margin-top: 24px; break-after: avoid; } h3, h3 + p { break-after: avoid; }
  tr, .card, .verdict { break-inside: avoid; } table { font-size: 9pt; }
  td { padding: 4px 8px 4px 0; } td.name { width: 26%; } td.value { min-width: 0; width: 26%; }
  .figures { gap: 10px 16px; } details { display: none; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""
