# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The node over DDS: rate, losses, latency from scene to received picture, memory.

Two subscribers in processes of their own, one reliable, one best effort, count what reaches them;
a third client moves an object and waits until a picture shows it. The peer, in the same run, is
a bare rclpy publisher that sends the same bytes without making them: what DDS alone allows.

    python bench/node.py [--seconds 60] [--width 640 --height 480] [--rate 30] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import tempfile
import threading
import time

os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
os.environ.setdefault('ROS_DOMAIN_ID', str(1 + os.getpid() % 100))

from geometry_msgs.msg import PoseStamped
import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from visualization_msgs.msg import Marker, MarkerArray

WARM_UP = 3.0  # s
FLIPS = 40


def subscriber(reliability: str, seconds: float) -> None:
    """Count pictures for some seconds after the first; print the stamps and arrivals as JSON."""
    rclpy.init()
    node = Node(f'bench_{reliability}')
    stamps: list[float] = []
    delays: list[float] = []

    def on_image(message: Image) -> None:
        now = node.get_clock().now().nanoseconds * 1e-9
        stamp = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        stamps.append(stamp)
        delays.append(now - stamp)

    policy = getattr(ReliabilityPolicy, reliability.upper())
    node.create_subscription(
        Image, 'image_raw', on_image, QoSProfile(depth=10, reliability=policy)
    )
    while not stamps:
        rclpy.spin_once(node, timeout_sec=0.1)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=0.1)
    print(json.dumps({'stamps': stamps, 'delays': delays}), flush=True)
    node.destroy_node()
    rclpy.shutdown()


def bare_publisher(width: int, height: int, rate: float) -> None:
    """Publish one prepared picture at a rate: the transport without a camera."""
    import array

    from diffphyscam_ros.nodes import dds_profile

    rclpy.init()
    size = ['--ros-args', '-p', f'image_width:={width}', '-p', f'image_height:={height}']
    with dds_profile.arranged(size):  # the same transport as the camera's
        node = Node('bench_bare')
    publisher = node.create_publisher(Image, 'image_raw', 10)
    data = array.array('B', np.random.default_rng(0).bytes(3 * width * height))
    message = Image(width=width, height=height, encoding='rgb8', step=3 * width)
    message.data = data

    def tick() -> None:
        message.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(message)

    node.create_timer(1.0 / rate, tick)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, rclpy.executors.ExternalShutdownException):
        rclpy.try_shutdown()


