/**
 * How a page is entered: by a link with a query, by a scanned code, or by what somebody types into the form.
 *
 * Pure: no browser, no mini-program. What comes in is hostile text and is checked before anything uses it.
 */
import type { ChannelRef } from '../../shared/api'

/** A device, and the token that opens it. */
export interface Entry extends ChannelRef {
  accessToken: string
}

/** What a page's query asks for. */
export type Source =
  /** The three values, as links written for the platform's own mini-program have them. */
  | { kind: 'token'; entry: Entry }
  /** A device that everybody may try; the server gives the token. */
  | { kind: 'trial'; channel: ChannelRef }
  /** The `scene` of a WeChat code; the server knows what it stands for. */
  | { kind: 'scene'; uuid: string }
  /** A device without a token: one that this phone remembers. */
  | { kind: 'kept'; channel: ChannelRef }

/** A value that a link or the form carries. */
export type EntryField = keyof Entry | 'scene'

/** What was read: where to enter, or the values that are missing or wrong. */
export type SourceResult = { ok: true; source: Source } | { ok: false; wrong: EntryField[] }

/** A page's query, as the runtime gives it. */
export type Query = Readonly<Record<string, string | undefined>>

/** Longer links than this are no links. */
const LINK_LENGTH_MAX = 2048

// A platform token is `at.` and four groups, 64 characters in all; sub-accounts have `ra.`. Old documents show shorter
// ones, so only the alphabet and a sane length are judged here: the server knows which are real.
const TOKEN = /^[a-z0-9.-]{16,128}$/
/** The length of a token today. */
const TOKEN_LENGTH = 64
/** How tokens of accounts and of sub-accounts begin. */
const TOKEN_PREFIXES = ['at.', 'ra.'] as const
// 9 characters, or the 20 digits of GB/T 28181 with an optional channel id.
const SERIAL = /^(?:[A-Z0-9]{9}|\d{20}(?::\d{20})?)$/
const CHANNEL = /^[1-9]\d{0,2}$/
// WeChat allows 32 visible characters.
const SCENE = /^[\w!#$&'()*+,/:;=?@.~-]{1,32}$/

/** Reads a page's query. Serials are taken in any case; an absent channel is channel 1. */
export function readSource(query: Query): SourceResult {
  const scene = decode(query['scene']).trim()
  if (scene) return SCENE.test(scene) ? { ok: true, source: { kind: 'scene', uuid: scene } } : { ok: false, wrong: ['scene'] }

  const accessToken = decode(query['accessToken']).trim()
  const deviceSerial = decode(query['deviceSerial']).trim().toUpperCase()
  const channelNo = decode(query['channelNo']).trim() || '1'
  const wrong: EntryField[] = []
  if (accessToken && !TOKEN.test(accessToken)) wrong.push('accessToken')
  if (!SERIAL.test(deviceSerial)) wrong.push('deviceSerial')
  if (!CHANNEL.test(channelNo)) wrong.push('channelNo')
  if (wrong.length > 0) return { ok: false, wrong }

  const channel = { deviceSerial, channelNo: Number(channelNo) }
  if (accessToken) return { ok: true, source: { kind: 'token', entry: { accessToken, ...channel } } }
  return { ok: true, source: { kind: query['trial'] ? 'trial' : 'kept', channel } }
}

/** The query of a page for a source, without the question mark. */
export function sourceQuery(source: Source): string {
  switch (source.kind) {
    case 'token':
      return `accessToken=${encodeURIComponent(source.entry.accessToken)}&${channelQuery(source.entry)}`
    case 'trial':
      return `trial=1&${channelQuery(source.channel)}`
    case 'kept':
      return channelQuery(source.channel)
    case 'scene':
      return `scene=${encodeURIComponent(source.uuid)}`
  }
}

function channelQuery({ deviceSerial, channelNo }: ChannelRef): string {
  return `deviceSerial=${encodeURIComponent(deviceSerial)}&channelNo=${channelNo}`
}

/** A page link taken apart; values it lacks are absent. */
export interface PageLink {
  /** Scheme, host and prefix of the server, or empty when the text was only a query. */
  server: string
  query: Record<string, string>
}

/** Reads a pasted or scanned page link (`http://host/m/#/pages/live/live?accessToken=…`). Undefined when it is none. */
export function readLink(text: string): PageLink | undefined {
  const link = text.trim()
  const mark = link.lastIndexOf('?')
  if (link.length > LINK_LENGTH_MAX || mark < 0) return undefined
  const query: Record<string, string> = {}
  for (const pair of link.slice(mark + 1).split('&')) {
    const equals = pair.indexOf('=')
    if (equals > 0) query[pair.slice(0, equals)] = decode(pair.slice(equals + 1))
  }
  if (query['accessToken'] === undefined && query['deviceSerial'] === undefined && query['scene'] === undefined) return undefined
  const server = /^(https?:\/\/[^/?#\s]+(?:\/[^?#\s]*?)?)\/m\/?(?:[?#]|$)/i.exec(link)?.[1] ?? ''
  return { server, query }
}

/** What is wrong with a token being typed; the texts are in i18n under `own.token.<fault>`. */
export type TokenFault = 'alphabet' | 'prefix' | 'short' | 'long'

/** Judges a token as far as it is typed. Undefined when nothing is wrong, or nothing is typed yet. */
export function tokenFault(text: string): TokenFault | undefined {
  const token = text.trim()
  if (!token) return undefined
  if (!/^[a-z0-9.-]*$/.test(token)) return 'alphabet'
  if (!TOKEN_PREFIXES.some((prefix) => token.startsWith(prefix.slice(0, token.length)))) return 'prefix'
  if (token.length < TOKEN_LENGTH) return 'short'
  if (token.length > TOKEN_LENGTH) return 'long'
  return undefined
}

/** What is wrong with a device being typed; the texts are in i18n under `own.device.<fault>`. */
export type DeviceFault = 'alphabet' | 'short' | 'long' | 'channel'

/** Judges `SERIAL:CHANNEL` as far as it is typed. Undefined when nothing is wrong, or nothing is typed yet. */
export function deviceFault(text: string): DeviceFault | undefined {
  const device = text.trim().toUpperCase()
  if (!device || readDevice(device)) return undefined
  const [serial = '', ...rest] = device.split(':')
  if (!/^[A-Z0-9]*$/.test(serial)) return 'alphabet'
  if (SERIAL.test(serial) && rest.length > 0) return 'channel'
  return serial.length < 9 ? 'short' : 'long'
}

/** Reads `SERIAL` or `SERIAL:CHANNEL`; a single camera has channel 1. Undefined when it is neither. */
export function readDevice(text: string): ChannelRef | undefined {
  const device = text.trim().toUpperCase()
  if (SERIAL.test(device)) return { deviceSerial: device, channelNo: 1 }
  const colon = device.lastIndexOf(':')
  const [deviceSerial, channelNo] = [device.slice(0, colon), device.slice(colon + 1)]
  if (colon < 0 || !SERIAL.test(deviceSerial) || !CHANNEL.test(channelNo)) return undefined
  return { deviceSerial, channelNo: Number(channelNo) }
}

/** Percent-decodes; text that is not validly encoded stays as it is. */
function decode(text: string | undefined): string {
  try {
    return decodeURIComponent(text ?? '')
  } catch {
    return text ?? ''
  }
}
