/**
 * Playing back one channel: which footage there is, what is played of it, and what comes after.
 *
 * Knows no framework, no DOM and no player; like {@link LiveSession} it is told what happens and shows a {@link View}.
 *
 * An address is asked for one run of footage at a time, from the wanted moment to the run's end. So the moment on the
 * screen is always known: where the address began, plus what the player has played, times the speed. Every seek and
 * every change of speed is a new address; the last one asked for wins.
 */
import { Storage, type ChannelRef, type CloudService, type OpenApi, type Protocol } from '../../../shared/api'
import { PlayerCode, type PlayerState } from '../components/cam-player/player-state'
import { Backoff } from '../live/backoff'
import { apiFailure, remedy, type Failure } from '../live/failure'
import { addDays, dayOf, daysAround, join, spanAfter, spanAt, WINDOW_MS_MAX, type Span } from './time-line'

/** Where a session stands. */
export type Phase =
  /** Looking for footage. */
  | 'searching'
  /** The day that was chosen has none. */
  | 'empty'
  /** Getting an address. */
  | 'asking'
  | 'connecting'
  | 'playing'
  | 'buffering'
  /** Paused by the user. */
  | 'paused'
  /** The newest footage has been played. */
  | 'ended'
  /** Failed; the next attempt is at `retryAt`. */
  | 'waiting'
  /** Failed; only the user can help. */
  | 'failed'
  /** The page is hidden; playing goes on when it is shown. */
  | 'hidden'

/** All that the page shows. */
export interface View {
  readonly phase: Phase
  /** For the player; empty when it shall not play. */
  readonly src: string
  readonly storage: Storage
  readonly speed: number
  /** What is on the screen, or would be. */
  readonly moment: number
  /** The footage that is known, joined, oldest first. */
  readonly spans: readonly Span[]
  /** The gap that was just jumped over. */
  readonly skipped: Span | undefined
  readonly failure: Failure | undefined
  readonly retryAt: number | undefined
  readonly soundless: boolean
  /** The cloud service of the channel, once it was asked about. */
  readonly service: CloudService | undefined
}

/** What to play, and with what. */
export interface PlaybackOptions {
  api: OpenApi
  channel: ChannelRef
  protocol: Protocol
  h265: boolean
  show: (view: View) => void
  random?: () => number
}

/** Speeds that can be chosen: from 8 on the platform sends key frames only. */
export const SPEEDS = [0.5, 1, 2, 4, 8, 16] as const
/** Seconds an address lives. */
const ADDRESS_LIFE_S = 86_400
/** Playing this long makes the next failure the first one again. */
const STEADY_MS = 10_000
/** Footage of today grows: it is looked for again after this. */
const REFRESH_MS = 30_000
/** What grows is followed this closely; the rest is the live page's business. */
const TAIL_MS = 10_000
/** A stream that ends this much before its run was cut off. */
const CUT_MS = 5_000
/** Days without footage that are skipped on the way to the next, before it is left to the user. */
const DAYS_AHEAD_MAX = 31

/** A device without a card says that it cannot. */
function keepsNone(error: unknown): [] {
  if (apiFailure(error).kind === 'cannot') return []
  throw error
}

/** One viewer of one channel's footage. */
export class PlaybackSession {
  private view: View = {
    phase: 'searching',
    src: '',
    storage: Storage.local,
    speed: 1,
    moment: Date.now(),
    spans: [],
    skipped: undefined,
    failure: undefined,
    retryAt: undefined,
    soundless: false,
    service: undefined,
  }
  /** What is known of each day of the storage in use; its key is the day's start. */
  private readonly days = new Map<number, { spans: Span[]; at: number }>()
  private readonly backoff: Backoff
  /** Counts everything that is asked for, so that answers to what was asked before are dropped. */
  private attempt = 0
  /** Where the address in use begins, and where its run ends. */
  private run: Span | undefined
  private code: string | undefined
  private timer: ReturnType<typeof setTimeout> | undefined
  /** What is done again after a failure. */
  private again: () => void = () => {}

  constructor(private readonly options: PlaybackOptions) {
    this.backoff = new Backoff(options.random)
  }

  /** Plays the newest footage there is today, else yesterday's, as a viewer who was just away wants it. */
  start(): void {
    void this.newest([dayOf(Date.now()), addDays(dayOf(Date.now()), -1)])
  }

  /** Plays the newest footage of a day. */
  openDay(day: number): void {
    this.backoff.reset()
    void this.newest([day])
  }

  /** Plays from a moment, or from the next footage after it, or from the last before. */
  seek(moment: number): void {
    this.backoff.reset()
    void this.playFrom(Math.round(moment))
  }

  /** Plays from the other storage, at the same moment if it has that. */
  setStorage(storage: Storage): void {
    if (storage === this.view.storage) return
    this.backoff.reset()
    this.days.clear()
    this.update({ storage, spans: [], service: undefined, soundless: false })
    void this.playFrom(this.view.moment)
  }

