/** The session against a scripted API, in simulated time. */
import assert from 'node:assert/strict'
import { beforeEach, mock, test } from 'node:test'
import { OpenApi, Protocol, Quality, type Transport } from '../../shared/api'
import { PlayerCode, type PlayerFault } from '../src/components/cam-player/player-state'
import { LiveSession, type View } from '../src/live/session'

type Answer = Readonly<Record<string, unknown>> | Error

const OK = { code: '200', msg: 'ok' }
const ONLINE = {
  ...OK,
  data: { deviceSerial: 'A12345678', deviceName: 'Gate', status: 1, isEncrypt: 0, updateTime: 1_700_000_000_000 },
}
const OFFLINE = { ...OK, data: { ...ONLINE.data, status: 0 } }
const address = (n: number) => ({ ...OK, data: { id: String(n), url: `http://host/${n}.flv`, expireTime: '2026-01-01 00:00:00' } })

/** A platform that answers as told, and remembers the forms it was sent. */
class Platform {
  info: () => Answer = () => ONLINE
  live: () => Answer = () => address(++this.addresses)
  addresses = 0
  forms: URLSearchParams[] = []

  readonly transport: Transport = ({ url, body }) => {
    if (url.endsWith('address/get')) this.forms.push(new URLSearchParams(body))
    const answer = url.endsWith('device/info') ? this.info() : this.live()
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve({ status: 200, body: answer })
  }
}

let platform: Platform
let session: LiveSession
let view: View

beforeEach(() => {
  mock.timers.reset()
  mock.timers.enable({ apis: ['setTimeout', 'Date'] })
  platform = new Platform()
  session = new LiveSession({
    api: new OpenApi({ baseUrl: '', accessToken: 'at.x', transport: platform.transport }),
    deviceSerial: 'A12345678',
    channelNo: 1,
    protocol: Protocol.flv,
    h265: false,
    show: (next) => {
      view = next
    },
    random: () => 0.5,
  })
})

