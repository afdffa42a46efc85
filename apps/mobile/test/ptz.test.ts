/** Turning a camera: what is told to the platform, in which order, against a scripted one in simulated time. */
import assert from 'node:assert/strict'
import { beforeEach, mock, test } from 'node:test'
import { Direction, OpenApi, type Transport } from '../../shared/api'
import { directionAt, PtzControl, type PtzView } from '../src/live/ptz'

let calls: string[]
let answer: (path: string) => string | Promise<string>
let view: PtzView
let control: PtzControl

beforeEach(() => {
  mock.timers.reset()
  mock.timers.enable({ apis: ['setTimeout'] })
  calls = []
  answer = () => '200'
  const transport: Transport = async ({ url, body }) => {
    const path = url.split('/').pop() ?? ''
    calls.push(`${path} ${new URLSearchParams(body).get('direction')}`)
    return { status: 200, body: { code: await answer(path), msg: 'no' } }
  }
  const api = new OpenApi({ baseUrl: '', accessToken: 'at.x', transport })
  control = new PtzControl(api, { deviceSerial: 'A12345678', channelNo: 1 }, (next) => {
    view = next
  })
})

async function pass(ms: number): Promise<void> {
  mock.timers.tick(ms)
  for (let i = 0; i < 30; i += 1) await Promise.resolve()
}

test('hold starts, release stops, and nothing follows', async () => {
  control.hold(Direction.left)
  await pass(0)
  assert.equal(view.held, Direction.left)
  control.release()
  await pass(0)
  assert.deepEqual(calls, ['start 2', 'stop 2'])
  await pass(60_000)
  assert.equal(calls.length, 2)
})

test('a release while the start is on its way is not lost, nor does the stop overtake it', async () => {
  let arrive: (code: string) => void = () => {}
  answer = (path) => (path === 'start' ? new Promise((resolve) => (arrive = resolve)) : '200')
  control.hold(Direction.up)
  await pass(0)
  control.release()
  await pass(0)
  assert.deepEqual(calls, ['start 0'])
  arrive('200')
  await pass(0)
  assert.deepEqual(calls, ['start 0', 'stop 0'])
})

test('another direction stops the first', async () => {
  control.hold(Direction.up)
  await pass(0)
  control.hold(Direction.upRight)
  await pass(0)
  control.release()
  await pass(0)
  assert.deepEqual(calls, ['start 0', 'stop 0', 'start 6', 'stop 6'])
})

test('the limit is looked for while it is held, and shown on its side', async () => {
  control.hold(Direction.right)
  await pass(0)
  await pass(1_000)
  assert.equal(view.limit, undefined)
  answer = (path) => (path === 'start' ? '60005' : '200')
  await pass(1_000)
  assert.equal(view.limit, 'right')
  assert.deepEqual(calls, ['start 3', 'start 3', 'start 3'])
  control.release()
  await pass(0)
  assert.equal(calls.at(-1), 'stop 3')
  answer = () => '200'
  control.hold(Direction.left)
  await pass(0)
  assert.equal(view.limit, undefined)
})

for (const [code, kind] of [
  ['60026', 'masked'],
  ['60000', 'cannot'],
  ['20007', 'offline'],
] as const) {
  test(`${code} is ${kind}, asked once`, async () => {
    answer = (path) => (path === 'start' ? code : '200')
    control.hold(Direction.down)
    await pass(0)
    await pass(10_000)
    assert.equal(view.failure?.kind, kind)
    assert.equal(view.held, undefined)
    assert.deepEqual(calls, ['start 1', 'stop 1'])
  })
}

test('a finger points in eight directions, four or two', () => {
  const all = { vertical: true, horizontal: true, diagonal: true }
  assert.equal(directionAt(0, -0.8, all), Direction.up)
  assert.equal(directionAt(0.6, -0.6, all), Direction.upRight)
  assert.equal(directionAt(-0.6, 0.6, all), Direction.downLeft)
  assert.equal(directionAt(-0.9, 0.01, all), Direction.left)
  assert.equal(directionAt(-0.9, -0.01, all), Direction.left)
  assert.equal(directionAt(0.5, -0.6, { ...all, diagonal: false }), Direction.up)
  assert.equal(directionAt(0.5, -0.1, { vertical: true, horizontal: false, diagonal: false }), Direction.up)
  assert.equal(directionAt(0.05, -0.1, all), undefined)
  assert.equal(directionAt(0.9, 0, { vertical: false, horizontal: false, diagonal: false }), undefined)
})
