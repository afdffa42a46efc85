/**
 * Fetches HTTP-FLV for mpegts.js.
 *
 * Its own loader aborts a running fetch only when the next bytes arrive: behind a silent camera the connection would
 * stay open, and count as a viewer, until somebody closes the tab. This one aborts at once.
 */
import mpegts from 'mpegts.js'

const { LoaderStatus } = mpegts
// The declared type is the table of names where a name is meant.
const LoaderErrors = mpegts.LoaderErrors as unknown as Record<keyof mpegts.LoaderErrors, mpegts.LoaderErrors>

/** The loader's class for one player, which hears of every piece that arrives. */
export function flvLoader(onBytes: (count: number) => void): mpegts.CustomLoaderConstructor {
  return class extends FlvLoader {
    protected override arrived(count: number): void {
      onBytes(count)
    }
  }
}

/** A loader that can be stopped at any moment. */
abstract class FlvLoader extends mpegts.BaseLoader {
  private readonly abortion = new AbortController()

  constructor() {
    super('fluorite-fetch')
    // The demuxer takes whole tags; mpegts.js keeps the rest of a chunk for it.
    this._needStash = true
  }

  override destroy(): void {
    this.abort()
    super.destroy()
  }

  override open(source: mpegts.MediaSegment): void {
    this._status = LoaderStatus.kConnecting
    void this.pump(source.url)
  }

  override abort(): void {
    this.abortion.abort()
    this._status = LoaderStatus.kComplete
  }

  protected abstract arrived(count: number): void

  private async pump(url: string): Promise<void> {
    const { signal } = this.abortion
    let received = 0
    try {
      const response = await fetch(url, { signal, cache: 'no-store', referrerPolicy: 'no-referrer' })
      if (signal.aborted) return
      if (!response.ok || !response.body) {
        this._status = LoaderStatus.kError
        this.onError(LoaderErrors.HTTP_STATUS_CODE_INVALID, { code: response.status, msg: response.statusText })
        return
      }
      const reader = response.body.getReader()
      for (;;) {
        const { done, value } = await reader.read()
        if (signal.aborted) return
        if (done) break
        this._status = LoaderStatus.kBuffering
        const start = received
        received += value.byteLength
        this.arrived(value.byteLength)
        // A view may be a window into a larger buffer; the demuxer takes whole buffers.
        const whole = value.byteLength === value.buffer.byteLength
        this.onDataArrival(whole ? value.buffer : value.slice().buffer, start, received)
      }
      this._status = LoaderStatus.kComplete
      this.onComplete(0, received - 1)
    } catch (error) {
      if (signal.aborted) return
      this._status = LoaderStatus.kError
      const msg = error instanceof Error ? error.message : String(error)
      this.onError(received > 0 ? LoaderErrors.EARLY_EOF : LoaderErrors.EXCEPTION, { code: -1, msg })
    }
  }
}
