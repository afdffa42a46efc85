/** The runtime's way of sending a request, for {@link OpenApi}: uni.request, the same in a browser and on WeChat. */
import type { Transport } from '../../shared/api'

/** Sends one urlencoded form with uni.request. */
export const transport: Transport = ({ url, body, timeoutMs, language }) =>
  new Promise((resolve, reject) => {
    uni.request({
      url,
      method: 'POST',
      data: body,
      timeout: timeoutMs,
      header: {
        'content-type': 'application/x-www-form-urlencoded',
        ...(language ? { 'accept-language': language } : {}),
      },
      success: ({ statusCode, data }) => resolve({ status: statusCode, body: data }),
      fail: ({ errMsg }: { errMsg?: string }) => reject(new Error(errMsg ?? 'request failed')),
    })
  })

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
