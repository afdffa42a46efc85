/**
 * The phone's microphone: hold to talk. What differs between browsers and WeChat ends here.
 *
 * A browser gives a page the microphone on https and on localhost only; {@link canRecord} says so beforehand.
 */

/** A recording under way. */
export interface Recorder {
  /** Ends it. What was said, or undefined if that was nothing; a path on WeChat, a File in browsers. */
  stop(): Promise<unknown>
  /** Ends it and throws it away. */
  cancel(): void
}

/** What a recording tells. */
export interface RecorderEvents {
  /** Loudness, 0 … 1, some times a second. WeChat tells none. */
  level(level: number): void
}

/** Longer ones are refused by the platform, milliseconds. */
export const RECORD_MS_MAX = 60_000

/** Whether this page may use a microphone at all. */
export function canRecord(): boolean {
  // #ifdef H5
  return window.isSecureContext && typeof MediaRecorder === 'function' && navigator.mediaDevices !== undefined
  // #endif
  // #ifndef H5
  return true
  // #endif
}

/** Starts. Rejects when the user or the system does not allow it. */
export function startRecorder(events: RecorderEvents): Promise<Recorder> {
  // #ifdef H5
  return recordInBrowser(events)
  // #endif
  // #ifndef H5
  return recordOnWeChat()
  // #endif
}

// #ifndef H5
function recordOnWeChat(): Promise<Recorder> {
  const manager = uni.getRecorderManager()
  return new Promise((resolve, reject) => {
    const file = new Promise<string>((done) => {
      manager.onStop(({ tempFilePath }: { tempFilePath: string }) => done(tempFilePath))
    })
    manager.onError(reject)
    manager.onStart(() => {
      resolve({
        stop() {
          manager.stop()
          return file
        },
        cancel: () => manager.stop(),
      })
    })
    manager.start({ duration: RECORD_MS_MAX, sampleRate: 16_000, numberOfChannels: 1, encodeBitRate: 48_000, format: 'mp3' })
  })
}
// #endif

// #ifdef H5
async function recordInBrowser(events: RecorderEvents): Promise<Recorder> {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true, noiseSuppression: true } })
  const recorder = new MediaRecorder(stream)
  const pieces: Blob[] = []
  recorder.addEventListener('dataavailable', ({ data }) => pieces.push(data))
  const stopped = new Promise<void>((resolve) => recorder.addEventListener('stop', () => resolve(), { once: true }))
  const endMeter = measure(stream, events)
  recorder.start()
  const end = () => {
    endMeter()
    if (recorder.state !== 'inactive') recorder.stop()
    for (const track of stream.getTracks()) track.stop()
  }
  return {
    async stop() {
      end()
      await stopped
      const blob = new Blob(pieces, { type: recorder.mimeType })
      return blob.size > 0 ? new File([blob], 'talk', { type: blob.type }) : undefined
    },
    cancel: end,
  }
}

/** Watches the loudness of a stream. Gives what ends it. */
function measure(stream: MediaStream, events: RecorderEvents): () => void {
  const context = new AudioContext()
  const analyser = new AnalyserNode(context, { fftSize: 1024 })
  context.createMediaStreamSource(stream).connect(analyser)
  const samples = new Float32Array(analyser.fftSize)
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples)
    const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length
    // −60 dB is silence, −10 dB is as loud as people speak into a phone.
    events.level(Math.min(1, Math.max(0, (10 * Math.log10(power + 1e-9) + 60) / 50)))
  }, 80)
  return () => {
    clearInterval(timer)
    void context.close()
  }
}
// #endif