  /** Plays faster or slower from here on. */
  setSpeed(speed: number): void {
    if (speed === this.view.speed) return
    this.update({ speed })
    if (this.active) void this.playFrom(this.view.moment)
  }

  pause(): void {
    if (!this.active) return
    this.abandon()
    this.update({ phase: 'paused', src: '', failure: undefined, retryAt: undefined })
  }

  /** Plays on where it was paused; at the end, from the start of the last run. */
  resume(): void {
    this.backoff.reset()
    void this.playFrom(this.view.moment)
  }

  /** The page is not seen: whoever is not watching takes no media. */
  hide(): void {
    if (!this.active) return
    this.abandon()
    this.update({ phase: 'hidden', src: '', retryAt: undefined })
  }

  /** The page is seen again. */
  reveal(): void {
    if (this.view.phase === 'hidden') this.resume()
  }

  /** The network is back, or the user is impatient. */
  retryNow(): void {
    if (this.view.phase === 'waiting') this.again()
  }

  /** What a download of the footage under the eye needs to know. */
  get download(): { storage: Storage; from: number; to: number; code: string | undefined } {
    const { storage, moment, spans } = this.view
    return { storage, from: moment, to: spanAt(spans, moment)?.to ?? moment, code: this.code }
  }

  /** Tries a code on an encrypted device. */
  unlock(code: string): void {
    this.code = code
    this.resume()
  }

  /** Cloud storage was opened: looks again. */
  serviceOpened(): void {
    this.days.clear()
    this.update({ service: undefined })
    void this.playFrom(this.view.moment)
  }

  /** Lets go of everything. */
  dispose(): void {
    this.abandon()
  }

  /** Makes known the footage that a ruler around a moment shows; failures leave it unmarked. */
  async look(moment: number): Promise<void> {
    const { storage } = this.view
    for (const day of daysAround(moment, WINDOW_MS_MAX)) {
      await this.load(day, storage).catch(() => {})
      if (storage !== this.view.storage) return
    }
  }

  /** Passes on that the stream's sound cannot be played. */
  onSoundless(): void {
    this.update({ soundless: true })
  }

  /** Passes on how many seconds of the view's `src` were played. */
  onProgress(seconds: number): void {
    const { phase, speed } = this.view
    if (!this.run || (phase !== 'playing' && phase !== 'buffering')) return
    const moment = Math.round(Math.min(this.run.to, this.run.from + seconds * 1000 * speed))
    if (moment > this.view.moment) this.update({ moment })
  }

  /** Passes on what the player reported about the view's `src`. */
  onPlayer(state: PlayerState): void {
    const { phase } = this.view
    if (phase !== 'connecting' && phase !== 'playing' && phase !== 'buffering') return
    if (state.code === PlayerCode.ended) this.onEnd()
    else if (state.code < 0) this.fail({ kind: state.fault ?? 'other', code: '', detail: state.detail ?? '' }, () => this.resumeAt())
    else if (state.code === PlayerCode.playing) {
      this.update({ phase: 'playing', failure: undefined })
      this.after(STEADY_MS, () => this.backoff.reset())
    } else if (phase === 'playing' && (state.code === PlayerCode.stutter || state.code === PlayerCode.reconnecting)) {
      this.update({ phase: 'buffering' })
    }
  }

  /** A run was played to its end, or the stream was cut off before. */
  private onEnd(): void {
    const { moment, speed } = this.view
    const { from, to } = this.run ?? { from: moment, to: moment }
    const cut = to - moment > CUT_MS * Math.max(1, speed)
    // Where not a second came, asking for it once more would bring no more.
    if (cut && moment - from > 1000) this.fail({ kind: 'ended', code: '', detail: '' }, () => this.resumeAt())
    else void this.next()
  }

  /** It plays, or is about to. */
  private get active(): boolean {
    return ['searching', 'asking', 'connecting', 'playing', 'buffering', 'waiting'].includes(this.view.phase)
  }

  private resumeAt(): void {
    void this.playFrom(this.view.moment)
  }

  private async newest(days: readonly number[]): Promise<void> {
    const mine = this.begin({ phase: 'searching', skipped: undefined })
    try {
      for (const day of days) {
        const spans = await this.load(day, this.view.storage)
        if (mine !== this.attempt) return
        // The last file, not the whole run it belongs to, which may be a day long.
        const last = spans.at(-1)
        if (last) {
          await this.ask(last.from, mine)
          return
        }
      }
      const [day = dayOf(Date.now())] = days
      await this.nothing(Math.min(day + WINDOW_MS_MAX / 2, Date.now()), mine)
    } catch (error) {
      if (mine === this.attempt) this.fail(apiFailure(error), () => void this.newest(days))
    }
  }

