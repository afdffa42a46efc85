/**
 * Watching one channel: which address the player gets, when it is asked for anew, and why there is no picture.
 *
 * Knows no framework, no DOM and no player. The page calls the methods, passes on what the player reports, and draws
 * the {@link View} it is given; the view is replaced, never changed. Time is setTimeout and Date.now alone, so that
 * tests can stand in for both.
 *
 * Every attempt asks the API from the start, also after a broken connection: only the API knows whether the device went
 * off line, the token died or the address was revoked, and asking costs one round trip.
 */
import { Quality, type DeviceInfo, type LiveAddressRequest, type OpenApi, type Protocol } from '../../../shared/api'
import { PlayerCode, type PlayerState } from '../components/cam-player/player-state'
import { Backoff, POLL_MS } from './backoff'
import { apiFailure, remedy, type Failure } from './failure'

/** Where a session stands. */
export type Phase =
  /** Stopped by the user. */
  | 'idle'
  /** Calls to the API are on their way. */
  | 'asking'
  /** The player has an address and shows nothing yet. */
  | 'connecting'
  | 'playing'
  /** Playing, but media is late. */
  | 'buffering'
  /** Failed; the next attempt is at `retryAt`. */
  | 'waiting'
  /** Failed; only the user can help. */
  | 'failed'
  /** The page is hidden; playing goes on when it is shown. */
  | 'paused'

/** All that the page shows. */
export interface View {
  readonly phase: Phase
  /** For the player; empty when it shall not play. */
  readonly src: string
  readonly quality: Quality
  /** Undefined until the platform has answered once. */
  readonly device: DeviceInfo | undefined
  /** Why there is no picture; kept while the next attempt is made, so that texts do not flicker. */
  readonly failure: Failure | undefined
  /** Epoch milliseconds of the next attempt, when waiting. */
  readonly retryAt: number | undefined
  /** HD was H.265 and cannot be decoded, so SD is shown. */
  readonly fellBack: boolean
  /** The stream's sound cannot be played. */
  readonly soundless: boolean
  /** What the player said last ({@link PlayerCode}), while it has nothing to show. */
  readonly step: number | undefined
}

/** What to watch, and with what. */
export interface SessionOptions {
  api: OpenApi
  deviceSerial: string
  channelNo: number
  protocol: Protocol
  /** Whether the player decodes H.265. */
  h265: boolean
  /** Gets every new view, the first one within {@link LiveSession.start}. */
  show: (view: View) => void
  /** 0 ≤ x < 1, for jitter; Math.random unless a test knows better. */
  random?: () => number
}

/** Seconds an address lives. Asked anew whenever it is refused, so the length matters little. */
const ADDRESS_LIFE_S = 86_400
/** Playing this long makes the next failure the first one again; a single good second does not. */
const STEADY_MS = 10_000

/** One viewer of one channel. */
export class LiveSession {
  private view: View = {
    phase: 'idle',
    src: '',
    quality: Quality.hd,
    device: undefined,
    failure: undefined,
    retryAt: undefined,
    fellBack: false,
    soundless: false,
    step: undefined,
  }
  /** Counts attempts, so that answers to an abandoned one are dropped. */
  private attempt = 0
  private readonly backoff: Backoff
  /** The code of an encrypted device, once entered. */
  private code: string | undefined
  /** The one thing that will happen by itself: a retry, a poll, or the all-clear after steady playing. */
  private timer: ReturnType<typeof setTimeout> | undefined

  constructor(private readonly options: SessionOptions) {
    this.backoff = new Backoff(options.random)
  }

  /** Plays, from any phase. */
  start(): void {
    this.backoff.reset()
    void this.ask()
  }

  /** Stops, until {@link LiveSession.start}. The state of the device is still followed. */
  stop(): void {
    this.abandon()
    this.update({ phase: 'idle', src: '', failure: undefined, retryAt: undefined })
    this.follow()
  }

  /** Lets go of everything; the session is of no use afterwards. */
  dispose(): void {
    this.abandon()
  }

  /** The page is not seen: whoever is not watching takes no media. */
  hide(): void {
    const { phase } = this.view
    this.abandon()
    if (phase !== 'idle' && phase !== 'failed') this.update({ phase: 'paused', src: '', retryAt: undefined })
  }

  /** The page is seen again. */
  reveal(): void {
    if (this.view.phase === 'paused') this.start()
    else if (this.view.phase === 'idle') this.follow()
  }

  /** The network is back, or the user is impatient. */
  retryNow(): void {
    if (this.view.phase === 'waiting') void this.ask()
  }

