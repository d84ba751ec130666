"""A ball that bounces into a hole: when it meets the ground is a root, and the root has a derivative.

The ball flies through air that slows it, so no formula says when it lands. Newton's method finds the moment, in
`gl.custom_root`, whose derivative is that of the equation height(t) = 0, not of Newton's steps. Each bounce is an event
at which the velocity jumps; `gl.while_loop` goes from one to the next until the ball is too slow to leave the ground.

    python examples/bouncing_ball.py
"""

from __future__ import annotations

import jax
import numpy as np

import gradlab as gl
import gradlab.numpy as gnp

jax.config.update("jax_enable_x64", True)

GRAVITY = 9.81
DRAG = 0.4  # 1/s: the air takes this part of the velocity in a second
BOUNCE = 0.7  # of the vertical velocity is left after a bounce
GRIP = 0.9  # of the horizontal one


def flight(position, velocity, t):
    """Position and velocity after t seconds in the air: v' = -g - drag v, solved."""
    fall = np.array([0.0, -GRAVITY / DRAG])
    left = gnp.exp(-DRAG * t)
    return position + fall * t + (velocity - fall) * (1 - left) / DRAG, fall + (velocity - fall) * left


def landing_time(velocity):
    """When a ball that leaves the ground is back there."""

    def height(t):
        return flight(gnp.zeros(2), velocity, t)[0][1]

    def newton(height, t):
        def closer(t):
            value, rate = gl.jvp(height, (t,), (1.0,))
            return t - value / rate

        return gl.while_loop(lambda t: gnp.abs(height(t)) > 1e-12, closer, t)

    # Without air it would take longer. From there Newton's steps come down to this root, and not to that at t = 0.
    return gl.custom_root(height, 2 * velocity[1] / GRAVITY, newton, lambda rate, y: y / rate(1.0))


def thrown(speed, angle):
    """Where the ball comes to rest, and how often it hit the ground."""

    def hops(state):
        _, velocity, _ = state
        return velocity[1] > 0.5

    def hop(state):
        place, velocity, bounces = state
        moved, velocity = flight(gnp.zeros(2), velocity, landing_time(velocity))
        return place + moved[0], velocity * np.array([GRIP, -BOUNCE]), bounces + 1

    velocity = speed * gnp.stack([gnp.cos(angle), gnp.sin(angle)])
    place, _, bounces = gl.while_loop(hops, hop, (0.0, velocity, 0))
    return place, bounces


def main() -> None:
    place = gl.jit(lambda speed, angle: thrown(speed, angle)[0])
    slope = gl.jit(gl.grad(lambda speed, angle: thrown(speed, angle)[0], (0, 1)))
    speed, angle = 9.0, 0.9
    where, bounces = gl.jit(thrown)(speed, angle)
    print(f"thrown at {speed} m/s and {np.degrees(angle):.0f}°, it stops after {where:.3f} m and {bounces} bounces")

    by_speed, by_angle = slope(speed, angle)
    h = 1e-6
    differences = (
        (place(speed + h, angle) - place(speed - h, angle)) / (2 * h),
        (place(speed, angle + h) - place(speed, angle - h)) / (2 * h),
    )
    print(f"a faster throw: {by_speed:.6f} m per m/s, a steeper one: {by_angle:.6f} m per radian")
    print(f"by differences: {differences[0]:.6f},              and:  {differences[1]:.6f}")
    np.testing.assert_allclose((by_speed, by_angle), differences, rtol=1e-6)

    t = float(landing_time(gnp.array([0.0, 5.0])))
    rate = float(gl.grad(lambda v: landing_time(gnp.stack([0.0 * v, v])))(5.0))
    # d/dv of v(1-e)/drag + g/drag ((1-e)/drag - t) = 0, with e = exp(-drag t)
    e = np.exp(-DRAG * t)
    by_hand = (1 - e) / DRAG / (GRAVITY / DRAG * (1 - e) - 5.0 * e)
    print(f"up at 5 m/s, it is back after {t:.6f} s; {rate:.9f} s later per m/s, by hand {by_hand:.9f}")
    np.testing.assert_allclose(rate, by_hand, rtol=1e-10)

    hole = 7.5
    print(f"\nThe hole is {hole} m away, and the wrist is stiff: only the speed can change.")
    for _ in range(6):
        miss = float(place(speed, angle)) - hole
        print(f"  {speed:8.5f} m/s: {miss:+.7f} m")
        if abs(miss) < 1e-9:
            break
        speed -= miss / float(slope(speed, angle)[0])
    assert abs(float(place(speed, angle)) - hole) < 1e-6


if __name__ == "__main__":
    main()
