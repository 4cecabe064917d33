# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The thread that takes the frames: one snapshot of configuration, pose and scene for each."""

from __future__ import annotations

from collections.abc import Callable
import functools
import random
import threading
import time

from builtin_interfaces.msg import Time as TimeMessage
from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node
from std_msgs.msg import Header

from diffphyscam_ros.msg import CameraMetadata
from diffphyscam_ros.nodes.automatic import Automatic
from diffphyscam_ros.nodes.camera_state import Configuration
from diffphyscam_ros.nodes.conversions import (
    camera_info,
    encode_depth,
    Statistics,
    write_message,
)
from diffphyscam_ros.nodes.delay_line import DelayLine
from diffphyscam_ros.nodes.frame_statistics import FrameStatistics
from diffphyscam_ros.nodes.frame_timer import FrameTimer
from diffphyscam_ros.nodes.marker_tracks import relative
from diffphyscam_ros.nodes.picture_taker import Picture, PictureTaker
from diffphyscam_ros.nodes.pose_source import CameraMotion, CameraPose, PoseConfig, PoseSource
from diffphyscam_ros.nodes.publishers import (
    COMPRESSED,
    DEPTH,
    DEPTH_INFO,
    FrameMessages,
    FramePublishers,
    IMAGE,
    METADATA,
)
from diffphyscam_ros.nodes.scene_source import SceneSource
from diffphyscam_ros.nodes.tf_buffer import TransformError
from diffphyscam_ros.nodes.units import nanoseconds_from_seconds, NANOSECONDS_PER_SECOND

LONGEST_WAIT = 0.05  # s, after which parameters and clock are looked at again
SETTLING = 0.5  # s, the longest wait of a change for the frame that is being taken
REMEMBERED = NANOSECONDS_PER_SECOND  # before an exposure, of where markers were
SAY_AGAIN = 5.0  # s between two log lines on the same trouble


def time_message(nanoseconds: int) -> TimeMessage:
    """Return a stamp."""
    seconds, rest = divmod(nanoseconds, NANOSECONDS_PER_SECOND)
    return TimeMessage(sec=seconds, nanosec=rest)


