/**
 * The typed client of Fluorite's HTTP API (the EZVIZ Open Platform's "lapp" family).
 *
 * Knows no framework and no runtime: how a request travels is a {@link Transport} given by the caller, so the same
 * file serves the phone pages (uni.request), the console (fetch) and tests (a function).
 *
 * Every reply is decoded, never cast: a field of the wrong type becomes a `malformed` {@link ApiError} that names it.
 */

/** One request. A POST carries an urlencoded form, already encoded; a GET carries everything in its address. */
export interface TransportRequest {
  method: 'GET' | 'POST'
  url: string
  /** Empty with GET. */
  body: string
  /** Milliseconds until the transport gives up. */
  timeoutMs: number
  /** BCP 47 tag for the texts of errors, sent as Accept-Language. */
  language?: string | undefined
}

/** What came back: the status line's number, and the body parsed as JSON (undefined if it was none). */
export interface TransportReply {
  status: number
  body: unknown
}

/** Carries one request. Rejects only when nothing came back (no route, refused, timed out). */
export type Transport = (request: TransportRequest) => Promise<TransportReply>

/** One POST of a multipart form with a file. */
export interface UploadRequest {
  url: string
  fields: Readonly<Record<string, string>>
  /** Name of the file's field. */
  fileField: string
  /** What the runtime calls a file: a path on WeChat, a File in browsers. */
  file: unknown
  timeoutMs: number
}

/** Carries one upload. Rejects as {@link Transport} does. */
export type UploadTransport = (request: UploadRequest) => Promise<TransportReply>

/** `protocol` of `v2/live/address/get`. */
export const Protocol = { ezopen: 1, hls: 2, rtmp: 3, flv: 4, llhls: 5 } as const
/** A value of {@link Protocol}. */
export type Protocol = (typeof Protocol)[keyof typeof Protocol]

/** `quality` of `v2/live/address/get`: the main (HD) or the sub (SD) stream. */
export const Quality = { hd: 1, sd: 2 } as const
/** A value of {@link Quality}. */
export type Quality = (typeof Quality)[keyof typeof Quality]

/** `type` of `v2/live/address/get` for playback: what the device itself keeps, or what the cloud keeps. */
export const Storage = { local: 2, cloud: 3 } as const
/** A value of {@link Storage}. */
export type Storage = (typeof Storage)[keyof typeof Storage]

/** `recType` of `video/by/time` for each storage. */
const REC_TYPE: Readonly<Record<Storage, number>> = { [Storage.local]: 2, [Storage.cloud]: 1 }

/** `direction` of `device/ptz/start`. */
export const Direction = {
  up: 0,
  down: 1,
  left: 2,
  right: 3,
  upLeft: 4,
  downLeft: 5,
  upRight: 6,
  downRight: 7,
  zoomIn: 8,
  zoomOut: 9,
} as const
/** A value of {@link Direction}. */
export type Direction = (typeof Direction)[keyof typeof Direction]

/** `command` of `device/ptz/mirror`. */
export const Mirror = { topBottom: 0, leftRight: 1, centre: 2 } as const
/** A value of {@link Mirror}. */
export type Mirror = (typeof Mirror)[keyof typeof Mirror]

/** One channel of one device. */
export interface ChannelRef {
  deviceSerial: string
  /** 1-based. */
  channelNo: number
}

/** A device that everybody may try, as `GET /api/v1/trial` lists it. */
export interface TrialDevice extends ChannelRef {
  deviceName: string
}

/** Answer of `GET /api/v1/trial`: a short-lived token that opens these devices and nothing else. */
export interface Trial {
  accessToken: string
  /** Epoch milliseconds at which the token ends. */
  expireTime: number
  devices: TrialDevice[]
}

/** Answer of `device/getWxaInfo`: what a scanned code stands for. */
export interface SceneInfo extends ChannelRef {
  accessToken: string
}

/** Answer of `device/info`, the fields that pages use. */
export interface DeviceInfo {
  deviceSerial: string
  deviceName: string
  model: string
  online: boolean
  encrypted: boolean
  /** Epoch milliseconds of the last change of state; for an off-line device, since when. */
  updateTime: number | undefined
}

/** Answer of `device/capacity`: strings, a missing key meaning "not supported". */
export type DeviceCapacity = Readonly<Record<string, string>>

/** One row of `device/camera/list`. */
export interface Camera {
  deviceSerial: string
  /** 1-based. */
  channelNo: number
  channelName: string
  online: boolean
  encrypted: boolean
  /** Address of a still picture, or empty. */
  picUrl: string
}

