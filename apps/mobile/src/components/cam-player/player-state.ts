/**
 * What a player tells its page: the state codes of WeChat's live-player, on every platform.
 *
 * Codes that WeChat has keep their meaning, so that a page written for one platform reads the other. What WeChat has no
 * code for travels as `fault` beside {@link PlayerCode.gaveUp}.
 */

/** State codes of WeChat's live-player (developers.weixin.qq.com, live-player, "状态码"). */
export const PlayerCode = {
  /** Connecting to the server. */
  connected: 2001,
  /** Connected; pulling begins. */
  pulling: 2002,
  /** The first key frame is there. */
  firstKeyFrame: 2003,
  /** Pictures are moving. */
  playing: 2004,
  /** Playing has ended. */
  ended: 2006,
  /** Waiting for media. */
  loading: 2007,
  /** The decoder is up. */
  decoderStarted: 2008,
  /** The size of the picture changed. */
  sizeChanged: 2009,
  /** Cut off; WeChat reconnects by itself. */
  reconnecting: 2103,
  /** Stuttering. */
  stutter: 2105,
  /** The server's name is unknown; WeChat tries again. */
  unknownHost: 3001,
  /** The server does not answer; WeChat tries again. */
  unreachable: 3002,
  /** The handshake with the server failed; WeChat tries again. */
  handshakeFailed: 3003,
  /** The stream cannot be read; WeChat tries again. */
  readFailed: 3005,
  /** Given up. On H5 at once, with a fault: reconnecting is the page's business. */
  gaveUp: -2301,
  /** H.265 cannot be decoded. */
  hevcUnsupported: -2304,
} as const

/** Codes that a waiting viewer is told in words; the texts are in i18n under `state.<code>`. */
export const SPOKEN_CODES = [2001, 2002, 2003, 2007, 2008, 2009, 2103, 2105, 3001, 3002, 3003, 3005] as const

/** Why a player gave up. */
export type PlayerFault =
  /** The address is refused: expired, disabled, or its signature is wrong. */
  | 'refused'
  /** No connection, or it broke. */
  | 'network'
  /** The server answered with an error of its own. */
  | 'server'
  /** The server closed the stream. */
  | 'ended'
  /** Connected, but no picture in time. */
  | 'silent'
  /** Pictures came and then none for {@link STALL_MS}. */
  | 'stalled'
  /** The video is H.265 and cannot be decoded here. */
  | 'h265'
  /** The bytes are no stream this player can read. */
  | 'media'
  /** The platform has no way to play streams: neither Media Source Extensions nor HLS. */
  | 'noMse'
  /** Playing needs a touch first. */
  | 'blocked'

/** One event of a player. */
export interface PlayerState {
  /** One of {@link PlayerCode}, or another code of WeChat's that needs no action. */
  code: number
  /** Set with the negative codes. */
  fault?: PlayerFault
  /** For people who debug; not translated. */
  detail?: string
}

/** Figures of a playing stream, every two seconds or so. */
export interface PlayerStats {
  widthPx: number
  heightPx: number
  /** Decoded frames a second. */
  framesPerSecond: number
  /** Undefined where the browser fetches by itself. */
  bitrateBps: number | undefined
  /** Media received and not yet shown, seconds. */
  bufferedSeconds: number
}

/** Milliseconds without a newly decoded frame after which a stream counts as stalled. */
export const STALL_MS = 5_000
/** Milliseconds to the first picture. A cold camera with long GOPs needs some; nobody waits longer than this. */
export const FIRST_PICTURE_MS = 15_000