  /** Changes between main and sub stream; plays on if it was playing. */
  setQuality(quality: Quality): void {
    if (quality === this.view.quality) return
    this.update({ quality, fellBack: false, soundless: false })
    if (this.view.phase !== 'idle' && this.view.phase !== 'paused') this.start()
  }

  /** Tries a code on an encrypted device. */
  unlock(code: string): void {
    this.code = code
    this.start()
  }

  /** Passes on that the stream's sound cannot be played. */
  onSoundless(): void {
    this.update({ soundless: true })
  }

  /** Passes on what the player reported about the view's `src`. */
  onPlayer(state: PlayerState): void {
    const { phase } = this.view
    // A player's last words may come after it was told to stop.
    if (phase !== 'connecting' && phase !== 'playing' && phase !== 'buffering') return
    if (state.code < 0) {
      this.fail({ kind: state.fault ?? 'other', code: '', detail: state.detail ?? '' })
    } else if (state.code === PlayerCode.playing) {
      this.update({ phase: 'playing', failure: undefined, step: undefined })
      this.after(STEADY_MS, () => this.backoff.reset())
    } else if (phase === 'playing' && (state.code === PlayerCode.stutter || state.code === PlayerCode.reconnecting)) {
      this.update({ phase: 'buffering', step: state.code })
    } else if (phase !== 'playing') {
      this.update({ step: state.code })
    }
  }

  private async ask(): Promise<void> {
    this.abandon()
    const attempt = this.attempt
    const { api, deviceSerial } = this.options
    this.update({ phase: 'asking', src: '', retryAt: undefined })
    // Side by side: the first picture is one round trip nearer. An address for an off-line device harms nobody.
    const [info, address] = await Promise.allSettled([api.deviceInfo(deviceSerial), api.liveAddress(this.question())])
    if (attempt !== this.attempt) return
    if (info.status === 'fulfilled') this.update({ device: info.value })
    if (info.status === 'fulfilled' && !info.value.online) {
      this.fail({ kind: 'offline', code: '20007', detail: '', since: info.value.updateTime })
    } else if (address.status === 'rejected') {
      // The address's own refusal names the channel and the encryption; where it could not be asked, neither could info.
      this.fail(apiFailure(address.reason))
    } else {
      // The name of the device is a nicety: a picture without it is better than none.
      this.update({ phase: 'connecting', src: address.value.url, step: undefined })
    }
  }

  private question(): LiveAddressRequest {
    const { deviceSerial, channelNo, protocol, h265 } = this.options
    return {
      deviceSerial,
      channelNo,
      protocol,
      quality: this.view.quality,
      expireTime: ADDRESS_LIFE_S,
      ...(h265 ? { supportH265: true } : {}),
      ...(this.code === undefined ? {} : { code: this.code }),
    }
  }

  private fail(failure: Failure): void {
    this.abandon()
    if (failure.kind === 'h265' && this.view.quality === Quality.hd) {
      // Most H.265 cameras keep their sub stream in H.264.
      this.update({ quality: Quality.sd, fellBack: true })
      void this.ask()
      return
    }
    const what = remedy(failure)
    if (failure.kind === 'offline' && this.view.device) {
      // 20007 may know it before info does.
      this.update({ device: { ...this.view.device, online: false } })
    }
    if (what === 'user') {
      this.update({ phase: 'failed', src: '', failure, retryAt: undefined })
      return
    }
    const first = this.backoff.fresh
    const delay = this.backoff.next(what)
    if (failure.kind === 'refused' && first) {
      // An address that ran out is the ordinary case; nobody needs to hear of it.
      void this.ask()
      return
    }
    this.update({ phase: 'waiting', src: '', failure, retryAt: Date.now() + delay })
    this.after(delay, () => void this.ask())
  }

  /** Keeps the device's state true while nothing plays. */
  private follow(): void {
    this.after(this.backoff.jitter(POLL_MS), async () => {
      const attempt = this.attempt
      const device = await this.options.api.deviceInfo(this.options.deviceSerial).catch(() => undefined)
      if (attempt !== this.attempt) return
      if (device) this.update({ device })
      this.follow()
    })
  }

  private after(ms: number, then: () => void): void {
    clearTimeout(this.timer)
    this.timer = setTimeout(then, ms)
  }

  private abandon(): void {
    this.attempt += 1
    clearTimeout(this.timer)
  }

  private update(change: Partial<View>): void {
    this.view = { ...this.view, ...change }
    this.options.show(this.view)
  }
}
