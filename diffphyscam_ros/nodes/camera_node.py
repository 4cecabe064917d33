# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The simulated camera as a ROS 2 node: docs/ros_interface.md."""

from __future__ import annotations

from collections.abc import Callable
import functools
import gc
import random
import signal
import sys
import threading
import time
from typing import Any
import warnings

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, TransformStamped
from nav_msgs.msg import Odometry
import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from diffphyscam_ros.msg import CameraState
from diffphyscam_ros.nodes import dds_profile, diagnostics
from diffphyscam_ros.nodes.automatic import Automatic
from diffphyscam_ros.nodes.automatic_services import AutomaticServices
from diffphyscam_ros.nodes.camera_state import Configuration
from diffphyscam_ros.nodes.conversions import write_message
from diffphyscam_ros.nodes.frame_loop import FrameLoop, SAY_AGAIN, time_message
from diffphyscam_ros.nodes.parameter import ParameterError
from diffphyscam_ros.nodes.parameter_server import ParameterServer
from diffphyscam_ros.nodes.picture_taker import drawing, PictureTaker, renderer_of
from diffphyscam_ros.nodes.pose_math import (
    matrix_from_message,
    matrix_from_pose,
    twist_from_message,
)
from diffphyscam_ros.nodes.pose_source import PoseSource
from diffphyscam_ros.nodes.publishers import FramePublishers
from diffphyscam_ros.nodes.robot_inputs import RobotInputs
from diffphyscam_ros.nodes.scene_source import load_scene_file, SceneSource
from diffphyscam_ros.nodes.services import CameraServices, depth_of_field
from diffphyscam_ros.nodes.tf_listener import create_transforms, STATIC_QOS, tf_message_type
from diffphyscam_ros.scene.types import Scene

LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
# Each message of a latched topic may hold other markers.
LATCHED_SCENE = QoSProfile(
    depth=10, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)

OPTICAL_IN_LINK = (-0.5, 0.5, -0.5, 0.5)
"""The optical frame (x right, z forward) in the camera's link (x forward, z up): REP-103."""

SHOWN_PROBLEMS = 5


