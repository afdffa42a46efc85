/**
 * The typed client of Fluorite's HTTP API (the EZVIZ Open Platform's "lapp" family).
 *
 * Knows no framework and no runtime: how a request travels is a {@link Transport} given by the caller, so the same
 * file serves the phone pages (uni.request), the console (fetch) and tests (a function).
 *
 * Every reply is decoded, never cast: a field of the wrong type becomes a `malformed` {@link ApiError} that names it.
 */

/** One POST of an urlencoded form. `body` is already encoded. */
export interface TransportRequest {
  url: string
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

/** `protocol` of `v2/live/address/get`. */
export const Protocol = { ezopen: 1, hls: 2, rtmp: 3, flv: 4, llhls: 5 } as const
/** A value of {@link Protocol}. */
export type Protocol = (typeof Protocol)[keyof typeof Protocol]

/** `quality` of `v2/live/address/get`: the main (HD) or the sub (SD) stream. */
export const Quality = { hd: 1, sd: 2 } as const
/** A value of {@link Quality}. */
export type Quality = (typeof Quality)[keyof typeof Quality]

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

/** Where and as whom the calls go. */
export interface OpenApiOptions {
  /** Scheme, host and path prefix, without the final slash: `https://cam.example.org`. */
  baseUrl: string
  accessToken: string
  transport: Transport
  /** Called for each request, so that it may change. */
  language?: () => string
  /** Milliseconds for one call; control calls answer within 5 s even when the device is silent. */
  timeoutMs?: number
}

/** The Open Platform API as one caller sees it. */
export class OpenApi {
  constructor(private readonly options: OpenApiOptions) {}

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

  /** POST /api/lapp/device/camera/list: the channels of one device. */
  async deviceCameras(deviceSerial: string): Promise<Camera[]> {
    const data = await this.call('device/camera/list', { deviceSerial })
    if (!Array.isArray(data)) throw malformed('data is not an array')
    return data.map((item: unknown) => {
      const row = object(item, 'data[]')
      return {
        deviceSerial: string(row, 'deviceSerial'),
        channelNo: number(row, 'channelNo'),
        channelName: optionalString(row, 'channelName') ?? '',
        online: number(row, 'status') === 1,
        encrypted: number(row, 'isEncrypt') === 1,
        picUrl: optionalString(row, 'picUrl') ?? '',
      }
    })
  }

  /** POST /api/lapp/v2/live/address/get, type 1 (live). */
  async liveAddress(ask: LiveAddressRequest): Promise<LiveAddress> {
    const data = object(await this.call('v2/live/address/get', { ...ask, type: 1 }), 'data')
    return {
      id: string(data, 'id'),
      url: string(data, 'url'),
      expireTime: optionalString(data, 'expireTime'),
    }
  }

  /** POST /api/lapp/v2/live/address/disable. Idempotent. */
  async disableLiveAddress(deviceSerial: string, channelNo: number, urlId: string): Promise<void> {
    await this.call('v2/live/address/disable', { deviceSerial, channelNo, urlId })
  }

  private async call(path: string, fields: Readonly<Record<string, Field>>): Promise<unknown> {
    const { baseUrl, accessToken, transport, language, timeoutMs = 10_000 } = this.options
    let reply: TransportReply
    try {
      reply = await transport({
        url: `${baseUrl}/api/lapp/${path}`,
        body: encodeForm({ accessToken, ...fields }),
        timeoutMs,
        language: language?.(),
      })
    } catch (cause) {
      throw new ApiError('network', '', cause instanceof Error ? cause.message : String(cause))
    }
    // Business errors travel with status 200; anything else was not answered by the API.
    if (reply.status !== 200) throw malformed(`HTTP status ${reply.status}`)
    const envelope = object(reply.body, 'reply')
    const code = string(envelope, 'code')
    if (code !== '200') throw new ApiError('refused', code, optionalString(envelope, 'msg') ?? '')
    return envelope['data']
  }
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