/** A phrase that devices can say. */
export interface Voice {
  voiceName: string
  /** What `voice/send` takes. */
  fileUrl: string
  /** Seconds. */
  duration: number
}

/** One stretch of footage. */
export interface Recording {
  /** Epoch milliseconds. */
  startTime: number
  /** Epoch milliseconds; may lie a little ahead of now while it grows. */
  endTime: number
}

/** Answer of `cloud/storage/device/info`. */
export interface CloudService {
  /** −2 the device cannot, −1 not opened, 0 inactive, 1 active, 2 expired. */
  status: number
  /** Days that footage is kept, or 0. */
  totalDays: number
  /** Epoch milliseconds of the end of the service, if there is one. */
  expireTime: number | undefined
}

/** What `v2/live/address/get` is asked for to play footage. */
export interface PlaybackAddressRequest extends ChannelRef {
  protocol: Protocol
  type: Storage
  /** Epoch milliseconds; what is played begins there or a little before. */
  startTime: number
  /** Epoch milliseconds, later than startTime. */
  stopTime: number
  /** 0.5, 1, 2, 4, 8 or 16. */
  playbackSpeed?: number
  /** Seconds, 30 … 62 208 000. */
  expireTime?: number
  code?: string
  supportH265?: boolean
}

/** What `video/download/address` is asked for. */
export interface DownloadRequest {
  storage: Storage
  /** Epoch milliseconds; the file begins with the key frame before it. */
  startTime: number
  /** Epoch milliseconds, later than startTime. */
  stopTime: number
  code?: string
}

/** What `v2/live/address/get` is asked for. */
export interface LiveAddressRequest {
  deviceSerial: string
  channelNo: number
  protocol: Protocol
  quality: Quality
  /** Seconds, 30 … 62 208 000. */
  expireTime?: number
  /** The stream's verification code, for an encrypted device. */
  code?: string
  /** Set when the player decodes H.265; otherwise the server gives H.264 or an error. */
  supportH265?: boolean
  /** Leave the sound out. */
  mute?: boolean
}

/** A signed play address. */
export interface LiveAddress {
  /** For `v2/live/address/disable`. */
  id: string
  url: string
  /** Platform-local `yyyy-MM-dd HH:mm:ss`, absent for an address that never expires. */
  expireTime: string | undefined
}

/** Why a call failed. */
export type ApiFault =
  /** Nothing came back. */
  | 'network'
  /** Something came back that is not this API: a proxy's page, a status that is not 200, a missing field. */
  | 'malformed'
  /** The platform said no; `code` tells why. */
  | 'refused'

/** A failed call. `code` is the platform's (a decimal string) when `fault` is `refused`, else empty. */
export class ApiError extends Error {
  constructor(
    readonly fault: ApiFault,
    readonly code: string,
    message: string,
  ) {
    super(message)
    this.name = 'ApiError'
  }
}

/** Where calls go. */
export interface ServerOptions {
  /** Scheme, host and path prefix, without the final slash: `https://cam.example.org`. */
  baseUrl: string
  transport: Transport
  /** Called for each request, so that it may change. */
  language?: () => string
  /** Milliseconds for one call; control calls answer within 5 s even when the device is silent. */
  timeoutMs?: number
}

/** Where and as whom the calls go. */
export interface OpenApiOptions extends ServerOptions {
  accessToken: string
  /** Gives a new token when the platform calls the old one dead (10002); tokens of trials and scanned codes are short. */
  renew?: (() => Promise<string>) | undefined
  /** For {@link OpenApi.voiceSendOnce} alone. */
  upload?: UploadTransport
}

/**
 * GET /api/v1/trial: the devices that the operator lets everybody try, and a token for them.
 *
 * An operator who allows none answers with a status other than 200, which is a `refused` {@link ApiError}.
 */
export async function fetchTrial(server: ServerOptions): Promise<Trial> {
  const reply = await send(server, 'GET', '/api/v1/trial', {})
  if (reply.status === 403 || reply.status === 404) throw new ApiError('refused', String(reply.status), '')
  const data = object(success(reply), 'reply')
  const { devices } = data
  if (!Array.isArray(devices)) throw malformed('devices is not an array')
  return {
    accessToken: string(data, 'accessToken'),
    expireTime: number(data, 'expireTime'),
    devices: devices.map((item: unknown) => {
      const row = object(item, 'devices[]')
      return {
        deviceSerial: string(row, 'deviceSerial'),
        channelNo: number(row, 'channelNo'),
        deviceName: string(row, 'deviceName'),
      }
    }),
  }
}