class CameraNode(ParameterServer):
    """Renders what it is told of the world, as its camera would see it, and publishes that."""

    def __init__(self, **options: Any) -> None:
        """Start the camera.

        :raises ParameterError: for parameters with which it cannot start.
        """
        super().__init__('camera', **options)
        self._heard: dict[str, float] = {}
        self._prepared: dict[str, Any] = {}
        self.before_change(self._prepare)
        transforms, words = create_transforms(self)
        self.get_logger().info(words)
        self._transforms = transforms
        self._pose = PoseSource(transforms)
        self._scene = SceneSource(transforms)
        self._robots = RobotInputs(self, self._scene.robots, self._nanoseconds)
        self.before_change(lambda _, new: self._robots.check(new))
        self._taker = PictureTaker(self._prepared['renderer'], random.randrange(2**31))
        self._scene.file = self._prepared['scene']
        self._frame_publishers = FramePublishers(self, self.configuration.flag('enable_depth'))
        self._automatic = Automatic(self)
        self._loop = FrameLoop(
            self,
            lambda: self.configuration,
            self._taker,
            self._scene,
            self._pose,
            self._frame_publishers,
            self._automatic,
        )
        self._state_publisher = self.create_publisher(CameraState, '~/state', LATCHED)
        self._last_state: CameraState | None = None
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._camera_services = CameraServices(self, self._state)
        self._automatic_services = AutomaticServices(self, self._automatic)
        self._subscribe()
        self._robots.listen(self.configuration)
        self._publish_optical_transform()
        self.after_change(self._on_change)
        # In wall time: they are due also while a simulated clock stands still.
        self._wall_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0, self._on_timer, clock=self._wall_clock)

    def _subscribe(self) -> None:
        self.create_subscription(MarkerArray, '~/scene', self._on_markers, 100)
        self.create_subscription(MarkerArray, '~/scene_latched', self._on_markers, LATCHED_SCENE)
        self.create_subscription(PoseStamped, '~/camera_pose', self._on_pose, 100)
        self.create_subscription(Odometry, '~/camera_odom', self._on_odometry, 100)

    def start(self) -> None:
        """Compile what has to be compiled, and begin."""
        began = time.perf_counter()
        self.get_logger().info('preparing the kernels; the very first start takes a minute')
        picture = self._taker.take(
            self.configuration, self._scene.at(0, ''), matrix_from_pose((0, 0, 0), (0, 0, 0, 1)), 0
        )
        encoding = self.configuration.text('output_encoding')
        write_message(*picture.size, encoding, functools.partial(picture.write, encoding))
        renderer = self._taker.renderer
        if self.configuration.text('device') == 'auto' and renderer.device.type == 'cpu':
            self.get_logger().warning(f'rendering on the CPU: {renderer.device_reason}')
        size = self.configuration.sensor
        self.get_logger().info(
            f'ready after {time.perf_counter() - began:.1f} s: {size.image_width}x'
            f'{size.image_height} px {self.configuration.text("output_encoding")} at '
            f'{self.configuration.number("frame_rate"):g} Hz on {renderer.device}, calibration '
            f'{self.configuration.calibration_id}'
        )
        self._publish_state()
        self._loop.start()

    def stop(self) -> None:
        """End the frames, and the node."""
        self._loop.stop()
        self._robots.stop()
        self.destroy_node()

    # --- parameters -------------------------------------------------------------------------

    def _prepare(self, old: Configuration | None, new: Configuration) -> None:
        """Load what a change needs; what cannot be had refuses the change."""
        self._prepared = {}
        if old is None or old.text('scene_file') != new.text('scene_file'):
            self._prepared['scene'] = load_scene_file(new.text('scene_file'))
        if old is None or drawing(old) != drawing(new):
            self._prepared['renderer'] = renderer_of(new)

    def _on_change(self, old: Configuration, new: Configuration) -> None:
        if 'scene' in self._prepared:
            self._scene.file = self._prepared['scene']
        if 'renderer' in self._prepared:
            self._taker.renderer = self._prepared['renderer']
        self._robots.listen(new)
        if old.flag('enable_depth') != new.flag('enable_depth'):
            self._frame_publishers.set_depth(new.flag('enable_depth'))
        self._loop.settle()
        self._publish_state()

    # --- inputs -----------------------------------------------------------------------------

    def _nanoseconds(self) -> int:
        now: int = self.get_clock().now().nanoseconds
        return now

    def _stamp(self, header: Header) -> int:
        """Return a header's stamp in ns, that of now where it is zero."""
        return header.stamp.sec * 10**9 + header.stamp.nanosec or self._nanoseconds()

    def _on_markers(self, message: MarkerArray) -> None:
        self._heard['~/scene'] = time.monotonic()
        news = self._scene.apply(message.markers, self._nanoseconds())
        for text in news[:SHOWN_PROBLEMS]:
            self.get_logger().warning(f'marker {text}')
        if len(news) > SHOWN_PROBLEMS:
            self.get_logger().warning(
                f'{len(news) - SHOWN_PROBLEMS} more markers cannot be drawn: see ~/get_state'
            )

    def _on_pose(self, message: PoseStamped) -> None:
        def take() -> None:
            pose = matrix_from_message(message.pose)
            self._pose.pose.add(self._stamp(message.header), message.header.frame_id, '', pose)

        self._take_pose('~/camera_pose', take)

    def _on_odometry(self, message: Odometry) -> None:
        def take() -> None:
            pose = matrix_from_message(message.pose.pose)
            self._pose.odometry.add(
                self._stamp(message.header),
                message.header.frame_id,
                message.child_frame_id,
                pose,
                twist_from_message(message.twist.twist),
            )

        self._take_pose('~/camera_odom', take)

    def _take_pose(self, topic: str, take: Callable[[], None]) -> None:
        try:
            take()
        except ValueError as error:
            self.get_logger().warning(
                f'{topic} is ignored: {error}', throttle_duration_sec=SAY_AGAIN
            )
            return
        self._heard[topic] = time.monotonic()

    # --- outputs ----------------------------------------------------------------------------

    def _publish_optical_transform(self) -> None:
        """Publish the link's optical frame, where that is asked for."""
        if not self.configuration.flag('publish_optical_tf'):
            return
        link = f'{self.configuration.text("camera_name")}_link'
        optical = self.configuration.frame_id
        self._transforms.add(
            link, optical, 0, matrix_from_pose((0, 0, 0), OPTICAL_IN_LINK), static=True
        )
        kind = tf_message_type()
        if kind is None:
            self.get_logger().warning(
                'publish_optical_tf: the message package tf2_msgs is missing, nothing is published'
            )
            return
        item = TransformStamped(child_frame_id=optical)
        item.header.frame_id = link
        item.header.stamp = self.get_clock().now().to_msg()
        turn = item.transform.rotation
        turn.x, turn.y, turn.z, turn.w = OPTICAL_IN_LINK
        self._static_publisher = self.create_publisher(kind, '/tf_static', STATIC_QOS)
        self._static_publisher.publish(kind(transforms=[item]))

    def _state(self) -> CameraState:
        """Return the effective state."""
        now = self.configuration
        near, far = depth_of_field(now)
        scene = self._shown()
        number, flag, text = now.number, now.flag, now.text
        return CameraState(
            header=Header(stamp=time_message(self._nanoseconds()), frame_id=now.frame_id),
            camera_name=text('camera_name'),
            image_width=now.sensor.image_width,
            image_height=now.sensor.image_height,
            output_encoding=text('output_encoding'),
            frame_rate=number('frame_rate'),
            exposure_time=number('exposure_time'),
            gain=number('gain'),
            iso=number('iso'),
            aperture=number('aperture'),
            focal_length=number('focal_length'),
            focus_distance=number('focus_distance'),
            near_limit=near,
            far_limit=far,
            white_balance=[float(gain) for gain in now.sensor.white_balance],
            exposure_auto=text('exposure_auto'),
            focus_auto=text('focus_auto'),
            white_balance_auto=text('white_balance_auto'),
            enable_distortion=flag('enable_distortion'),
            enable_vignetting=flag('enable_vignetting'),
            enable_defocus=flag('enable_defocus'),
            enable_noise=flag('enable_noise'),
            noise_seed=int(number('noise_seed')),
            device=str(self._taker.renderer.device),
            calibration_id=now.calibration_id,
            pose_source=self._loop.statistics.report().pose_source,
            scene_source=text('scene_file'),
            instance_names=list(scene.names),
            rejected_markers=self._scene.markers.problems(),
        )

    def _shown(self) -> Scene:
        return self._scene.at(self._nanoseconds(), self.configuration.text('world_frame'))

    def _publish_state(self) -> None:
        """Publish the state where it says something new."""
        if not self.context.ok():  # interrupted, perhaps while the kernels were compiled
            return
        state = self._state()
        header = state.header
        if self._last_state is not None:
            state.header = self._last_state.header
            if state == self._last_state:
                return
            state.header = header
        self._last_state = state
        self._state_publisher.publish(state)

    def _on_timer(self) -> None:
        if not self.context.ok():
            return
        self._automatic.expire(self.configuration.frame_period * 1e-9)
        self.announce()
        self._publish_state()
        now, report = self.configuration, self._loop.statistics.report()
        scene = self._shown()
        seconds = time.monotonic()
        name = self.get_fully_qualified_name().lstrip('/')
        rate = 1e9 / now.frame_period
        renderer = self._taker.renderer
        self._diagnostics.publish(
            diagnostics.array(
                self.get_clock().now().to_msg(),
                [
                    diagnostics.frame_status(
                        f'{name}: frames', report, rate, self._loop.wanted, self._loop.problem
                    ),
                    diagnostics.scene_status(
                        f'{name}: scene',
                        now.text('scene_file'),
                        len(scene.instances),
                        sum(len(item.mesh.faces) for item in scene.instances),
                        self._scene.markers.problems(),
                        self._scene.robots.names(),
                        [*self._robots.problems(), *self._scene.robots.problems()],
                        {
                            topic: seconds - self._heard[topic] if topic in self._heard else None
                            for topic in ('~/scene', '~/camera_pose', '~/camera_odom')
                        },
                    ),
                    diagnostics.device_status(
                        f'{name}: device',
                        now.text('device'),
                        str(renderer.device),
                        renderer.device_reason,
                        now.calibration_id,
                    ),
                ],
            )
        )