  private async playFrom(moment: number): Promise<void> {
    const mine = this.begin({ phase: 'searching', moment, skipped: undefined })
    try {
      await this.load(dayOf(moment), this.view.storage)
      if (mine !== this.attempt) return
      const { spans } = this.view
      const span = spanAt(spans, moment)
      if (span) {
        await this.ask(moment, mine)
        return
      }
      const from = spanAfter(spans, moment)?.from ?? [...spans].reverse().find(({ to }) => to <= moment)?.from
      if (from === undefined) await this.nothing(moment, mine)
      else await this.ask(from, mine)
    } catch (error) {
      if (mine === this.attempt) this.fail(apiFailure(error), () => void this.playFrom(moment))
    }
  }

  /** The run is over: on to the next one, across midnight and days without footage. */
  private async next(): Promise<void> {
    const end = this.run?.to ?? this.view.moment
    const mine = this.begin({ phase: 'searching', moment: end })
    try {
      let day = dayOf(end)
      const today = dayOf(Date.now())
      for (let looked = 0; looked < DAYS_AHEAD_MAX && day <= today; looked += 1) {
        // The day that has just been played may have grown since.
        await this.load(day, this.view.storage, looked === 0 && day === today)
        if (mine !== this.attempt) return
        const further = spanAt(this.view.spans, end) ?? spanAfter(this.view.spans, end)
        const from = Math.max(further?.from ?? end, end)
        if (further && (further.to < Date.now() - TAIL_MS || further.to - from > TAIL_MS)) {
          if (from > end) this.update({ skipped: { from: end, to: from } })
          await this.ask(from, mine)
          return
        }
        day = addDays(day, 1)
      }
      this.update({ phase: 'ended', src: '' })
    } catch (error) {
      if (mine === this.attempt) this.fail(apiFailure(error), () => void this.next())
    }
  }

  private async ask(from: number, mine: number): Promise<void> {
    const { api, channel, protocol, h265 } = this.options
    const { storage, speed, spans } = this.view
    const to = spanAt(spans, from)?.to ?? from + 1000
    this.update({ phase: 'asking', moment: from })
    const { url } = await api.playbackAddress({
      ...channel,
      protocol,
      type: storage,
      startTime: from,
      stopTime: to,
      expireTime: ADDRESS_LIFE_S,
      ...(speed === 1 ? {} : { playbackSpeed: speed }),
      ...(h265 ? { supportH265: true } : {}),
      ...(this.code === undefined ? {} : { code: this.code }),
    })
    if (mine !== this.attempt) return
    this.run = { from, to }
    this.update({ phase: 'connecting', src: url, failure: undefined })
  }

  /** No footage. In the cloud that may be because there is no service. */
  private async nothing(moment: number, mine: number): Promise<void> {
    if (this.view.storage === Storage.cloud && !this.view.service) {
      const service = await this.options.api.cloudService(this.options.channel)
      if (mine !== this.attempt) return
      this.update({ service })
    }
    this.update({ phase: 'empty', src: '', moment, failure: undefined })
  }

  /** What is known of a day, asked for if that is nothing yet; today's is asked for again and again. */
  private async load(day: number, storage: Storage, fresh = false): Promise<Span[]> {
    const known = this.days.get(day)
    const growing = day === dayOf(Date.now())
    if (known && !fresh && !(growing && Date.now() - known.at > REFRESH_MS)) return known.spans
    const rows = await this.options.api.recordings(this.options.channel, storage, day, addDays(day, 1) - 1).catch(keepsNone)
    if (storage !== this.view.storage) return []
    const spans = rows.map(({ startTime, endTime }) => ({ from: startTime, to: endTime })).filter(({ from, to }) => to > from)
    this.days.set(day, { spans, at: Date.now() })
    this.update({ spans: join([...this.days.values()].flatMap((one) => one.spans)) })
    return spans
  }

  private fail(failure: Failure, again: () => void): void {
    this.abandon()
    const what = remedy(failure)
    if (what === 'user') {
      this.update({ phase: 'failed', src: '', failure, retryAt: undefined })
      return
    }
    const delay = this.backoff.next(what)
    this.again = again
    this.update({ phase: 'waiting', src: '', failure, retryAt: Date.now() + delay })
    this.after(delay, again)
  }

  /** Drops everything that is under way for something new. Gives its number. */
  private begin(change: Partial<View>): number {
    this.abandon()
    this.update({ src: '', retryAt: undefined, ...change })
    return this.attempt
  }

  private after(ms: number, then: () => void): void {
    clearTimeout(this.timer)
    this.timer = setTimeout(then, ms)
  }

  private abandon(): void {
    this.attempt += 1
    this.run = undefined
    clearTimeout(this.timer)
  }

  private update(change: Partial<View>): void {
    this.view = { ...this.view, ...change }
    this.options.show(this.view)
  }
}
