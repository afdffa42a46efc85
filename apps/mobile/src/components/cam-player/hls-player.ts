/**
 * One HLS stream in one `<video>` that plays it by itself: iPhones have no Media Source Extensions, but this.
 *
 * The element fetches the pieces, keeps its own distance from now and tells little of what goes wrong; what it does not
 * tell is asked of the address.
 */
import { PlayerCode } from './player-state'
import { StreamPlayer, type PlayerEvents, type StreamKind } from './stream-player'

/** See {@link StreamPlayer}. */
export class HlsPlayer extends StreamPlayer {
  private readonly abortion = new AbortController()

  constructor(video: HTMLVideoElement, url: string, kind: StreamKind, events: PlayerEvents) {
    super(video, url, kind, events)
    video.addEventListener('error', this.onError)
    video.addEventListener('ended', this.onEnded)
    events.state({ code: PlayerCode.connected })
    video.src = url
    this.started()
  }

  protected override close(): void {
    this.abortion.abort()
    const { video } = this
    video.removeEventListener('error', this.onError)
    video.removeEventListener('ended', this.onEnded)
    // Without load() the element would go on fetching.
    video.removeAttribute('src')
    video.load()
  }

  /** The element does so by itself, in its own time. */
  protected override keepUp(): void {}

  private readonly onEnded = (): void => {
    if (this.kind === 'live') this.fail('ended')
    else this.complete = true
  }

  /** The element names no status: the address is asked once more, and says why. */
  private readonly onError = async (): Promise<void> => {
    const detail = this.video.error?.message ?? ''
    const { signal } = this.abortion
    let status: number
    try {
      const response = await fetch(this.url, { signal, cache: 'no-store', referrerPolicy: 'no-referrer' })
      status = response.status
    } catch {
      if (!signal.aborted) this.fail('network', detail)
      return
    }
    if (signal.aborted) return
    if (status < 400) this.fail('media', detail)
    else this.fail(status >= 500 ? 'server' : 'refused', `HTTP ${status}`)
  }
}
