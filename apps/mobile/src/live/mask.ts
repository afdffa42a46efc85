/** Whether a lens is covered, kept true while somebody looks: others may cover it too. Knows no framework. */
import type { ChannelRef, OpenApi } from '../../../shared/api'
import { apiFailure, type Failure } from './failure'

/** All that a page shows of it. */
export interface MaskView {
  /** Undefined until the platform has answered. */
  readonly masked: boolean | undefined
  /** A change is on its way. */
  readonly busy: boolean
  /** Why the last change did not happen. */
  readonly failure: Failure | undefined
}

/** Milliseconds between looks. */
const POLL_MS = 5_000

/** The mask of one channel. */
export class MaskWatch {
  private view: MaskView = { masked: undefined, busy: false, failure: undefined }
  private timer: ReturnType<typeof setTimeout> | undefined
  /** Counts looks and changes: an answer that was overtaken is dropped. */
  private turn = 0

  constructor(
    private readonly api: OpenApi,
    private readonly channel: ChannelRef,
    private readonly show: (view: MaskView) => void,
  ) {}

  /** Looks now, and again and again. */
  async start(): Promise<void> {
    this.stop()
    const mine = this.turn
    // A look that fails says nothing about the mask; the next one may.
    const masked = await this.api.masked(this.channel).catch(() => undefined)
    if (mine !== this.turn) return
    if (masked !== undefined) this.update({ masked })
    this.timer = setTimeout(() => void this.start(), POLL_MS)
  }

  /** Looks no more. */
  stop(): void {
    this.turn += 1
    clearTimeout(this.timer)
  }

  /** Covers the lens, or uncovers it. */
  async set(masked: boolean): Promise<void> {
    if (this.view.busy) return
    this.stop()
    this.update({ busy: true, failure: undefined })
    try {
      await this.api.setMask(this.channel, masked)
      this.update({ masked })
    } catch (error) {
      this.update({ failure: apiFailure(error) })
    }
    this.update({ busy: false })
    void this.start()
  }

  private update(change: Partial<MaskView>): void {
    this.view = { ...this.view, ...change }
    this.show(this.view)
  }
}