/** POST /device/getWxaInfo: what a scanned code opens. Undefined when the code is unknown, revoked or expired. */
export async function fetchScene(server: ServerOptions, uuid: string): Promise<SceneInfo | undefined> {
  const data = envelope(await send(server, 'POST', '/device/getWxaInfo', { uuid }))
  if (data === null || data === undefined) return undefined
  const row = object(data, 'data')
  return {
    accessToken: string(row, 'accessToken'),
    deviceSerial: string(row, 'deviceSerial'),
    channelNo: Number(row['channelNo']),
  }
}

/** The Open Platform API as one caller sees it. */
export class OpenApi {
  private accessToken: string
  constructor(private readonly options: OpenApiOptions) {
    this.accessToken = options.accessToken
  }

  /** POST /api/lapp/device/info. */
  async deviceInfo(deviceSerial: string): Promise<DeviceInfo> {
    const data = object(await this.call('device/info', { deviceSerial }), 'data')
    return {
      deviceSerial: string(data, 'deviceSerial'),
      deviceName: string(data, 'deviceName'),
      model: optionalString(data, 'model') ?? '',
      online: number(data, 'status') === 1,
      encrypted: number(data, 'isEncrypt') === 1,
      updateTime: optionalNumber(data, 'updateTime'),
    }
  }

  /** POST /api/lapp/device/capacity. */
  async deviceCapacity(deviceSerial: string): Promise<DeviceCapacity> {
    const data = object(await this.call('device/capacity', { deviceSerial }), 'data')
    return Object.fromEntries(Object.keys(data).map((key) => [key, string(data, key)]))
  }

  /** POST /api/lapp/camera/list: a page of the channels of all devices of this token. `pageSize` is at most 50. */
  async cameras(pageStart: number, pageSize: number): Promise<Camera[]> {
    return rows(await this.call('camera/list', { pageStart, pageSize })).map(camera)
  }

  /** POST /api/lapp/device/camera/list: the channels of one device. */
  async deviceCameras(deviceSerial: string): Promise<Camera[]> {
    return rows(await this.call('device/camera/list', { deviceSerial })).map(camera)
  }

  /** POST /api/lapp/device/capture: takes a picture; its address opens without a token for two hours. */
  async capture({ deviceSerial, channelNo }: ChannelRef): Promise<string> {
    return string(object(await this.call('device/capture', { deviceSerial, channelNo }), 'data'), 'picUrl')
  }

  /** POST /api/lapp/v2/live/address/get, type 1 (live). */
  async liveAddress(ask: LiveAddressRequest): Promise<LiveAddress> {
    return address(await this.call('v2/live/address/get', { ...ask, type: 1 }))
  }

  /**
   * POST /api/lapp/v2/live/address/get, types 2 and 3 (playback).
   *
   * Times go as epoch milliseconds, which Fluorite takes beside the platform's text in its own clock: so the phone's
   * zone and the platform's may differ.
   */
  async playbackAddress(ask: PlaybackAddressRequest): Promise<LiveAddress> {
    return address(await this.call('v2/live/address/get', { ...ask }))
  }

  /** POST /api/lapp/video/download/address, Fluorite's own: where footage is to be had as one MP4 file. */
  async downloadAddress({ deviceSerial, channelNo }: ChannelRef, ask: DownloadRequest): Promise<LiveAddress> {
    const { storage, ...range } = ask
    return address(await this.call('video/download/address', { deviceSerial, channelNo, recType: REC_TYPE[storage], ...range }))
  }

  /** POST /api/lapp/v2/live/address/disable. Idempotent. */
  async disableLiveAddress(deviceSerial: string, channelNo: number, urlId: string): Promise<void> {
    await this.call('v2/live/address/disable', { deviceSerial, channelNo, urlId })
  }

  /** POST /api/lapp/device/ptz/start. Turns until {@link OpenApi.ptzStop}. `speed` is 0, 1 or 2. */
  async ptzStart({ deviceSerial, channelNo }: ChannelRef, direction: Direction, speed: number): Promise<void> {
    await this.call('device/ptz/start', { deviceSerial, channelNo, direction, speed })
  }

  /** POST /api/lapp/device/ptz/stop. */
  async ptzStop({ deviceSerial, channelNo }: ChannelRef, direction: Direction): Promise<void> {
    await this.call('device/ptz/stop', { deviceSerial, channelNo, direction })
  }

  /** POST /api/lapp/device/ptz/mirror: flips the picture, or flips it back. */
  async mirror({ deviceSerial, channelNo }: ChannelRef, command: Mirror): Promise<void> {
    await this.call('device/ptz/mirror', { deviceSerial, channelNo, command })
  }

