/**
 * What every player of a `<video>` does, whatever feeds the element. Knows no framework.
 *
 * Success and stalls are judged by decoded frames (with H.265 and AAC `currentTime` runs on without a picture), every
 * failure has a name, and after {@link StreamPlayer.destroy} nothing is left.
 */
import { FIRST_PICTURE_MS, PlayerCode, STALL_MS, type PlayerFault, type PlayerState, type PlayerStats } from './player-state'

/** Where a player reports to. */
export interface PlayerEvents {
  state(state: PlayerState): void
  stats(stats: PlayerStats): void
  /** The stream has sound, but not in a format that plays here. */
  soundless(): void
  /** The browser lets it play only without sound; the element is muted now. */
  forcedMute(): void
  /** Seconds of the stream that have been seen; some times a second. */
  progress(seconds: number): void
}

/** What a stream is: live ones are kept close to now, footage is played from its first picture to its last. */
export type StreamKind = 'live' | 'footage'

/** Milliseconds between looks at the decoder. */
const WATCH_MS = 250
/** Milliseconds that a figure covers: at least one GOP of most cameras, as key frames are most of the bytes. */
const REPORT_MS = 2_000
/** Seconds after which the last picture of footage is over, where the decoder does not say so itself. */
const LAST_PICTURE_S = 0.6

/** A playing stream. Make one an address; destroy it when done. */
export abstract class StreamPlayer {
  private readonly watch: ReturnType<typeof setInterval>
  /** The last look at the decoder: frames decoded so far, and when (performance.now) the last of them appeared. */
  private seen = { frames: 0, at: performance.now() }
  /** Bytes since the address was opened; undefined where the element fetches for itself and does not tell. */
  protected received: number | undefined
  /** Where the figures began that are reported next. */
  private mark = { frames: 0, received: 0, at: performance.now() }
  private playing = false
  /** All of the footage is here; some of it may yet have to be seen. */
  protected complete = false
  private destroyed = false
  /** Counts sources, so that the end of an earlier one is not taken for that of its successor. */
  private source = 0

  constructor(
    protected readonly video: HTMLVideoElement,
    protected readonly url: string,
    protected readonly kind: StreamKind,
    protected readonly events: PlayerEvents,
  ) {
    video.addEventListener('waiting', this.onWaiting)
    video.addEventListener('playing', this.onPlaying)
    video.addEventListener('loadeddata', this.onLoadedData)
    video.addEventListener('resize', this.onResize)
    this.watch = setInterval(this.look, WATCH_MS)
  }

  /** Stops at once and lets go of the connection, the decoder and every listener. The element stays. */
  destroy(): void {
    this.destroyed = true
    clearInterval(this.watch)
    const { video } = this
    video.removeEventListener('waiting', this.onWaiting)
    video.removeEventListener('playing', this.onPlaying)
    video.removeEventListener('loadeddata', this.onLoadedData)
    video.removeEventListener('resize', this.onResize)
    this.close()
  }

  /** Lets go of what feeds the element. */
  protected abstract close(): void

  /** Called four times a second while pictures come, with the seconds that are buffered. */
  protected abstract keepUp(ahead: number): void

  /** Plays the source that the element has just been given. */
  protected started(): void {
    this.source += 1
    // A new source counts from nought.
    this.seen = { frames: 0, at: performance.now() }
    this.mark = { ...this.seen, received: this.received ?? 0 }
    this.events.state({ code: PlayerCode.pulling })
    void this.play()
  }

  private async play(): Promise<void> {
    const { source } = this
    try {
      await this.video.play()
    } catch (error) {
      // AbortError: a newer stream or stop() took the element. Anything else that is not about permission shows up as
      // an error of the media or as a stall.
      if (this.destroyed || this.source !== source || !(error instanceof DOMException) || error.name !== 'NotAllowedError') return
      if (this.video.muted) this.fail('blocked')
      else {
        this.video.muted = true
        this.events.forcedMute()
        void this.play()
      }
    }
  }

  protected fail(fault: PlayerFault, detail = ''): void {
    if (this.destroyed) return
    const code = fault === 'h265' ? PlayerCode.hevcUnsupported : PlayerCode.gaveUp
    // First the news, so that the owner may keep the last picture; then the end.
    this.events.state({ code, fault, detail })
    this.destroy()
  }

  private frames(): number {
    return this.video.getVideoPlaybackQuality().totalVideoFrames
  }

  /** The heart-beat: has the decoder done anything since? */
  private readonly look = (): void => {
    const now = performance.now()
    const frames = this.frames()
    if (frames > this.seen.frames && this.video.videoWidth > 0) {
      this.seen = { frames, at: now }
      if (!this.playing && !this.video.paused) {
        this.playing = true
        this.events.state({ code: PlayerCode.playing })
      }
    }
    this.events.progress(this.video.currentTime)
    const silence = now - this.seen.at
    if (this.complete && (this.video.ended || (this.ahead() < LAST_PICTURE_S && silence > LAST_PICTURE_S * 1000))) {
      this.events.state({ code: PlayerCode.ended })
      this.destroy()
      return
    }
    if (this.seen.frames === 0) {
      if (silence > FIRST_PICTURE_MS) this.fail('silent')
      return
    }
    if (silence > STALL_MS) {
      this.fail('stalled')
      return
    }
    const ahead = this.ahead()
    this.keepUp(ahead)
    // A headset's button or a phone call may pause the element behind our back.
    if (this.video.paused && this.playing) void this.play()
    if (now - this.mark.at >= REPORT_MS) this.report(now, frames, ahead)
  }

  private ahead(): number {
    const { buffered, currentTime } = this.video
    return buffered.length > 0 ? Math.max(0, buffered.end(buffered.length - 1) - currentTime) : 0
  }

  private report(now: number, frames: number, bufferedSeconds: number): void {
    const seconds = (now - this.mark.at) / 1000
    this.events.stats({
      widthPx: this.video.videoWidth,
      heightPx: this.video.videoHeight,
      framesPerSecond: (frames - this.mark.frames) / seconds,
      bitrateBps: this.received === undefined ? undefined : ((this.received - this.mark.received) * 8) / seconds,
      bufferedSeconds,
    })
    this.mark = { frames, received: this.received ?? 0, at: now }
  }

  private readonly onLoadedData = (): void => {
    if (this.video.videoWidth > 0) this.events.state({ code: PlayerCode.firstKeyFrame })
  }

  private readonly onWaiting = (): void => {
    if (this.playing) {
      this.playing = false
      this.events.state({ code: PlayerCode.stutter })
    }
  }

  private readonly onPlaying = (): void => {
    this.look()
  }

  private readonly onResize = (): void => {
    this.events.state({ code: PlayerCode.sizeChanged })
  }
}