def _log_warnings(node: CameraNode) -> None:
    """Send what the library warns of to the log instead of to stderr."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        node.get_logger().warning(str(message))

    warnings.showwarning = show


def _ignore_interrupts() -> None:
    """Let the end come undisturbed: a terminal and ros2 launch may both send a SIGINT."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def main(args: list[str] | None = None) -> int:
    """Run the camera until it is told to stop.

    :returns: 0, or 1 with one line on stderr where it cannot start.
    """
    rclpy.init(args=args)
    node: CameraNode | None = None
    executor = SingleThreadedExecutor()
    try:
        with dds_profile.arranged(sys.argv if args is None else args) as words:
            node = CameraNode()
        _log_warnings(node)
        if words:
            node.get_logger().info(words)
        # What is here stays: a collection that walks through 280,000 objects of imported modules
        # would stop the camera for several frames.
        gc.collect()
        gc.freeze()
        node.start()
        executor.add_node(node)
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except ParameterError as error:
        print(f'camera_node cannot start: {error}', file=sys.stderr)
        return 1
    finally:
        _ignore_interrupts()
        if node is not None:
            node.stop()
        executor.shutdown()
        rclpy.try_shutdown()  # gives the signals back
        _ignore_interrupts()
    return 0


if __name__ == '__main__':
    sys.exit(main())
