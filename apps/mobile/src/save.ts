/** Giving files to the user: in a browser as a download, on WeChat in the album. */

/** How far a download is. */
export interface Progress {
  /** Bytes. */
  received: number
  /** Bytes in all, where the server says. */
  total: number | undefined
}

/** A download under way. */
export interface Download {
  /** Resolves when the file is saved; rejects when that fails, and after a cancel. */
  done: Promise<void>
  cancel(): void
}

/** Fetches an address and saves it under a name. */
export function download(url: string, name: string, onProgress: (progress: Progress) => void): Download {
  // #ifdef H5
  const abortion = new AbortController()
  return { done: downloadInBrowser(url, name, onProgress, abortion.signal), cancel: () => abortion.abort() }
  // #endif
  // #ifndef H5
  return downloadOnWeChat(url, onProgress)
  // #endif
}

// #ifndef H5
/** WeChat takes files up to 200 MB, and names them itself. */
function downloadOnWeChat(url: string, onProgress: (progress: Progress) => void): Download {
  let cancel = () => {}
  const done = new Promise<void>((resolve, reject) => {
    const task = uni.downloadFile({
      url,
      success: ({ statusCode, tempFilePath }) => {
        if (statusCode === 200) uni.saveVideoToPhotosAlbum({ filePath: tempFilePath, success: () => resolve(), fail: reject })
        else reject(new Error(`HTTP ${statusCode}`))
      },
      fail: reject,
    })
    task.onProgressUpdate(({ totalBytesWritten, totalBytesExpectedToWrite }) =>
      onProgress({ received: totalBytesWritten, total: totalBytesExpectedToWrite || undefined }),
    )
    cancel = () => task.abort()
  })
  return { done, cancel }
}
// #endif

// #ifdef H5
async function downloadInBrowser(
  url: string,
  name: string,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<void> {
  const response = await fetch(url, { signal, cache: 'no-store', referrerPolicy: 'no-referrer' })
  if (!response.ok || !response.body) throw new Error(`HTTP ${response.status}`)
  const total = Number(response.headers.get('content-length')) || undefined
  const reader = response.body.getReader()
  // Small blobs, so that the browser may keep them on disk instead of in memory.
  const pieces: Blob[] = []
  let received = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    pieces.push(new Blob([value]))
    received += value.byteLength
    onProgress({ received, total })
  }
  if (total !== undefined && received < total) throw new Error(`${received} of ${total} bytes`)
  saveBlob(new Blob(pieces, { type: 'video/mp4' }), name)
}

/** Lets the browser save a blob under a name. */
export function saveBlob(blob: Blob, name: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob)
  link.download = name.replace(/[/\\:]/g, '-')
  link.click()
  // The download has its own hold on the blob once it has begun.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}

/** Saves the picture that a video shows, as JPEG. Rejects when it shows none. */
export async function saveStill(video: HTMLVideoElement, name: string): Promise<void> {
  const canvas = document.createElement('canvas')
  canvas.width = video.videoWidth
  canvas.height = video.videoHeight
  canvas.getContext('2d')?.drawImage(video, 0, 0)
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, 'image/jpeg', 0.92))
  canvas.width = canvas.height = 0
  if (!blob) throw new Error('no picture')
  saveBlob(blob, name)
}
// #endif
