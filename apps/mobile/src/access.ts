/** From what a page was entered with to a caller of the API: tokens are found here and stay here. */
import { shallowRef } from 'vue'
import { ApiError, fetchScene, fetchTrial, OpenApi, type ChannelRef, type Trial } from '../../shared/api'
import { readLink, readSource, sourceQuery, type EntryField, type Query, type Source } from './entry'
import { apiFailure, type Failure } from './live/failure'
import { recent, remember } from './recents'
import { rememberServer, server, upload } from './transport'

/** An open door: a channel, and the API as the one who may use it. */
export interface Access {
  source: Source
  channel: ChannelRef
  api: OpenApi
  /** Remembers the device on this phone under its name, where that makes sense. */
  remember(name: string): void
  /** The way to another device of the same token. */
  sibling(channel: ChannelRef, name: string): Source
}

/** Why a page cannot be entered. */
export type Obstacle =
  /** The link lacks values, or has wrong ones. */
  | { kind: 'link'; wrong: EntryField[] }
  /** The scanned code is unknown, revoked or expired. */
  | { kind: 'code' }
  /** A device without a token that this phone does not remember. */
  | { kind: 'forgotten' }
  /** The server said no. */
  | { kind: 'refused'; failure: Failure }

/** A trial that ends sooner than this is not begun, milliseconds. */
const TRIAL_LEFT_MS = 5 * 60_000
/** The trial that was begun last: one token does for all pages. */
let begun: Promise<Trial> | undefined

async function currentTrial(): Promise<Trial> {
  const trial = await begun?.catch(() => undefined)
  if (trial && trial.expireTime > Date.now() + TRIAL_LEFT_MS) return trial
  begun = fetchTrial(server())
  return begun
}

/** A new token, for when the one in use died before its time. */
async function renewTrial(): Promise<string> {
  begun = fetchTrial(server())
  return (await begun).accessToken
}

/** Opens a door. Rejects with an {@link ApiError} when the server has to be asked and says no. */
export async function openDoor(source: Source): Promise<Access | Obstacle> {
  switch (source.kind) {
    case 'token':
      return door(source, source.entry, source.entry.accessToken)
    case 'kept': {
      const kept = recent(source.channel)
      return kept ? door(source, source.channel, kept.accessToken) : { kind: 'forgotten' }
    }
    case 'trial': {
      const { accessToken } = await currentTrial()
      return door(source, source.channel, accessToken, renewTrial)
    }
    case 'scene': {
      const scene = await fetchScene(server(), source.uuid)
      return scene ? door(source, scene, scene.accessToken) : { kind: 'code' }
    }
  }
}

function door(source: Source, { deviceSerial, channelNo }: ChannelRef, accessToken: string, renew?: () => Promise<string>): Access {
  const channel = { deviceSerial, channelNo }
  // Tokens of trials and of scanned codes are short-lived; the way in is kept by the server.
  const lasting = source.kind === 'token' || source.kind === 'kept'
  return {
    source,
    channel,
    api: new OpenApi({ ...server(), accessToken, renew, upload }),
    remember(name) {
      if (lasting) remember({ accessToken, ...channel }, name)
    },
    sibling(other, name) {
      if (!lasting) return { kind: 'trial', channel: other }
      remember({ accessToken, deviceSerial: other.deviceSerial, channelNo: other.channelNo }, name)
      return { kind: 'kept', channel: other }
    },
  }
}

/** The trial devices, and the API for them. */
export async function openTrial(): Promise<{ api: OpenApi; trial: Trial }> {
  const trial = await currentTrial()
  return { trial, api: new OpenApi({ ...server(), accessToken: trial.accessToken, renew: renewTrial, upload }) }
}

/** The door of one page, for its whole life: follows the page's query. */
export function useDoor() {
  const access = shallowRef<Access>()
  const obstacle = shallowRef<Obstacle>()
  /** Counts queries, so that the answer to an older one is dropped. */
  let turn = 0

  async function enter(query: Query): Promise<void> {
    const mine = ++turn
    // #ifndef H5
    if (query['server']) rememberServer(decodeURIComponent(query['server']))
    // #endif
    const read = readSource(query)
    if (!read.ok) {
      access.value = undefined
      obstacle.value = { kind: 'link', wrong: read.wrong }
      return
    }
    // The same door again, by a reload of the same address: nothing to do.
    if (access.value && sourceQuery(access.value.source) === sourceQuery(read.source)) return
    access.value = undefined
    obstacle.value = undefined
    let opened: Access | Obstacle
    try {
      opened = await openDoor(read.source)
    } catch (error) {
      opened = { kind: 'refused', failure: apiFailure(error) }
    }
    if (mine !== turn) return
    if ('api' in opened) access.value = opened
    else obstacle.value = opened
  }

  return { access, obstacle, enter }
}

/** Whether a call failed because the operator allows no trial. */
export function isNoTrial(error: unknown): boolean {
  return error instanceof ApiError && error.fault === 'refused'
}

/** The query in a browser's address, for links that are typed over the one that is open. */
export function addressQuery(href: string): Query {
  return readLink(href)?.query ?? {}
}
