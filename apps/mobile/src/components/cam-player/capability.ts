/** What the player of this platform can take; asked before an address is. */
import { Protocol } from '../../../../shared/api'

/** The stream protocol to ask the server for: HLS where nothing else plays, and live only. */
export function streamProtocol(kind: 'live' | 'footage'): Protocol {
  // #ifdef H5
  return kind === 'live' && prefersHls() ? Protocol.hls : Protocol.flv
  // #endif
  // #ifndef H5
  return Protocol.rtmp
  // #endif
}

/** Whether H.265 may be asked for. Only what the browser itself claims counts; WeChat's live-player has H.264 alone. */
export function decodesH265(): boolean {
  // #ifdef H5
  return isTypeSupported('video/mp4;codecs="hvc1.1.6.L93.B0"')
  // #endif
  // #ifndef H5
  return false
  // #endif
}

/** Whether Media Source Extensions take this type; iPhones have only the managed kind. */
export function isTypeSupported(type: string): boolean {
  const { MediaSource, ManagedMediaSource } = globalThis as {
    MediaSource?: { isTypeSupported(type: string): boolean }
    ManagedMediaSource?: { isTypeSupported(type: string): boolean }
  }
  return (MediaSource ?? ManagedMediaSource)?.isTypeSupported(type) ?? false
}

// #ifdef H5
/** Whether an address is one of HLS. */
export function isHls(url: string): boolean {
  return new URL(url).pathname.endsWith('.m3u8')
}

/**
 * Whether HLS is what plays here: `<video>` takes it, and there are no Media Source Extensions for FLV, which is seconds
 * closer to now. `?player=hls` before the `#` of a page's address asks for it where both are there.
 */
function prefersHls(): boolean {
  if (document.createElement('video').canPlayType('application/vnd.apple.mpegurl') === '') return false
  return new URLSearchParams(location.search).get('player') === 'hls' || !isTypeSupported('video/mp4;codecs="avc1.42E01E"')
}
// #endif