class FrameLoop:
    """Takes frames at the frame rate while somebody listens."""

    def __init__(
        self,
        node: Node,
        configuration: Callable[[], Configuration],
        taker: PictureTaker,
        scene: SceneSource,
        pose: PoseSource,
        publishers: FramePublishers,
        automatic: Automatic,
    ) -> None:
        """Prepare; ``start`` begins."""
        self._node = node
        self._log = node.get_logger()
        self._clock = node.get_clock()
        self._configuration = configuration
        self._taker = taker
        self._scene = scene
        self._pose = pose
        self._publishers = publishers
        self._automatic = automatic
        self._look: Callable[[], None] | None = None
        self._timer = FrameTimer()
        self._delay = DelayLine(self._now)
        self._jitter = random.Random(taker.noise_seed(configuration()))
        self._frame_number = 0
        self._wake = threading.Event()
        self._stopped = False
        self._taking = threading.Lock()
        self._thread = threading.Thread(target=self._run, name='frames', daemon=True)
        self._jump_handle = self._clock.create_jump_callback(
            JumpThreshold(
                min_forward=Duration(nanoseconds=1),
                min_backward=Duration(nanoseconds=-1),
                on_clock_change=True,
            ),
            post_callback=self._on_jump,
        )
        self.statistics = FrameStatistics()
        self.problem = ''
        self.wanted = False

    def _now(self) -> int:
        nanoseconds: int = self._clock.now().nanoseconds
        return nanoseconds

    def start(self) -> None:
        """Begin to take frames."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, after the frame that it is taking."""
        self._stopped = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self._delay.stop()
        self._jump_handle.unregister()

    def settle(self) -> None:
        """Wait until no frame is being taken: all later ones have the configuration of now."""
        if self._taking.acquire(timeout=SETTLING):
            self._taking.release()
        self._wake.set()

    def _on_jump(self, jump: object) -> None:
        """Hear that time went on (each step of a simulated clock), or back."""
        backward = jump.delta.nanoseconds < 0  # type: ignore[attr-defined]
        changed = jump.clock_change.name in ('ROS_TIME_ACTIVATED', 'ROS_TIME_DEACTIVATED')  # type: ignore[attr-defined]
        if backward or changed:
            self._timer.reset()
            self._delay.clear()
            self._pose.clear()
            self._automatic.reset()
            self._scene.clock_jumped(self._now())
            words = 'set back' if backward else 'exchanged'
            self._log.info(f'the clock was {words}: poses, lifetimes and frames begin anew')
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped and self._node.context.ok():
            try:
                wait = self._step()
            except Exception as error:  # one bad frame must not end the camera
                if not self._node.context.ok():
                    return
                self._say(f'a frame could not be taken: {type(error).__name__}: {error}')
                wait = LONGEST_WAIT
            if wait > 0:
                self._wake.wait(min(wait, LONGEST_WAIT))
                self._wake.clear()

    def _step(self) -> float:
        """Take a frame if one is due; return for how many seconds there is nothing to do."""
        configuration = self._configuration()
        period = configuration.frame_period
        exposure = configuration.exposure_span
        now = self._now()
        if self._clock.ros_time_is_active and now == 0:
            self.wanted = self._is_wanted(self._publishers.wanted(), configuration)
            self.problem = 'use_sim_time is set and nothing is heard on /clock'
            return LONGEST_WAIT
        wait = self._timer.wait(now, period)
        if wait > 0:
            return wait * 1e-9
        missed = self._timer.skipped
        end = self._timer.take(now, period)
        wanted = self._publishers.wanted()
        self.wanted = self._is_wanted(wanted, configuration)
        if not self.wanted or end < exposure:
            self.problem = ''
            return 0.0
        with self._taking:
            # Read again: it may have changed while the lock was waited for.
            self._take(
                self._configuration(), wanted, end - exposure, end, self._timer.skipped - missed
            )
        if self._look is not None:  # outside the lock: it may change the configuration
            look, self._look = self._look, None
            look()
        return 0.0

    @staticmethod
    def _is_wanted(topics: set[str], configuration: Configuration) -> bool:
        return bool(topics) or configuration.flag('always_render')

    def _take(
        self,
        configuration: Configuration,
        wanted: set[str],
        start: int,
        end: int,
        skipped: int,
    ) -> None:
        began = time.perf_counter()
        middle = (start + end) // 2
        with_depth = bool({DEPTH, DEPTH_INFO} & wanted)
        with_depth = with_depth or self._automatic.wants_depth(configuration)
        taken = self._expose(configuration, start, end, with_depth)
        if taken is None:
            return
        picture, pose = taken
        stamp = {'start': start, 'mid': middle, 'end': end}[configuration.text('stamp_mode')]
        header = Header(stamp=time_message(stamp), frame_id=configuration.frame_id)
        image, statistics = None, None
        if {IMAGE, COMPRESSED, METADATA} & wanted or configuration.flag('always_render'):
            encoding = configuration.text('output_encoding')
            write = functools.partial(picture.write, encoding)
            image, statistics = write_message(*picture.size, encoding, write, header)
        render_ms = 1000.0 * (time.perf_counter() - began)
        messages = FrameMessages(
            image,
            camera_info(configuration.published_calibration, header),
            self._metadata(configuration, header, start, end, render_ms, statistics),
            None if picture.depth is None else encode_depth(picture.depth, header),
            configuration,
        )
        self._frame_number += 1
        self.problem = ''
        self.statistics.add(render_ms, statistics, pose.source, pose.age, skipped, picture.blur)
        self._delay.put(end + self._latency(configuration), lambda: self._publish(messages))
        observe = self._automatic.observe
        self._look = functools.partial(observe, configuration, picture, image, end)

    def _expose(
        self, configuration: Configuration, start: int, end: int, with_depth: bool
    ) -> tuple[Picture, CameraPose | CameraMotion] | None:
        """Take the picture of an exposure; None where the pose is not known."""
        middle, world = (start + end) // 2, configuration.text('world_frame')
        blurred = configuration.flag('enable_motion_blur')
        self._scene.markers.memory = REMEMBERED + 2 * (end - start) if blurred else 0
        config = PoseConfig(
            world,
            configuration.frame_id,
            configuration.default_pose,
            self._patience(configuration, end),
        )
        number = self._frame_number
        try:
            if not blurred:
                pose = self._pose.at(middle, config)
                patience = self._patience(configuration, end)
                self._scene.wait(middle, patience, world, markers=False)
                scene = self._scene.at(middle, world)
                return self._taker.take(
                    configuration, scene, pose.matrix, number, with_depth
                ), pose
            motion = self._pose.over(start, end, config)
        except TransformError as error:
            self._say(str(error))
            return None
        self._scene.wait(end, self._patience(configuration, end), world)
        moving = self._scene.over(start, end, world)
        path = relative(motion.at, middle)
        return self._taker.take_moving(configuration, moving, path, number, with_depth), motion

    def _patience(self, configuration: Configuration, end: int) -> float:
        """Return how long a pose is waited for; late frames have done a part of their waiting."""
        late = max(self._now() - end, 0) * 1e-9
        return max(configuration.number('tf_timeout') - late, 0.0)

    def _metadata(
        self,
        configuration: Configuration,
        header: Header,
        start: int,
        end: int,
        render_ms: float,
        statistics: Statistics | None,
    ) -> CameraMetadata:
        seen = statistics or Statistics(0.0, 0.0, 0.0)
        number = configuration.number
        return CameraMetadata(
            header=header,
            frame_number=self._frame_number,
            exposure_start=time_message(start),
            exposure_end=time_message(end),
            exposure_time=number('exposure_time'),
            gain=number('gain'),
            iso=number('iso'),
            aperture=number('aperture'),
            focal_length=number('focal_length'),
            focus_distance=number('focus_distance'),
            white_balance=[float(gain) for gain in configuration.sensor.white_balance],
            mean_level=seen.mean_level,
            saturated_fraction=seen.saturated_fraction,
            black_fraction=seen.black_fraction,
            noise_seed=self._taker.noise_seed(configuration),
            device=str(self._taker.renderer.device),
            render_ms=render_ms,
            calibration_id=configuration.calibration_id,
        )

    def _latency(self, configuration: Configuration) -> int:
        delay = configuration.number('latency')
        spread = configuration.number('latency_jitter')
        if spread > 0:
            delay = max(delay + self._jitter.gauss(0.0, spread), 0.0)
        return nanoseconds_from_seconds(delay)

    def _publish(self, messages: FrameMessages) -> None:
        problem = self._publishers.publish(messages)
        if problem:
            self._say(f'image_raw/compressed: {problem}')

    def _say(self, problem: str) -> None:
        """Name a trouble in the log, not at every frame, and keep it for the diagnostics."""
        self.problem = problem
        self._log.warning(problem, throttle_duration_sec=SAY_AGAIN)
