/** Why a camera cannot be watched, and what follows from it. Pure; the texts are in i18n under `failure.<kind>`. */
import { ApiError } from '../../../shared/api'
import type { PlayerFault } from '../components/cam-player/player-state'

/** The step that failed. */
export type FailureKind =
  | 'token'
  | 'notYours'
  | 'channel'
  | 'permission'
  | 'parameter'
  | 'limit'
  | 'offline'
  | 'encrypted'
  | 'masked'
  | 'busy'
  | 'cannot'
  | 'other'
  | PlayerFault

/** A failure as the page shows it. */
export interface Failure {
  kind: FailureKind
  /** The platform's code, or empty. */
  code: string
  /** The platform's or the player's own words; shown only where ours say less. */
  detail: string
  /** Epoch milliseconds: off line since then. */
  since?: number | undefined
}

/** What happens after a failure without anybody's touch. */
export type Remedy =
  /** Nothing: only the user can help. */
  | 'user'
  /** Try again, later and later. */
  | 'retry'
  /** Ask again at an even pace, however long it takes. */
  | 'poll'

const REMEDIES: Readonly<Record<FailureKind, Remedy>> = {
  token: 'user',
  notYours: 'user',
  channel: 'user',
  permission: 'user',
  parameter: 'user',
  encrypted: 'user',
  masked: 'user',
  busy: 'user',
  cannot: 'user',
  h265: 'user',
  noMse: 'user',
  blocked: 'user',
  offline: 'poll',
  limit: 'poll',
  network: 'retry',
  server: 'retry',
  silent: 'retry',
  refused: 'retry',
  ended: 'retry',
  stalled: 'retry',
  media: 'retry',
  other: 'retry',
}

/** See {@link Remedy}. */
export function remedy(failure: Failure): Remedy {
  return REMEDIES[failure.kind]
}

/** Platform codes that have a text of their own (EZVIZ error table); all others keep the platform's words. */
const KINDS: Readonly<Record<string, FailureKind>> = {
  10001: 'parameter',
  10002: 'token',
  10005: 'permission',
  10029: 'limit',
  10031: 'permission',
  10036: 'permission',
  20001: 'channel',
  20002: 'notYours',
  20007: 'offline',
  20008: 'silent',
  20014: 'parameter',
  20015: 'cannot',
  20018: 'notYours',
  20032: 'channel',
  49999: 'server',
  50000: 'server',
  60000: 'cannot',
  60019: 'encrypted',
  60020: 'cannot',
  60026: 'masked',
  60029: 'busy',
  9048: 'limit',
  9049: 'limit',
  9053: 'h265',
  111012: 'busy',
}

/** A failure in one line of the user's language, for panels that have no room for more. */
export function failureLine({ kind, code, detail }: Failure, say: (key: `failure.${FailureKind}.title`) => string): string {
  // What has no text of ours keeps the platform's own.
  return kind === 'other' ? detail || code : say(`failure.${kind}.title`)
}

/** Names what a call of the API ended with. */
export function apiFailure(error: unknown): Failure {
  if (!(error instanceof ApiError)) return { kind: 'other', code: '', detail: String(error) }
  const { fault, code, message: detail } = error
  if (fault === 'network') return { kind: 'network', code, detail }
  if (fault === 'malformed') return { kind: 'server', code, detail }
  return { kind: KINDS[code] ?? 'other', code, detail }
}