class Client(Node):
    """Publishes a scene of about 10k triangles and flips a wall between black and white."""

    def __init__(self) -> None:
        """Connect to the node ``camera``."""
        super().__init__('bench_client')
        self.scene = self.create_publisher(MarkerArray, 'camera/scene', 10)
        self.pose = self.create_publisher(PoseStamped, 'camera/camera_pose', 10)
        self.pictures = self.create_subscription(Image, 'image_raw', self._on_image, 10)
        self.level = threading.Condition()
        self.mean = -1.0

    def _on_image(self, message: Image) -> None:
        picture = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
        with self.level:
            self.mean = float(picture[: message.height // 4].mean())
            self.level.notify_all()

    def publish_world(self, bright: bool, whole: bool = True) -> None:
        """Publish the camera pose, the wall, and all spheres or the one that moves."""
        stamp = self.get_clock().now().to_msg()
        pose = PoseStamped()
        pose.header.frame_id, pose.header.stamp = 'world', stamp
        # looking along world +x: optical z = x, optical x = -y, optical y = -z
        pose.pose.orientation.x, pose.pose.orientation.y = -0.5, 0.5
        pose.pose.orientation.z, pose.pose.orientation.w = -0.5, 0.5
        self.pose.publish(pose)
        markers = [self._marker(0, Marker.CUBE, (4.0, 0.0, 0.0), (0.1, 8.0, 8.0), bright)]
        for i in range(20 if whole else 1):
            place = (2.0, 0.35 * (i % 5 - 2), -0.15 - 0.2 * (i // 5))
            markers.append(self._marker(1 + i, Marker.SPHERE, place, (0.2, 0.2, 0.2), True))
        self.scene.publish(MarkerArray(markers=markers))

    def _marker(self, identity, kind, place, size, bright):  # type: ignore[no-untyped-def]
        marker = Marker(id=identity, type=kind, action=Marker.ADD)
        marker.header.frame_id = 'world'
        marker.pose.position.x, marker.pose.position.y, marker.pose.position.z = place
        marker.pose.orientation.w = 1.0
        marker.scale.x, marker.scale.y, marker.scale.z = size
        level = 0.9 if bright else 0.01
        marker.color.r = marker.color.g = marker.color.b = level
        marker.color.a = 1.0
        return marker

    def scene_to_picture(self) -> list[float]:
        """Return the seconds from publishing a changed scene to receiving it in a picture."""
        seconds = []
        for i in range(FLIPS):
            with self.level:
                before = self.mean
            start = time.perf_counter()
            self.publish_world(bright=i % 2 == 0)
            with self.level:
                changed = self.level.wait_for(lambda: abs(self.mean - before) > 20.0, timeout=5.0)  # noqa: B023
            if changed:
                seconds.append(time.perf_counter() - start)
            time.sleep(0.1 + 0.007 * (i % 5))  # not in step with the frame timer
        return seconds


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    lines = Path(f'/proc/{pid}/status').read_text().splitlines()
    return int(next(line for line in lines if line.startswith('VmRSS')).split()[1]) / 1024


def collect(arguments: list[str], seconds: float) -> dict[str, dict[str, float]]:
    """Run both subscribers and return rate, losses and delays of each."""
    processes = {
        name: subprocess.Popen(
            [sys.executable, __file__, '--subscriber', name, '--seconds', str(seconds)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ('reliable', 'best_effort')
    }
    results = {}
    rate = float(arguments[0])
    for name, process in processes.items():
        text, _ = process.communicate()
        record = json.loads(text.splitlines()[-1])
        stamps, delays = np.array(record['stamps']), 1000 * np.array(record['delays'])
        keep = stamps > stamps[0] + WARM_UP
        stamps, delays = stamps[keep], delays[keep]
        gaps = np.diff(stamps)
        results[name] = {
            'received': len(stamps),
            'rate_hz': float((len(stamps) - 1) / (stamps[-1] - stamps[0])),
            # a gap of n periods is n - 1 pictures that were not sent or did not arrive
            'missing': int(np.sum(np.maximum(np.round(gaps * rate) - 1, 0))),
            'delay_ms_median': float(np.median(delays)),
            'delay_ms_p99': float(np.percentile(delays, 99)),
        }
    return results


def run_camera(options: argparse.Namespace) -> dict[str, object]:
    """Measure the camera node."""
    with tempfile.TemporaryFile('w+') as log:
        node = subprocess.Popen(
            [
                *(sys.executable, '-m', 'diffphyscam_ros.nodes.camera_node', '--ros-args'),
                *('-r', '__node:=camera', '-p', f'image_width:={options.width}'),
                *('-p', f'image_height:={options.height}', '-p', f'frame_rate:={options.rate}'),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            return _measure(options, node)
        except Exception:
            log.seek(0)
            print(log.read()[-3000:], file=sys.stderr)
            raise
        finally:
            node.send_signal(signal.SIGINT)
            node.wait(timeout=20)


def _measure(options: argparse.Namespace, node: subprocess.Popen[bytes]) -> dict[str, object]:
    rclpy.init()
    client = Client()
    thread = threading.Thread(target=rclpy.spin, args=(client,), daemon=True)
    thread.start()
    with client.level:
        deadline = time.monotonic() + 180.0
        while client.mean < 0.0:
            client.publish_world(bright=False)
            client.level.wait(0.5)
            if time.monotonic() > deadline or node.poll() is not None:
                raise RuntimeError('camera_node gives no picture')
    time.sleep(WARM_UP)
    reaction = 1000 * np.array(client.scene_to_picture())
    moving = threading.Event()

    def animate() -> None:
        while not moving.wait(1.0 / options.rate):
            client.publish_world(bright=True, whole=False)

    client.destroy_subscription(client.pictures)  # two subscribers are left: those that count
    animation = threading.Thread(target=animate)
    animation.start()
    before = resident_mb(node.pid)
    results: dict[str, object] = dict(collect([str(options.rate)], options.seconds + WARM_UP))
    results['memory_mb'] = [round(before), round(resident_mb(node.pid))]
    moving.set()
    animation.join()
    results['scene_to_picture_ms'] = {
        'median': float(np.median(reaction)),
        'p99': float(np.percentile(reaction, 99)),
        'seen': len(reaction),
        'of': FLIPS,
    }
    rclpy.shutdown()
    thread.join()
    return results


def run_bare(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Measure the bare publisher."""
    command = [sys.executable, __file__, '--bare', '--rate', str(options.rate)]
    command += ['--width', str(options.width), '--height', str(options.height)]
    publisher = subprocess.Popen(command)
    try:
        return collect([str(options.rate)], min(10.0, options.seconds) + WARM_UP)
    finally:
        publisher.send_signal(signal.SIGINT)
        publisher.wait(timeout=20)


def main() -> None:
    """Run the benchmark and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=float, default=60.0)
    parser.add_argument('--width', type=int, default=640)
    parser.add_argument('--height', type=int, default=480)
    parser.add_argument('--rate', type=float, default=30.0, help='Hz')
    parser.add_argument('--json', action='store_true', help='print one JSON object last')
    parser.add_argument(
        '--subscriber', choices=('reliable', 'best_effort'), help=argparse.SUPPRESS
    )
    parser.add_argument('--bare', action='store_true', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.subscriber:
        subscriber(options.subscriber, options.seconds)
        return
    if options.bare:
        bare_publisher(options.width, options.height, options.rate)
        return
    camera, bare = run_camera(options), run_bare(options)
    print(f'{options.width}x{options.height} at {options.rate:g} Hz for {options.seconds:g} s')
    print(f'{"":24}{"received":>9}{"missing":>9}{"Hz":>8}{"delay ms":>10}{"p99":>8}')
    for title, results in (('camera_node', camera), ('bare publisher', bare)):
        for name in ('reliable', 'best_effort'):
            row = results[name]
            print(
                f'{title} {name:<11}'.ljust(24) + f'{row["received"]:9d}{row["missing"]:9d}'
                f'{row["rate_hz"]:8.2f}{row["delay_ms_median"]:10.1f}{row["delay_ms_p99"]:8.1f}'
            )
    reaction = camera['scene_to_picture_ms']
    print(
        f'scene to received picture: {reaction["median"]:.1f} ms median, {reaction["p99"]:.1f} ms '
        f'p99, {reaction["seen"]} of {reaction["of"]} seen'
    )
    print(f'memory of camera_node: {camera["memory_mb"][0]} -> {camera["memory_mb"][1]} MB')
    if options.json:
        print(json.dumps({'options': vars(options), 'camera_node': camera, 'bare': bare}))


if __name__ == '__main__':
    main()
