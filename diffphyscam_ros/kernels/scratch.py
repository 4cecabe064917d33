# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""How the CPU shading kernels lay out what they know about a block of pixels.

All values of a block lie in one flat float32 array ``s`` and one flat int32 array ``n``, a field
after the other. Because the distance between two fields is a constant, the compiler can prove
that loops over a block do not overlap, and vectorizes the arithmetic; only loads from meshes and
textures remain scalar. A block of 128 keeps everything in the first-level cache.
"""

from __future__ import annotations

BLOCK = 128

RAY_X, RAY_Y = 0 * BLOCK, 1 * BLOCK  # (x/z, y/z) of the pixel's ray
A_X, A_Y, A_Z = 2 * BLOCK, 3 * BLOCK, 4 * BLOCK  # corners, optical frame
B_X, B_Y, B_Z = 5 * BLOCK, 6 * BLOCK, 7 * BLOCK
C_X, C_Y, C_Z = 8 * BLOCK, 9 * BLOCK, 10 * BLOCK
WEIGHT_A, WEIGHT_B, WEIGHT_C = 11 * BLOCK, 12 * BLOCK, 13 * BLOCK  # barycentric
ACROSS_A, ACROSS_B, ACROSS_C = 14 * BLOCK, 15 * BLOCK, 16 * BLOCK  # their change to the right
DOWN_A, DOWN_B, DOWN_C = 17 * BLOCK, 18 * BLOCK, 19 * BLOCK  # … and down
DEPTH = 20 * BLOCK
FACING_X, FACING_Y, FACING_Z = 21 * BLOCK, 22 * BLOCK, 23 * BLOCK  # geometric, to the viewer
NORMAL_X, NORMAL_Y, NORMAL_Z = 24 * BLOCK, 25 * BLOCK, 26 * BLOCK  # of shading
FLIP = 27 * BLOCK
BASE_R, BASE_G, BASE_B = 28 * BLOCK, 29 * BLOCK, 30 * BLOCK
METALLIC, ROUGHNESS = 31 * BLOCK, 32 * BLOCK
OUT_R, OUT_G, OUT_B = 33 * BLOCK, 34 * BLOCK, 35 * BLOCK
U, V = 36 * BLOCK, 37 * BLOCK
U_ACROSS, V_ACROSS, U_DOWN, V_DOWN = 38 * BLOCK, 39 * BLOCK, 40 * BLOCK, 41 * BLOCK
SHARE = 42 * BLOCK  # of the second of two levels
SHARE_A, SHARE_B, SHARE_C, SHARE_D = 43 * BLOCK, 44 * BLOCK, 45 * BLOCK, 46 * BLOCK  # of texels
TEXEL_R, TEXEL_G, TEXEL_B = 47 * BLOCK, 48 * BLOCK, 49 * BLOCK
VIEW_X, VIEW_Y, VIEW_Z, N_DOT_V = 50 * BLOCK, 51 * BLOCK, 52 * BLOCK, 53 * BLOCK
SPECULAR_R, SPECULAR_G, SPECULAR_B = 54 * BLOCK, 55 * BLOCK, 56 * BLOCK
AIM_X, AIM_Y, AIM_Z = 57 * BLOCK, 58 * BLOCK, 59 * BLOCK
TEXEL_A = 60 * BLOCK
ALPHA = 61 * BLOCK  # 1 where the material is opaque
SEEN = 62 * BLOCK  # share of the environment that reaches the point
LIT = 63 * BLOCK  # share of the light at hand that reaches it
SPLIT_SCALE, SPLIT_BIAS = 64 * BLOCK, 65 * BLOCK  # of F0, from the environment's table
LEAN, POSITION = 66 * BLOCK, 67 * BLOCK  # of the lobe that mirrors the environment
IRRADIANCE = 68 * BLOCK  # 31 numbers for each colour, not by the pixel
STEP_U, STEP_V = 69 * BLOCK, 70 * BLOCK  # from one tap of a texture to the next
STRETCH = 71 * BLOCK  # length of the row of taps, in steps
FLOATS = 72 * BLOCK

# All of these have to fit the first-level cache, so some lie where others will be needed later.
A_U, A_V, B_U, B_V = SHARE_A, SHARE_B, SHARE_C, SHARE_D  # corners in the texture, until looked up
C_U, C_V = STEP_U, STEP_V
LANE_U, LANE_V = SPECULAR_R, SPECULAR_G  # LANE: of the pixels with several taps, in a row
LANE_STEP_U, LANE_STEP_V, LANE_STRETCH = SPECULAR_B, SPLIT_SCALE, SPLIT_BIAS
LANE_SHARE, LANE_TAP = LEAN, POSITION  # of the level, of the level's tap

PIXEL, TRIANGLE, ITEM = 0 * BLOCK, 1 * BLOCK, 2 * BLOCK
CORNER_A, CORNER_B, CORNER_C = 3 * BLOCK, 4 * BLOCK, 5 * BLOCK  # numbers of vertices
LEVEL, LAST_LEVEL = 6 * BLOCK, 7 * BLOCK
OFFSET, WIDTH, HEIGHT = 8 * BLOCK, 9 * BLOCK, 10 * BLOCK  # of a texture's level
PLACE_A, PLACE_B, PLACE_C, PLACE_D = 11 * BLOCK, 12 * BLOCK, 13 * BLOCK, 14 * BLOCK
LANE = 15 * BLOCK  # number of the pixel in the block
RUN = 16 * BLOCK  # ends of the runs of one instance
INTEGERS = 17 * BLOCK
