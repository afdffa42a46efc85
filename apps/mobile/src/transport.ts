/** The runtime's ways of sending requests, for {@link OpenApi}: uni's, the same in a browser and on WeChat. */
import type { ServerOptions, Transport, UploadTransport } from '../../shared/api'
import { locale } from './i18n'

/** Sends one request with uni.request. */
export const transport: Transport = ({ method, url, body, timeoutMs, language }) =>
  new Promise((resolve, reject) => {
    uni.request({
      url,
      method,
      ...(body ? { data: body } : {}),
      timeout: timeoutMs,
      header: {
        'content-type': 'application/x-www-form-urlencoded',
        ...(language ? { 'accept-language': language } : {}),
      },
      success: ({ statusCode, data }) => resolve({ status: statusCode, body: data }),
      fail: ({ errMsg }: { errMsg?: string }) => reject(new Error(errMsg ?? 'request failed')),
    })
  })

/** Sends one file with uni.uploadFile. */
export const upload: UploadTransport = ({ url, fields, fileField, file, timeoutMs }) =>
  new Promise((resolve, reject) => {
    uni.uploadFile({
      url,
      formData: fields,
      timeout: timeoutMs,
      // Browsers' uploads of a single `file` without a path are refused by uni-app; those of a list are not.
      ...(typeof file === 'string' ? { name: fileField, filePath: file } : { files: [{ name: fileField, uri: '', file: file as File }] }),
      success: ({ statusCode, data }) => resolve({ status: statusCode, body: parse(data) }),
      fail: ({ errMsg }: { errMsg?: string }) => reject(new Error(errMsg ?? 'upload failed')),
    })
  })

/** uni.uploadFile gives text where uni.request gives what it parsed. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The server of these pages, in the user's language. */
export function server(): ServerOptions {
  return { baseUrl: serverUrl(), transport, language: () => locale.value }
}

/**
 * The server these pages belong to, without the final slash.
 *
 * In a browser it is the one that served the page, and nothing else: a token never goes to a host named in a link.
 * The page lies at `<server>/m/`, so a path prefix of a reverse proxy is kept.
 */
export function serverUrl(): string {
  // #ifdef H5
  return new URL('..', document.baseURI.split('#')[0]).href.replace(/\/$/, '')
  // #endif
  // #ifndef H5
  return chosenServer()
  // #endif
}

/** The server named in a link once, else the one the build was made for (`VITE_FLUORITE_ORIGIN`). */
function chosenServer(): string {
  const chosen: unknown = uni.getStorageSync('server')
  if (typeof chosen === 'string' && chosen) return chosen
  const { VITE_FLUORITE_ORIGIN: built = '' } = import.meta.env as { VITE_FLUORITE_ORIGIN?: string }
  return built
}

/** Remembers the server named in a link; a mini-program has no address bar to learn it from. */
export function rememberServer(server: string): void {
  uni.setStorageSync('server', server)
}
