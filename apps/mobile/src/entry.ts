/**
 * How a page is entered: by a link with a query, or by a link pasted into the form.
 *
 * Pure: no browser, no mini-program. What comes in is hostile text and is checked before anything uses it.
 */

/** What the live page needs to know. */
export interface LiveEntry {
  accessToken: string
  deviceSerial: string
  /** 1-based. */
  channelNo: number
}

/** A field of the form. */
export type EntryField = keyof LiveEntry

/** What was read: an entry, or the fields that are missing or wrong. */
export type EntryResult = { ok: true; entry: LiveEntry } | { ok: false; wrong: EntryField[] }

/** Longer links than this are no links. */
const LINK_LENGTH_MAX = 2048

// A platform token is `at.` and four groups, 64 characters in all; sub-accounts have `ra.`. Old documents show shorter
// ones, so only the alphabet and a sane length are judged here: the server knows which are real.
const TOKEN = /^[a-z0-9.-]{16,128}$/
// 9 characters, or the 20 digits of GB/T 28181 with an optional channel id.
const SERIAL = /^(?:[A-Z0-9]{9}|\d{20}(?::\d{20})?)$/
const CHANNEL = /^[1-9]\d{0,2}$/

/** Checks the three values of a query or a form. Serials are taken in any case; an absent channel is channel 1. */
export function readEntry(query: Readonly<Record<string, string | undefined>>): EntryResult {
  const accessToken = decode(query['accessToken']).trim()
  const deviceSerial = decode(query['deviceSerial']).trim().toUpperCase()
  const channelNo = decode(query['channelNo']).trim() || '1'
  const wrong: EntryField[] = []
  if (!TOKEN.test(accessToken)) wrong.push('accessToken')
  if (!SERIAL.test(deviceSerial)) wrong.push('deviceSerial')
  if (!CHANNEL.test(channelNo)) wrong.push('channelNo')
  if (wrong.length > 0) return { ok: false, wrong }
  return { ok: true, entry: { accessToken, deviceSerial, channelNo: Number(channelNo) } }
}

/** A page link taken apart; fields it lacks are empty. */
export interface PageLink {
  /** Scheme, host and prefix of the server, or empty when the text was only a query. */
  server: string
  query: Record<string, string>
}

/** Reads a pasted page link (`http://host/m/#/pages/live/live?accessToken=…`). Undefined when it is none. */
export function readLink(text: string): PageLink | undefined {
  const link = text.trim()
  const mark = link.lastIndexOf('?')
  if (link.length > LINK_LENGTH_MAX || mark < 0) return undefined
  const query: Record<string, string> = {}
  for (const pair of link.slice(mark + 1).split('&')) {
    const equals = pair.indexOf('=')
    if (equals > 0) query[pair.slice(0, equals)] = decode(pair.slice(equals + 1))
  }
  if (query['accessToken'] === undefined && query['deviceSerial'] === undefined) return undefined
  const server = /^(https?:\/\/[^/?#\s]+(?:\/[^?#\s]*?)?)\/m\/?(?:[?#]|$)/i.exec(link)?.[1] ?? ''
  return { server, query }
}

/** The query of the live page for an entry, without the question mark. */
export function entryQuery(entry: LiveEntry): string {
  const { accessToken, deviceSerial, channelNo } = entry
  return `accessToken=${encodeURIComponent(accessToken)}&deviceSerial=${encodeURIComponent(deviceSerial)}&channelNo=${channelNo}`
}

/** Percent-decodes; text that is not validly encoded stays as it is. */
function decode(text: string | undefined): string {
  try {
    return decodeURIComponent(text ?? '')
  } catch {
    return text ?? ''
  }
}
