# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The one table of the calibration node's parameters; several values have commas between them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffphyscam_ros.calibration.request import (
    load_sensor,
    MODELS,
    parse_constant,
    parse_role,
    Request,
    Thresholds,
)
from diffphyscam_ros.calibration.settings_sources import TOLERANCE
from diffphyscam_ros.calibration.targets import Target
from diffphyscam_ros.nodes.parameter import Parameter, ParameterError, Value

_ROWS = (
    Parameter('bags', 'string', '', '', 'Bags of one camera, with commas between them.'),
    Parameter('out', 'string', '.', '', 'Folder for the files; it is made where it is missing.'),
    Parameter('name', 'string', 'camera', '', 'Name of the camera and of its files.'),
    Parameter(
        'target', 'string', '', '', 'The board: charuco:11x8:0.02:0.015:DICT_5X5_100 and so on.'
    ),
    Parameter(
        'roles', 'string', '', '', 'What bags were filmed for: flat.mcap=flat,dark.mcap=dark.'
    ),
    Parameter('sensor', 'string', '', '', 'What is known of the camera: a preset or a file.'),
    Parameter('image_topic', 'string', '', '', 'Needed where the bags have several.'),
    Parameter('settings', 'string', 'auto', '', 'The only source of settings to take.'),
    Parameter('exposure_csv', 'string', '', '', 'Table of the settings of each frame.'),
    Parameter('driver', 'string', '', '', 'Whose parameter events to read; recognised if empty.'),
    Parameter('driver_node', 'string', '', '', 'Full name of the node of the driver.'),
    Parameter(
        'tolerance', 'double', TOLERANCE, 's', 'Of stamps.', low=0.0, high=60.0, open_low=True
    ),
    Parameter('encoding', 'string', '', '', 'Of the pixels, whatever the messages say.'),
    Parameter('bit_depth', 'integer', 0, 'bit', 'In 16; 0 = recognised.', low=0, high=16),
    Parameter(
        'edge_distance',
        'double',
        0.0,
        'm',
        'Of the one slanted edge in frames of role focus, along z; 0 = the board is there.',
        low=0.0,
    ),
    Parameter(
        'constants', 'string', '', '', 'Settings that never changed: exposure_us=5000,gain_db=0.'
    ),
    Parameter('model', 'string', 'plumb_bob', '', 'Lens model; auto = the best.', choices=MODELS),
    Parameter('fixed', 'string', '', '', 'Distortion coefficients that stay 0: k3.'),
    Parameter(
        'max_error',
        'double',
        0.5,
        'px',
        'Threshold: rms of corners in views that were held out.',
        low=0.0,
        high=1000.0,
        open_low=True,
    ),
    Parameter(
        'joint', 'bool', True, '', 'Refine all that boards show together, from their pictures.'
    ),
    Parameter(
        'seed', 'integer', 0, '', 'Of what the refinement draws by chance.', low=0, high=2**31 - 1
    ),
    Parameter('accept_weak', 'bool', False, '', 'What is weak, or gives nothing, passes.'),
    Parameter('require', 'string', '', '', 'Stages that must succeed: intrinsics,noise.'),
    Parameter('dry_run', 'bool', False, '', 'Only look what the bags allow.'),
    Parameter('cache', 'bool', True, '', 'Remember the boards that were found.'),
    Parameter('kalibr', 'bool', False, '', 'Also write the camchain.yaml of Kalibr.'),
    Parameter('tum', 'bool', False, '', 'Also write pcalib.txt and vignette.png of TUM.'),
    Parameter(
        'commit',
        'string',
        '',
        '',
        'Namespace of a running camera that gets K and the distortion if the calibration passes.',
    ),
)

CALIBRATION_TABLE: dict[str, Parameter] = {row.name: row for row in _ROWS}
"""Every parameter by its name."""


def words(text: str) -> list[str]:
    """Return what stands between the commas."""
    return [word.strip() for word in text.split(',') if word.strip()]


def checked(values: Mapping[str, Any]) -> dict[str, Value]:
    """Return all parameters, those that are not given with their defaults.

    :raises ParameterError: for an unknown parameter or a value that is not allowed.
    """
    unknown = sorted(set(values) - set(CALIBRATION_TABLE))
    if unknown:
        raise ParameterError(
            f'there is no parameter {unknown[0]!r}: there are {", ".join(CALIBRATION_TABLE)}'
        )
    defaults = {name: row.default for name, row in CALIBRATION_TABLE.items()}
    return {
        name: CALIBRATION_TABLE[name].check(value)
        for name, value in {**defaults, **values}.items()
    }


def request_from(values: Mapping[str, Any]) -> Request:
    """Return what checked parameters ask for.

    :raises ValueError: naming the parameter that cannot be used.
    """
    bags = words(values['bags'])
    if not bags:
        raise ParameterError("bags = '': must be at least one path, as bags:=boards,flat")
    return Request(
        bags=tuple(Path(bag) for bag in bags),
        target=Target.load(values['target']) if values['target'] else None,
        sensor=load_sensor(values['sensor']) if values['sensor'] else None,
        sensor_name=Path(values['sensor']).name,
        name=values['name'],
        model=values['model'],
        fixed=tuple(words(values['fixed'])),
        joint=bool(values['joint']),
        seed=int(values['seed']),
        cache=bool(values['cache']),
        kalibr=bool(values['kalibr']),
        tum=bool(values['tum']),
        driver=values['driver'],
        driver_node=values['driver_node'],
        tolerance=values['tolerance'],
        encoding=values['encoding'],
        bit_depth=int(values['bit_depth']),
        edge_distance=values['edge_distance'] or None,
        image_topic=values['image_topic'] or None,
        settings=values['settings'],
        csv=Path(values['exposure_csv']) if values['exposure_csv'] else None,
        constants=dict(parse_constant(word) for word in words(values['constants'])),
        roles=dict(parse_role(word) for word in words(values['roles'])),
        thresholds=Thresholds(
            values['max_error'], values['accept_weak'], tuple(words(values['require']))
        ),
    )
