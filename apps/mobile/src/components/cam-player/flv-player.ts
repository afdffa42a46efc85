/**
 * One live HTTP-FLV stream in one `<video>`, for browsers. Knows no framework.
 *
 * mpegts.js re-frames FLV into Media Source Extensions. This class adds what a live page needs: success and stalls are
 * judged by decoded frames (with H.265 and AAC `currentTime` runs on without a picture), every failure has a name,
 * sound that cannot be played costs the sound only, and after {@link FlvPlayer.destroy} nothing is left.
 */
import mpegts from 'mpegts.js'
import { decodesH265, isTypeSupported } from './capability'
import { flvLoader } from './flv-loader'
import { FIRST_PICTURE_MS, PlayerCode, STALL_MS, type PlayerFault, type PlayerState, type PlayerStats } from './player-state'

/** Where a player reports to. */
export interface FlvPlayerEvents {
  state(state: PlayerState): void
  stats(stats: PlayerStats): void
  /** The stream has sound, but not in a format that plays here. */
  soundless(): void
  /** The browser lets it play only without sound; the element is muted now. */
  forcedMute(): void
}

/** mpegts.js gives an object with network and MSE errors, a text with demuxer errors. */
type ErrorInfo = { code?: number; msg?: string } | string

/** Milliseconds between looks at the decoder. */
const WATCH_MS = 250
/** Milliseconds that a figure covers: at least one GOP of most cameras, as key frames are most of the bytes. */
const REPORT_MS = 2_000
/** Seconds of buffer beyond which the player jumps to the newest picture (a throttled tab, a long hiccup). */
const JUMP_BEYOND_S = 4
/** Seconds kept ahead after a jump. */
const JUMP_LEAVES_S = 0.4

// What goes wrong is told in words on the page, not in the console.
mpegts.LoggingControl.enableAll = false

