# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Gaussian defocus that knows which surface is in front, within the cascade of blur levels.

Behind the focus blur grows with depth: what a level has received from the levels above it lies
behind what is its own. With w_k the light of a level, m_k that of it and all above, and B the
step from one level to the one below,

    X_k = w_k·I + m_{k+1} · B(X_{k+1}) / B(m_{k+1}):

where a pixel is nearer (m = 0) nothing from behind arrives, and beside it the light that came
from there is missing in both B, so that nothing is eroded. In front of the focus the order is
the reverse: what comes from above is in front, and covers β of what a level adds,

    Y_k = B(Y_{k+1}) + (w_k·I, but no more of it than 1 − β),

and all of it lies before X. What Y uncovers within its own outlines is ``hidden_layer``'s.
"""

from __future__ import annotations

import torch

from diffphyscam_ros.camera.defocus_cascade import Ladder
from diffphyscam_ros.camera.defocus_hidden import hidden_layer
from diffphyscam_ros.kernels.blur_levels import SIGMA_PER_COC

_LEAST = 1e-30


def scatter_gaussian_occluded(image: torch.Tensor, coc: torch.Tensor) -> torch.Tensor:
    """Blur with occlusion; see ``camera.defocus_occlusion`` for what it approximates.

    :param image: (B, C, H, W) floating point.
    :param coc: (B, 1, H, W) signed px, negative in front of the focus. Differentiable in both.
    """
    one = torch.ones_like(coc)
    variance = (coc * SIGMA_PER_COC).square()
    sources = [(torch.cat((image, one), dim=1), coc, variance)]
    if not bool((coc < 0).any()):
        return _behind(sources, [one], Ladder(image, float(variance.detach().max())))[:, :-1]
    colour, blur, presence = hidden_layer(image, coc)
    guessed = torch.cat((colour * presence, presence), dim=1)
    sources.append((guessed, blur, (blur * SIGMA_PER_COC).square()))

    ladder = Ladder(image, float(variance.detach().max()))
    near = [torch.where(c < 0, ladder.reached(v, 1), 0.0) for _, c, v in sources]
    far = [1.0 - near[0], near[0] * (1.0 - near[1])]  # guesses are behind what is seen
    front = _in_front(sources, ladder)
    back = _behind(sources, far, ladder)
    free = 1.0 - front[:, -1:]
    back = back * _no_more_than(back[:, -1:], free)
    both = front + back
    return both[:, :-1] / both[:, -1:].clamp(min=_LEAST)


Source = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # light with share, signed c, σ²


def _behind(sources: list[Source], shares: list[torch.Tensor], ladder: Ladder) -> torch.Tensor:
    """Return X₀: everything at and behind the focus, (B, C + 1, H, W)."""
    lights = [light * share for (light, _, _), share in zip(sources, shares, strict=True)]
    blurs = [torch.where(c > 0, v, 0.0) for _, c, v in sources]
    above: torch.Tensor | None = None
    for k in reversed(range(ladder.count)):
        own, beyond = torch.zeros_like(lights[0]), torch.zeros_like(blurs[0])
        for light, v in zip(lights, blurs, strict=True):
            own = own + light * ladder.weight(v, k)
            beyond = beyond + light[:, -1:] * ladder.reached(v, k + 1)
        own, beyond = ladder.halved(own, k), ladder.halved(beyond, k)
        if above is not None:
            arrived = ladder.step(above, k + 1)
            own = own + arrived * (beyond / arrived[:, -1:].clamp(min=_LEAST))
        above = own
    assert above is not None
    return above


def _in_front(sources: list[Source], ladder: Ladder) -> torch.Tensor:
    """Return Y₀: everything in front of the focus, (B, C + 1, H, W)."""
    above: torch.Tensor | None = None
    for k in reversed(range(1, ladder.count)):
        own = torch.zeros_like(sources[0][0])
        for light, c, v in sources:
            own = own + light * torch.where(c < 0, ladder.weight(v, k), 0.0)
        own = ladder.halved(own, k)
        if above is not None:
            arrived = ladder.step(above, k + 1)
            own = arrived + own * _no_more_than(own[:, -1:], 1.0 - arrived[:, -1:])
        above = own
    assert above is not None
    return ladder.step(above, 1)


def _no_more_than(share: torch.Tensor, free: torch.Tensor) -> torch.Tensor:
    """Return the factor that keeps a share within what is free of the aperture."""
    return torch.where(share > free, free.clamp(min=0.0) / share.clamp(min=_LEAST), 1.0)
