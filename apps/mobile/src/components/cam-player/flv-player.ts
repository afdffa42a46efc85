/**
 * One HTTP-FLV stream in one `<video>`, live or footage, for browsers with Media Source Extensions.
 *
 * mpegts.js re-frames FLV for them. Sound that cannot be played costs the sound only.
 */
import mpegts from 'mpegts.js'
import { decodesH265, isTypeSupported } from './capability'
import { flvLoader } from './flv-loader'
import { PlayerCode } from './player-state'
import { StreamPlayer, type PlayerEvents, type StreamKind } from './stream-player'

/** mpegts.js gives an object with network and MSE errors, a text with demuxer errors. */
type ErrorInfo = { code?: number; msg?: string } | string

/** Seconds of buffer beyond which the player jumps to the newest picture (a throttled tab, a long hiccup). */
const JUMP_BEYOND_S = 4
/** Seconds kept ahead after a jump. */
const JUMP_LEAVES_S = 0.4

// What goes wrong is told in words on the page, not in the console.
mpegts.LoggingControl.enableAll = false

/** See {@link StreamPlayer}. */
export class FlvPlayer extends StreamPlayer {
  protected override received = 0
  private player: mpegts.Player | undefined

  constructor(video: HTMLVideoElement, url: string, kind: StreamKind, events: PlayerEvents) {
    super(video, url, kind, events)
    if (isTypeSupported('video/mp4;codecs="avc1.42E01E"')) this.open(true)
    // Later: the owner has no reference to this yet.
    else setTimeout(() => this.fail('noMse'))
  }

  private open(withSound: boolean): void {
    this.events.state({ code: PlayerCode.connected })
    const player = mpegts.createPlayer(
      // "hasAudio: true" would wait for sound that a header promised and a camera never sends; leave it to the stream.
      { type: 'flv', isLive: true, url: this.url, ...(withSound ? {} : { hasAudio: false }) },
      {
        // Over WebSocket mpegts.js lets go at once by itself.
        ...(this.url.startsWith('ws') ? {} : { customLoader: flvLoader((count) => (this.received += count)) }),
        enableStashBuffer: false,
        // Catching up by playing a little faster is not noticed; jumping is.
        liveSync: this.kind === 'live',
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
    on(Events.LOADING_COMPLETE, () => {
      if (this.kind === 'live') this.fail('ended')
      else this.complete = true
    })
    on(Events.METADATA_ARRIVED, (metadata: Readonly<Record<string, unknown>>) => {
      // Known before the decoder is asked: 12 is the field's old number, the other is 'hvc1' (Enhanced RTMP).
      const codec = metadata['videocodecid']
      if (codec === 12 || codec === 0x68766331) this.checkDecoder('hvc1')
    })
    on(Events.MEDIA_INFO, (info: mpegts.MSEPlayerMediaInfo) => this.checkDecoder(info.videoCodec ?? ''))
    player.attachMediaElement(this.video)
    player.load()
    this.started()
  }

  protected override close(): void {
    const player = this.player
    this.player = undefined
    player?.destroy()
  }

  protected override keepUp(ahead: number): void {
    if (this.kind === 'live' && ahead > JUMP_BEYOND_S && !this.video.seeking) this.video.currentTime += ahead - JUMP_LEAVES_S
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

  private checkDecoder(codec: string): void {
    if (/^(hvc1|hev1)/.test(codec) && !decodesH265()) this.fail('h265', codec)
  }
}
