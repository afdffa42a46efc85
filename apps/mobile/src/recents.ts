/**
 * Devices that were opened on this phone, newest first.
 *
 * Their tokens lie in the runtime's storage, as a mini-program has no other place, and are used from there; no page
 * shows one again.
 */
import type { ChannelRef } from '../../shared/api'
import type { Entry } from './entry'
import { serverUrl } from './transport'

/** A device that was opened. */
export interface Recent extends Entry {
  name: string
  /** The server it belongs to: its token goes to no other. */
  server: string
  /** Epoch milliseconds of the last time. */
  openedAt: number
}

const STORAGE_KEY = 'recents'
/** More are forgotten, the oldest first. */
const RECENTS_MAX = 8

/** Those of this server. */
export function recents(): Recent[] {
  const server = serverUrl()
  return all().filter((one) => one.server === server)
}

/** The one of a channel. */
export function recent(channel: ChannelRef): Recent | undefined {
  return recents().find((one) => same(one, channel))
}

/** Puts one in front. */
export function remember(entry: Entry, name: string): void {
  const server = serverUrl()
  const others = all().filter((one) => !same(one, entry) || one.server !== server)
  const { accessToken, deviceSerial, channelNo } = entry
  const first: Recent = { accessToken, deviceSerial, channelNo, name, server, openedAt: Date.now() }
  uni.setStorageSync(STORAGE_KEY, [first, ...others].slice(0, RECENTS_MAX))
}

/** Takes one out, its token too. */
export function forget(channel: ChannelRef): void {
  const server = serverUrl()
  uni.setStorageSync(
    STORAGE_KEY,
    all().filter((one) => !same(one, channel) || one.server !== server),
  )
}

function all(): Recent[] {
  const kept: unknown = uni.getStorageSync(STORAGE_KEY)
  return Array.isArray(kept) ? kept.filter(isRecent) : []
}

function same(a: ChannelRef, b: ChannelRef): boolean {
  return a.deviceSerial === b.deviceSerial && a.channelNo === b.channelNo
}

/** Storage outlives versions of this file. */
function isRecent(value: unknown): value is Recent {
  const { accessToken, deviceSerial, channelNo, name, server } = (value ?? {}) as Partial<Record<keyof Recent, unknown>>
  return [accessToken, deviceSerial, name, server].every((text) => typeof text === 'string') && typeof channelNo === 'number'
}