/** A playing stream. Make one an address; destroy it when done. */
export class FlvPlayer {
  private player: mpegts.Player | undefined
  private readonly watch: ReturnType<typeof setInterval>
  /** The last look at the decoder: frames decoded so far, and when (performance.now) the last of them appeared. */
  private seen = { frames: 0, at: performance.now() }
  /** Bytes since the address was opened. */
  private received = 0
  /** Where the figures began that are reported next. */
  private mark = { frames: 0, received: 0, at: performance.now() }
  private playing = false

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly url: string,
    private readonly events: FlvPlayerEvents,
  ) {
    video.addEventListener('waiting', this.onWaiting)
    video.addEventListener('playing', this.onPlaying)
    video.addEventListener('loadeddata', this.onLoadedData)
    video.addEventListener('resize', this.onResize)
    this.watch = setInterval(this.look, WATCH_MS)
    if (isTypeSupported('video/mp4;codecs="avc1.42E01E"')) this.open(true)
    // Later: the owner has no reference to this yet.
    else setTimeout(() => this.fail('noMse'))
  }

  /** Stops at once and lets go of the connection, the decoder and every listener. The element stays. */
  destroy(): void {
    clearInterval(this.watch)
    const { video } = this
    video.removeEventListener('waiting', this.onWaiting)
    video.removeEventListener('playing', this.onPlaying)
    video.removeEventListener('loadeddata', this.onLoadedData)
    video.removeEventListener('resize', this.onResize)
    this.close()
  }

  private open(withSound: boolean): void {
    this.events.state({ code: PlayerCode.connected })
    const player = mpegts.createPlayer(
      // "hasAudio: true" would wait for sound that a header promised and a camera never sends; leave it to the stream.
      { type: 'flv', isLive: true, url: this.url, ...(withSound ? {} : { hasAudio: false }) },
      {
        customLoader: flvLoader((count) => {
          this.received += count
        }),
        enableStashBuffer: false,
        // Catching up by playing a little faster is not noticed; jumping is.
        liveSync: true,
        liveSyncMaxLatency: 1.5,
        liveSyncTargetLatency: 0.7,
        liveSyncPlaybackRate: 1.15,
        autoCleanupSourceBuffer: true,
        autoCleanupMaxBackwardDuration: 20,
        autoCleanupMinBackwardDuration: 10,
      },
    )
    this.player = player
    // mpegts.js reports from its own queue and throws when it is destroyed in the middle of it; hence the next task.
    const on = <A extends unknown[]>(event: string, then: (...args: A) => void) =>
      player.on(event, (...args: A) => setTimeout(() => this.player === player && then(...args)))
    const { Events } = mpegts
    on(Events.ERROR, (type: string, detail: string, info: ErrorInfo) => this.onError(withSound, type, detail, info))
    on(Events.LOADING_COMPLETE, () => this.fail('ended'))
    on(Events.METADATA_ARRIVED, (metadata: Readonly<Record<string, unknown>>) => {
      // Known before the decoder is asked: 12 is the field's old number, the other is 'hvc1' (Enhanced RTMP).
      const codec = metadata['videocodecid']
      if (codec === 12 || codec === 0x68766331) this.checkDecoder('hvc1')
    })
    on(Events.MEDIA_INFO, (info: mpegts.MSEPlayerMediaInfo) => this.checkDecoder(info.videoCodec ?? ''))
    player.attachMediaElement(this.video)
    // A new source counts from nought.
    this.seen = { frames: 0, at: performance.now() }
    this.mark = { ...this.seen, received: this.received }
    player.load()
    this.events.state({ code: PlayerCode.pulling })
    void this.play()
  }

  private close(): void {
    const player = this.player
    this.player = undefined
    player?.destroy()
  }

  private async play(): Promise<void> {
    const player = this.player
    try {
      await this.video.play()
    } catch (error) {
      // AbortError: a newer stream or stop() took the element. Anything else that is not about permission shows up as
      // an error of the media or as a stall.
      if (this.player !== player || !(error instanceof DOMException) || error.name !== 'NotAllowedError') return
      if (this.video.muted) this.fail('blocked')
      else {
        this.video.muted = true
        this.events.forcedMute()
        void this.play()
      }
    }
  }

  private onError(withSound: boolean, type: string, detail: string, info: ErrorInfo): void {
    const text = typeof info === 'string' ? info : (info.msg ?? '')
    const { ErrorTypes, ErrorDetails } = mpegts
    if (type === ErrorTypes.NETWORK_ERROR) {
      const status = typeof info === 'string' ? 0 : (info.code ?? 0)
      if (detail !== ErrorDetails.NETWORK_STATUS_CODE_INVALID) this.fail('network', text)
      else this.fail(status >= 500 ? 'server' : 'refused', `HTTP ${status}`)
    } else if (withSound && /audio/i.test(text)) {
      // A sound format that Media Source Extensions lack (G.711) must not cost the picture.
      this.events.soundless()
      this.close()
      this.open(false)
    } else if (/hvc1|hev1|hevc/i.test(text)) this.fail('h265', text)
    else this.fail('media', text || detail)
  }

  private fail(fault: PlayerFault, detail = ''): void {
    if (fault !== 'noMse' && !this.player) return
    const code = fault === 'h265' ? PlayerCode.hevcUnsupported : PlayerCode.gaveUp
    // First the news, so that the owner may keep the last picture; then the end.
    this.events.state({ code, fault, detail })
    this.destroy()
  }

  private checkDecoder(codec: string): void {
    if (/^(hvc1|hev1)/.test(codec) && !decodesH265()) this.fail('h265', codec)
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
    const silence = now - this.seen.at
    if (this.seen.frames === 0) {
      if (silence > FIRST_PICTURE_MS) this.fail('silent')
      return
    }
    if (silence > STALL_MS) {
      this.fail('stalled')
      return
    }
    const ahead = this.ahead()
    if (ahead > JUMP_BEYOND_S && !this.video.seeking) this.video.currentTime += ahead - JUMP_LEAVES_S
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
      bitrateBps: ((this.received - this.mark.received) * 8) / seconds,
      bufferedSeconds,
    })
    this.mark = { frames, received: this.received, at: now }
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