  /** POST /api/lapp/device/scene/switch/status: whether the lens is covered. */
  async masked({ deviceSerial, channelNo }: ChannelRef): Promise<boolean> {
    const data = object(await this.call('device/scene/switch/status', { deviceSerial, channelNo }), 'data')
    return number(data, 'enable') === 1
  }

  /** POST /api/lapp/device/scene/switch/set: covers the lens, or uncovers it. */
  async setMask({ deviceSerial, channelNo }: ChannelRef, masked: boolean): Promise<void> {
    await this.call('device/scene/switch/set', { deviceSerial, channelNo, enable: masked })
  }

  /** POST /api/lapp/voice/query: a page of phrases, the platform's or one's own. Empty after the last one. */
  async voices(pageStart: number, pageSize: number, own: boolean): Promise<Voice[]> {
    const data = rows(await this.call('voice/query', { pageStart, pageSize, default: own ? 'false' : 'true' }))
    return data.map((item) => {
      const row = object(item, 'data[]')
      return {
        voiceName: string(row, 'voiceName'),
        fileUrl: string(row, 'fileUrl'),
        duration: optionalNumber(row, 'duration') ?? 0,
      }
    })
  }

  /** POST /api/lapp/voice/send: the device says a phrase. */
  async voiceSend({ deviceSerial, channelNo }: ChannelRef, fileUrl: string): Promise<void> {
    await this.call('voice/send', { deviceSerial, channelNo, fileUrl })
  }

  /** POST /api/lapp/voice/sendonce: the device says what was recorded; nothing is kept. At most 60 s and 5 MB. */
  async voiceSendOnce({ deviceSerial, channelNo }: ChannelRef, file: unknown): Promise<void> {
    const { upload, baseUrl } = this.options
    if (!upload) throw new TypeError('made without a way to upload')
    const reply = upload({
      url: `${baseUrl}/api/lapp/voice/sendonce`,
      fields: { accessToken: this.accessToken, deviceSerial, channelNo: String(channelNo) },
      fileField: 'voiceFile',
      file,
      timeoutMs: 30_000,
    })
    envelope(await reply.catch(unanswered))
  }

  /** POST /api/lapp/video/by/time: what was recorded between two moments (epoch ms), oldest first. */
  async recordings(channel: ChannelRef, storage: Storage, startTime: number, endTime: number): Promise<Recording[]> {
    const { deviceSerial, channelNo } = channel
    const data = await this.call('video/by/time', { deviceSerial, channelNo, startTime, endTime, recType: REC_TYPE[storage] })
    // The platform says null where there is nothing.
    if (data === null || data === undefined) return []
    return rows(data).map((item) => {
      const row = object(item, 'data[]')
      return { startTime: number(row, 'startTime'), endTime: number(row, 'endTime') }
    })
  }

  /** GET /api/v3/open/cloud/video/exist/query/month: the days (`yyyyMMdd`) of a month (`yyyyMM`) that have footage. */
  async recordedDays(channel: ChannelRef, storage: Storage, queryMonth: string): Promise<string[]> {
    const { deviceSerial, channelNo } = channel
    const column = storage === Storage.cloud ? 'cloud' : 'local'
    const fields = { deviceSerial, channelNo, recType: REC_TYPE[storage], queryMonth }
    const data = await this.asCaller((accessToken) =>
      send(this.options, 'GET', '/api/v3/open/cloud/video/exist/query/month', { accessToken, ...fields }).then(metaEnvelope),
    )
    return rows(data ?? [])
      .map((item) => object(item, 'data[]'))
      .filter((row) => Number(row[column]) === 1)
      .map((row) => string(row, 'recDay').replace(/\D/g, ''))
  }

  /** POST /api/lapp/cloud/storage/device/info. */
  async cloudService({ deviceSerial, channelNo }: ChannelRef): Promise<CloudService> {
    const data = object(await this.call('cloud/storage/device/info', { deviceSerial, channelNo }), 'data')
    return {
      status: number(data, 'status'),
      totalDays: optionalNumber(data, 'totalDays') ?? 0,
      expireTime: optionalNumber(data, 'expireTime'),
    }
  }

  /** POST /api/lapp/cloud/storage/open: opens cloud storage with a card's key; it follows a service that runs. */
  async openCloudService({ deviceSerial, channelNo }: ChannelRef, cardPassword: string): Promise<void> {
    await this.call('cloud/storage/open', { deviceSerial, channelNo, cardPassword })
  }

