/**
 * Turning a camera: from fingers to `ptz/start` and `ptz/stop`.
 *
 * Knows no framework. One call is on its way at a time, so that a stop never overtakes its start; whatever the finger
 * did meanwhile, the last of it counts. While a direction is held it is started again every second: that is how the
 * platform is asked whether the limit is reached, and how its watchdog learns that somebody is still there.
 */
import { ApiError, Direction, type ChannelRef, type OpenApi } from '../../../shared/api'
import { apiFailure, type Failure } from './failure'

/** A side of the pad. */
export type Side = 'up' | 'down' | 'left' | 'right'

/** All that the pad shows. */
export interface PtzView {
  /** What is held. */
  readonly held: Direction | undefined
  /** The side on which the camera turns no further. */
  readonly limit: Side | undefined
  /** Why it does not turn. */
  readonly failure: Failure | undefined
}

/** Milliseconds between looks at the limit. */
const POLL_MS = 1_000
/** Medium; some devices refuse the slowest. */
const SPEED = 1
const LIMITS: Readonly<Record<string, Side>> = { 60002: 'up', 60003: 'down', 60004: 'left', 60005: 'right' }

/** The motor of one channel, as one finger moves it. */
export class PtzControl {
  private view: PtzView = { held: undefined, limit: undefined, failure: undefined }
  /** What the platform was told last, and not yet to stop. */
  private turning: Direction | undefined
  private running = false
  /** Ends a wait for the next look. */
  private wake: () => void = () => {}

  constructor(
    private readonly api: OpenApi,
    private readonly channel: ChannelRef,
    private readonly show: (view: PtzView) => void,
  ) {}

  /** Turns that way until {@link PtzControl.release}, or until another way is held. */
  hold(direction: Direction): void {
    if (direction === this.view.held) return
    this.update({ held: direction, limit: undefined, failure: undefined })
    void this.run()
  }

  /** Stops. */
  release(): void {
    if (this.view.held === undefined) return
    this.update({ held: undefined })
    void this.run()
  }

  private async run(): Promise<void> {
    this.wake()
    if (this.running) return
    this.running = true
    while (this.view.held !== undefined || this.turning !== undefined) {
      const { held } = this.view
      if (this.turning !== undefined && this.turning !== held) await this.stop(this.turning)
      else if (held !== undefined) {
        await this.start(held)
        if (this.view.held === held) await this.pause()
      }
    }
    this.running = false
  }

  private async start(direction: Direction): Promise<void> {
    this.turning = direction
    try {
      await this.api.ptzStart(this.channel, direction, SPEED)
      if (this.view.held === direction && this.view.limit) this.update({ limit: undefined })
    } catch (error) {
      const limit = error instanceof ApiError ? LIMITS[error.code] : undefined
      if (limit) {
        if (this.view.held === direction) this.update({ limit })
        return
      }
      // It does not turn: holding on would only ask the same again. A start that got lost may have arrived; hence
      // the stop that follows.
      this.update({ held: undefined, failure: apiFailure(error) })
    }
  }

  private async stop(direction: Direction): Promise<void> {
    this.turning = undefined
    // A stop that is refused has nothing to stop, and one that is lost is made up for by the platform's watchdog.
    await this.api.ptzStop(this.channel, direction).catch(() => {})
  }

  private pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, POLL_MS)
      this.wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  private update(change: Partial<PtzView>): void {
    this.view = { ...this.view, ...change }
    this.show(this.view)
  }
}

/** Which axes a pad offers. */
export interface Axes {
  vertical: boolean
  horizontal: boolean
  /** Both at once. */
  diagonal: boolean
}

const EIGHT = [
  Direction.right, Direction.downRight, Direction.down, Direction.downLeft,
  Direction.left, Direction.upLeft, Direction.up, Direction.upRight,
] as const
/** Share of the pad's radius, from its middle, where nothing is meant. */
const DEAD_ZONE = 0.22

/** The direction of a finger at (x, y), each −1 … 1 from the pad's middle, y downwards. Undefined in the dead zone. */
export function directionAt(x: number, y: number, { vertical, horizontal, diagonal }: Axes): Direction | undefined {
  if (Math.hypot(x, y) < DEAD_ZONE) return undefined
  if (!vertical || !horizontal) {
    if (vertical) return y < 0 ? Direction.up : Direction.down
    if (horizontal) return x < 0 ? Direction.left : Direction.right
    return undefined
  }
  const sectors = diagonal ? 8 : 4
  const sector = (Math.round((Math.atan2(y, x) / (2 * Math.PI)) * sectors) + sectors) % sectors
  return EIGHT[(sector * 8) / sectors]
}

/** The sides that a direction goes to. */
export function sidesOf(direction: Direction | undefined): Side[] {
  switch (direction) {
    case Direction.up:
      return ['up']
    case Direction.down:
      return ['down']
    case Direction.left:
      return ['left']
    case Direction.right:
      return ['right']
    case Direction.upLeft:
      return ['up', 'left']
    case Direction.downLeft:
      return ['down', 'left']
    case Direction.upRight:
      return ['up', 'right']
    case Direction.downRight:
      return ['down', 'right']
    default:
      return []
  }
}
