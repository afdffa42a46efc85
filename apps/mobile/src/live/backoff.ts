/** When to try again after a failure: later and later, or at an even pace. */
import type { Remedy } from './failure'

/** The first retry comes after this, each later one after twice as long. */
const RETRY_FIRST_MS = 1_000
/** No retry waits longer than this. */
const RETRY_MAX_MS = 16_000
/** How often a device that is off line is asked about. */
export const POLL_MS = 10_000
/** ± share of a delay that is chance, so that a thousand pages do not return in the same instant. */
const JITTER = 0.2

/** Counts failures in a row. */
export class Backoff {
  private failures = 0

  /** `random` gives 0 ≤ x < 1; Math.random unless a test knows better. */
  constructor(private readonly random: () => number = Math.random) {}

  /** Whether nothing has failed since the last good time. */
  get fresh(): boolean {
    return this.failures === 0
  }

  /** Counts a failure. Milliseconds until the next try. */
  next(remedy: Remedy): number {
    this.failures += 1
    return this.jitter(remedy === 'poll' ? POLL_MS : Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** (this.failures - 1)))
  }

  /** The next failure is the first one again. */
  reset(): void {
    this.failures = 0
  }

  /** A delay that differs a little from page to page. */
  jitter(ms: number): number {
    return Math.round(ms * (1 - JITTER + 2 * JITTER * this.random()))
  }
}