/** Lets everything that waits for nothing but itself happen. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i += 1) await Promise.resolve()
}

async function pass(ms: number): Promise<void> {
  mock.timers.tick(ms)
  await settle()
}

async function play(): Promise<void> {
  session.start()
  await settle()
  session.onPlayer({ code: PlayerCode.playing })
}

function lose(fault: PlayerFault): void {
  session.onPlayer({ code: PlayerCode.gaveUp, fault })
}

test('asks, connects, plays', async () => {
  session.start()
  assert.equal(view.phase, 'asking')
  await settle()
  assert.equal(view.phase, 'connecting')
  assert.equal(view.src, 'http://host/1.flv')
  assert.equal(view.device?.deviceName, 'Gate')
  session.onPlayer({ code: PlayerCode.firstKeyFrame })
  assert.equal(view.phase, 'connecting', 'a key frame is not yet a moving picture')
  session.onPlayer({ code: PlayerCode.playing })
  assert.equal(view.phase, 'playing')
  const form = platform.forms[0]
  assert.equal(form?.get('protocol'), '4')
  assert.equal(form?.get('supportH265'), null, 'not asked for where it cannot be decoded')
})

for (const [code, kind] of [
  ['10002', 'token'],
  ['20018', 'notYours'],
  ['20002', 'notYours'],
  ['20001', 'channel'],
  ['10001', 'parameter'],
  ['60019', 'encrypted'],
] as const) {
  test(`${code} is ${kind}, and only the user can help`, async () => {
    platform.live = () => ({ code, msg: 'no' })
    session.start()
    await settle()
    assert.equal(view.phase, 'failed')
    assert.deepEqual(view.failure, { kind, code, detail: 'no' })
    await pass(600_000)
    assert.equal(platform.forms.length, 1)
  })
}

test('retries double up to a limit, and start again after steady playing', async () => {
  platform.live = () => new Error('refused')
  session.start()
  await settle()
  const delays: number[] = []
  for (let i = 0; i < 7; i += 1) {
    assert.equal(view.phase, 'waiting')
    assert.equal(view.failure?.kind, 'network')
    const delay = (view.retryAt ?? 0) - Date.now()
    delays.push(delay)
    await pass(delay)
  }
  assert.deepEqual(delays, [1000, 2000, 4000, 8000, 16000, 16000, 16000])

  platform.live = () => address(++platform.addresses)
  session.retryNow()
  await settle()
  session.onPlayer({ code: PlayerCode.playing })
  await pass(1_000)
  lose('ended')
  assert.equal((view.retryAt ?? 0) - Date.now(), 16000, 'one good second is not recovery')
  await pass(16_000)
  session.onPlayer({ code: PlayerCode.playing })
  await pass(10_000)
  lose('ended')
  assert.equal((view.retryAt ?? 0) - Date.now(), 1000)
})

test('an address that ran out is replaced in silence, once', async () => {
  await play()
  await pass(10_000)
  lose('refused')
  assert.notEqual(view.phase, 'waiting')
  await settle()
  assert.equal(view.src, 'http://host/2.flv')
  lose('refused')
  assert.equal(view.phase, 'waiting', 'a server that refuses everything is not asked in a loop')
})

test('a device off line says since when and plays by itself once it is back', async () => {
  platform.info = () => OFFLINE
  platform.live = () => ({ code: '20007', msg: 'offline' })
  session.start()
  await settle()
  assert.deepEqual(view.failure, { kind: 'offline', code: '20007', detail: '', since: 1_700_000_000_000 })
  await pass(10_000)
  assert.equal(view.phase, 'waiting')
  platform.info = () => ONLINE
  platform.live = () => address(7)
  await pass(10_000)
  assert.equal(view.src, 'http://host/7.flv')
})

test('after a broken stream the API tells why', async () => {
  await play()
  lose('ended')
  platform.live = () => ({ code: '10002', msg: 'token' })
  await pass(1_000)
  assert.equal(view.phase, 'failed')
  assert.equal(view.failure?.kind, 'token')
})

test('H.265 in HD falls back to SD, in SD it is named', async () => {
  session.start()
  await settle()
  session.onPlayer({ code: PlayerCode.hevcUnsupported, fault: 'h265' })
  await settle()
  assert.equal(view.quality, Quality.sd)
  assert.ok(view.fellBack)
  assert.equal(platform.forms[1]?.get('quality'), '2')
  session.onPlayer({ code: PlayerCode.hevcUnsupported, fault: 'h265' })
  assert.equal(view.phase, 'failed')
  assert.equal(view.failure?.kind, 'h265')
})

test('a hidden page takes no media and plays on when shown', async () => {
  await play()
  session.hide()
  assert.deepEqual([view.phase, view.src], ['paused', ''])
  await pass(600_000)
  assert.equal(platform.forms.length, 1)
  session.reveal()
  await settle()
  assert.equal(view.src, 'http://host/2.flv')
})

test('a stopped camera stays stopped, its state is followed', async () => {
  await play()
  session.stop()
  assert.deepEqual([view.phase, view.src], ['idle', ''])
  lose('network')
  assert.equal(view.phase, 'idle', 'the last words of a stopped player change nothing')
  platform.info = () => OFFLINE
  await pass(10_000)
  assert.equal(view.device?.online, false)
  session.hide()
  session.reveal()
  assert.equal(view.phase, 'idle')
})

test('the code of an encrypted device goes with every later question', async () => {
  platform.live = () => ({ code: '60019', msg: 'encrypted' })
  session.start()
  await settle()
  platform.live = () => address(3)
  session.unlock('ABCDEF')
  await settle()
  assert.equal(platform.forms[1]?.get('code'), 'ABCDEF')
  assert.equal(view.phase, 'connecting')
})

test('answers to an abandoned question are dropped', async () => {
  session.start()
  session.stop()
  await settle()
  assert.deepEqual([view.phase, view.src], ['idle', ''])
  session.dispose()
  await pass(600_000)
  assert.equal(platform.forms.length, 1)
})

test('a proxy’s page instead of the API is a server fault, retried', async () => {
  platform.info = () => ({ html: true })
  platform.live = () => ({ html: true })
  session.start()
  await settle()
  assert.equal(view.phase, 'waiting')
  assert.equal(view.failure?.kind, 'server')
})
