/** What the player of this platform can take; asked before an address is. */
import { Protocol } from '../../../../shared/api'

/** The stream protocol to ask the server for. */
export function liveProtocol(): Protocol {
  // #ifdef H5
  return Protocol.flv
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