  private call(path: string, fields: Readonly<Record<string, Field>>): Promise<unknown> {
    return this.asCaller(async (accessToken) =>
      envelope(await send(this.options, 'POST', `/api/lapp/${path}`, { accessToken, ...fields })),
    )
  }

  /** Calls with the token; once more with a new one if the platform calls it dead and there is a way to renew it. */
  private async asCaller<T>(call: (accessToken: string) => Promise<T>): Promise<T> {
    const used = this.accessToken
    try {
      return await call(used)
    } catch (error) {
      const { renew } = this.options
      if (!renew || !(error instanceof ApiError) || error.code !== '10002') throw error
      // Another call may have renewed it meanwhile.
      if (this.accessToken === used) this.accessToken = await renew()
      return call(this.accessToken)
    }
  }
}

/** One request; the address of a GET carries the fields. */
async function send(
  { baseUrl, transport, language, timeoutMs = 10_000 }: ServerOptions,
  method: 'GET' | 'POST',
  path: string,
  fields: Readonly<Record<string, Field>>,
): Promise<TransportReply> {
  const form = encodeForm(fields)
  const query = method === 'GET' && form ? `?${form}` : ''
  const body = method === 'GET' ? '' : form
  return transport({ method, url: `${baseUrl}${path}${query}`, body, timeoutMs, language: language?.() }).catch(unanswered)
}

function unanswered(cause: unknown): never {
  throw new ApiError('network', '', cause instanceof Error ? cause.message : String(cause))
}

/** The body of a reply with status 200. Business errors travel with it; anything else was not answered by the API. */
function success(reply: TransportReply): unknown {
  if (reply.status !== 200) throw malformed(`HTTP status ${reply.status}`)
  return reply.body
}

/** The data of `{code, msg, data}`, where code is a string. */
function envelope(reply: TransportReply): unknown {
  const body = object(success(reply), 'reply')
  const code = string(body, 'code')
  if (code !== '200') throw new ApiError('refused', code, optionalString(body, 'msg') ?? '')
  return body['data']
}

/** The data of `{meta: {code, message}, data}`, where code is a number. */
function metaEnvelope(reply: TransportReply): unknown {
  const body = object(success(reply), 'reply')
  const meta = object(body['meta'], 'meta')
  const code = number(meta, 'code')
  if (code !== 200) throw new ApiError('refused', String(code), optionalString(meta, 'message') ?? '')
  return body['data']
}

function rows(data: unknown): unknown[] {
  if (!Array.isArray(data)) throw malformed('data is not an array')
  return data
}

function camera(item: unknown): Camera {
  const row = object(item, 'data[]')
  return {
    deviceSerial: string(row, 'deviceSerial'),
    channelNo: number(row, 'channelNo'),
    channelName: optionalString(row, 'channelName') ?? '',
    online: number(row, 'status') === 1,
    encrypted: number(row, 'isEncrypt') === 1,
    picUrl: optionalString(row, 'picUrl') ?? '',
  }
}

function address(data: unknown): LiveAddress {
  const row = object(data, 'data')
  return { id: string(row, 'id'), url: string(row, 'url'), expireTime: optionalString(row, 'expireTime') }
}

type Field = string | number | boolean | undefined

/** Encodes a form; `undefined` is left out, booleans travel as 1 and 0. */
export function encodeForm(fields: Readonly<Record<string, Field>>): string {
  return Object.entries(fields)
    .filter((entry): entry is [string, Exclude<Field, undefined>] => entry[1] !== undefined)
    .map(([key, value]) => {
      const text = typeof value === 'boolean' ? Number(value) : value
      return `${encodeURIComponent(key)}=${encodeURIComponent(text)}`
    })
    .join('&')
}

type Json = Readonly<Record<string, unknown>>

function malformed(what: string): ApiError {
  return new ApiError('malformed', '', what)
}

function object(value: unknown, name: string): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(`${name} is not an object`)
  return value as Json
}

function string(from: Json, name: string): string {
  const value = from[name]
  if (typeof value !== 'string') throw malformed(`${name} is not a string`)
  return value
}

function optionalString(from: Json, name: string): string | undefined {
  return from[name] === undefined || from[name] === null ? undefined : string(from, name)
}

function number(from: Json, name: string): number {
  const value = from[name]
  if (typeof value !== 'number') throw malformed(`${name} is not a number`)
  return value
}

function optionalNumber(from: Json, name: string): number | undefined {
  return from[name] === undefined || from[name] === null ? undefined : number(from, name)
}
