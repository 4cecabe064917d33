# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Further fields of a block of pixels, for the adjoint of shading (see ``kernels/scratch.py``).

They lie behind those of the forward pass in the same array, for the same reason. A field TO_X is
the derivative of the loss by the pixel's X; the others keep what the forward pass writes over.
"""

from __future__ import annotations

from diffphyscam_ros.kernels.scratch import BLOCK, FLOATS

_F = FLOATS
TO_R, TO_G, TO_B = _F, _F + 1 * BLOCK, _F + 2 * BLOCK  # the colour
TO_NORMAL_X, TO_NORMAL_Y, TO_NORMAL_Z = _F + 3 * BLOCK, _F + 4 * BLOCK, _F + 5 * BLOCK
TO_DEPTH = _F + 6 * BLOCK
TO_BASE_R, TO_BASE_G, TO_BASE_B = _F + 7 * BLOCK, _F + 8 * BLOCK, _F + 9 * BLOCK
TO_METALLIC, TO_ROUGHNESS = _F + 10 * BLOCK, _F + 11 * BLOCK
TO_SEEN = _F + 12 * BLOCK
TO_N_DOT_V = _F + 13 * BLOCK
TO_VIEW_X, TO_VIEW_Y, TO_VIEW_Z = _F + 14 * BLOCK, _F + 15 * BLOCK, _F + 16 * BLOCK
TO_RAY_X, TO_RAY_Y = _F + 17 * BLOCK, _F + 18 * BLOCK
TO_AIM_X, TO_AIM_Y, TO_AIM_Z = _F + 19 * BLOCK, _F + 20 * BLOCK, _F + 21 * BLOCK
TO_WEIGHT_A, TO_WEIGHT_B, TO_WEIGHT_C = _F + 22 * BLOCK, _F + 23 * BLOCK, _F + 24 * BLOCK
TO_A_X, TO_A_Y, TO_A_Z = _F + 25 * BLOCK, _F + 26 * BLOCK, _F + 27 * BLOCK
TO_B_X, TO_B_Y, TO_B_Z = _F + 28 * BLOCK, _F + 29 * BLOCK, _F + 30 * BLOCK
TO_C_X, TO_C_Y, TO_C_Z = _F + 31 * BLOCK, _F + 32 * BLOCK, _F + 33 * BLOCK
TO_FACING_X, TO_FACING_Y, TO_FACING_Z = _F + 34 * BLOCK, _F + 35 * BLOCK, _F + 36 * BLOCK
TO_U, TO_V = _F + 37 * BLOCK, _F + 38 * BLOCK
TO_TEXEL_R, TO_TEXEL_G = _F + 39 * BLOCK, _F + 40 * BLOCK
TO_TEXEL_B, TO_TEXEL_A = _F + 41 * BLOCK, _F + 42 * BLOCK
TO_COLUMN, TO_ROW = _F + 43 * BLOCK, _F + 44 * BLOCK  # of a lat-long picture
BASE_TEXEL_R, BASE_TEXEL_G = _F + 45 * BLOCK, _F + 46 * BLOCK
BASE_TEXEL_B = _F + 47 * BLOCK
METAL_TEXEL, ROUGH_TEXEL = _F + 48 * BLOCK, _F + 49 * BLOCK
NORMAL_TEXEL_R, NORMAL_TEXEL_G = _F + 50 * BLOCK, _F + 51 * BLOCK
NORMAL_TEXEL_B = _F + 52 * BLOCK
EMISSIVE_TEXEL_R, EMISSIVE_TEXEL_G = _F + 53 * BLOCK, _F + 54 * BLOCK
EMISSIVE_TEXEL_B = _F + 55 * BLOCK
OCCLUSION_TEXEL = _F + 56 * BLOCK
SMOOTH_X, SMOOTH_Y, SMOOTH_Z = _F + 57 * BLOCK, _F + 58 * BLOCK, _F + 59 * BLOCK
"""The normal before the normal texture bends it."""
LIGHT_R, LIGHT_G, LIGHT_B = _F + 60 * BLOCK, _F + 61 * BLOCK, _F + 62 * BLOCK
"""What the environment sends from the mirrored direction."""
MIRROR_SEEN = _F + 63 * BLOCK  # share of it that is seen
BASE_TEXEL_A = _F + 64 * BLOCK
TO_ALPHA = _F + 65 * BLOCK
SLOPE_X, SLOPE_Y, SLOPE_Z = _F + 66 * BLOCK, _F + 67 * BLOCK, _F + 68 * BLOCK  # of irradiance
TO_LIGHT = _F + 69 * BLOCK
"""9 fields: the derivative by the irradiance, times x, y, z of the normal; three a channel."""
MONOMIALS = _F + 78 * BLOCK  # 21 fields: the monomials of degree 5 of the normal
SLOPES = _F + 99 * BLOCK  # 189 numbers of the irradiance, not by the pixel
INVERSE_LENGTH = _F + 101 * BLOCK  # of the interpolated normal; 0 where it has no length
TO_MIXED_X, TO_MIXED_Y, TO_MIXED_Z = _F + 102 * BLOCK, _F + 103 * BLOCK, _F + 104 * BLOCK
TO_SPLIT_SCALE, TO_SPLIT_BIAS = _F + 105 * BLOCK, _F + 106 * BLOCK
TO_LEAN, TO_POSITION = _F + 107 * BLOCK, _F + 108 * BLOCK
ADJOINT_FLOATS = _F + 109 * BLOCK

FIRST_CLEARED, END_CLEARED = TO_DEPTH, TO_TEXEL_R
"""Fields of this range begin a block as zeros: they are added to."""
