/** Playing footage back, against a scripted platform in simulated time. */
import assert from 'node:assert/strict'
import { beforeEach, mock, test } from 'node:test'
import { OpenApi, Protocol, Storage, type Transport } from '../../shared/api'
import { PlayerCode } from '../src/components/cam-player/player-state'
import { PlaybackSession, type View } from '../src/playback/session'
import { addDays, dayOf } from '../src/playback/time-line'

const HOUR = 3_600_000
const now = new Date(2026, 10, 24, 15).getTime()
const today = dayOf(now)
const yesterday = addDays(today, -1)

type Row = [from: number, to: number]
let footage: Record<Storage, Row[]>
let service: { status: number }
let refusal: string
let cardless: boolean
let asked: { type: Storage; from: number; to: number; speed: string | null; code: string | null }[]
let searches: number
let view: View
let session: PlaybackSession

const transport: Transport = ({ url, body }) => {
  const form = new URLSearchParams(body)
  const answer = (data: unknown) => Promise.resolve({ status: 200, body: { code: '200', data } })
  if (url.endsWith('video/by/time')) {
    searches += 1
    const [from, to] = [Number(form.get('startTime')), Number(form.get('endTime'))]
    if (cardless) return Promise.resolve({ status: 200, body: { code: '60020', msg: 'no' } })
    const rows = footage[form.get('recType') === '1' ? Storage.cloud : Storage.local].filter((row) => row[1] > from && row[0] <= to)
    return answer(rows.length > 0 ? rows.map(([startTime, endTime]) => ({ startTime, endTime })) : null)
  }
  if (url.endsWith('cloud/storage/device/info')) return answer(service)
  if (refusal) return Promise.resolve({ status: 200, body: { code: refusal, msg: 'no' } })
  asked.push({
    type: Number(form.get('type')) as Storage,
    from: Number(form.get('startTime')),
    to: Number(form.get('stopTime')),
    speed: form.get('playbackSpeed'),
    code: form.get('code'),
  })
  return answer({ id: '1', url: `http://h/${asked.length}.flv` })
}

beforeEach(() => {
  mock.timers.reset()
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now })
  footage = { [Storage.local]: [], [Storage.cloud]: [] }
  service = { status: 1 }
  refusal = ''
  cardless = false
  asked = []
  searches = 0
  session = new PlaybackSession({
    api: new OpenApi({ baseUrl: '', accessToken: 'at.x', transport }),
    channel: { deviceSerial: 'A12345678', channelNo: 1 },
    protocol: Protocol.flv,
    h265: false,
    show: (next) => {
      view = next
    },
    random: () => 0.5,
  })
})

async function pass(ms = 0): Promise<void> {
  mock.timers.tick(ms)
  for (let i = 0; i < 60; i += 1) await Promise.resolve()
}
const play = () => session.onPlayer({ code: PlayerCode.playing })
const end = () => session.onPlayer({ code: PlayerCode.ended })
const last = () => asked.at(-1)

test('the newest file of today plays, to the end of its run', async () => {
  footage[Storage.local] = [
    [today + HOUR, today + 2 * HOUR],
    [today + 3 * HOUR, today + 4 * HOUR],
    [today + 4 * HOUR, today + 4.5 * HOUR],
  ]
  session.start()
  await pass()
  assert.equal(view.phase, 'connecting')
  assert.deepEqual([last()?.type, last()?.from, last()?.to], [Storage.local, today + 4 * HOUR, today + 4.5 * HOUR])
  assert.equal(view.spans.length, 2, 'files that follow on are one run')
  play()
  session.onProgress(90)
  assert.equal(view.moment, today + 4 * HOUR + 90_000)
})

test('where today has nothing, yesterday is looked at; where that has nothing either, it is said', async () => {
  footage[Storage.local] = [[yesterday + HOUR, yesterday + 2 * HOUR]]
  session.start()
  await pass()
  assert.equal(last()?.from, yesterday + HOUR)
  footage[Storage.local] = []
  session.openDay(addDays(today, -3))
  await pass()
  assert.equal(view.phase, 'empty')
  assert.equal(dayOf(view.moment), addDays(today, -3))
})

test('a gap is jumped over, midnight is not even noticed', async () => {
  footage[Storage.local] = [
    [yesterday + 22 * HOUR, today + HOUR],
    [today + 3 * HOUR, today + 4 * HOUR],
  ]
  session.seek(yesterday + 23.5 * HOUR)
  await pass()
  assert.equal(last()?.to, today + HOUR, 'one address across midnight')
  play()
  session.onProgress(1.5 * 3600)
  end()
  await pass()
  assert.equal(last()?.from, today + 3 * HOUR)
  assert.deepEqual(view.skipped, { from: today + HOUR, to: today + 3 * HOUR })
  play()
  session.onProgress(3600)
  end()
  await pass()
  assert.equal(view.phase, 'ended')
})

test('days without footage are crossed too', async () => {
  const before = addDays(today, -4)
  footage[Storage.local] = [
    [before + HOUR, before + 2 * HOUR],
    [yesterday + HOUR, yesterday + 2 * HOUR],
  ]
  session.openDay(before)
  await pass()
  play()
  session.onProgress(3600)
  end()
  await pass()
  assert.equal(last()?.from, yesterday + HOUR)
})

test('a seek into a gap plays what comes next, behind everything what came last', async () => {
  footage[Storage.local] = [
    [today + HOUR, today + 2 * HOUR],
    [today + 3 * HOUR, today + 4 * HOUR],
  ]
  session.seek(today + 2.5 * HOUR)
  await pass()
  assert.equal(last()?.from, today + 3 * HOUR)
  session.seek(today + 10 * HOUR)
  await pass()
  assert.equal(last()?.from, today + 3 * HOUR)
})

test('of many seeks the last one wins', async () => {
  footage[Storage.local] = [[today, today + 8 * HOUR]]
  for (let hour = 1; hour < 6; hour += 1) session.seek(today + hour * HOUR)
  await pass()
  assert.equal(view.moment, today + 5 * HOUR)
  assert.equal(view.src, `http://h/${asked.length}.flv`)
  assert.ok(asked.every(({ from }) => from === today + 5 * HOUR), 'no address is asked for in vain')
})

test('speed begins a new address where the old one was, and time runs faster', async () => {
  footage[Storage.local] = [[today, today + 8 * HOUR]]
  session.seek(today + HOUR)
  await pass()
  play()
  session.onProgress(60)
  session.setSpeed(4)
  await pass()
  assert.deepEqual([last()?.from, last()?.speed], [today + HOUR + 60_000, '4'])
  play()
  session.onProgress(10)
  assert.equal(view.moment, today + HOUR + 100_000)
})

test('the other storage keeps the moment; without a service it is told', async () => {
  footage[Storage.local] = [[today, today + 8 * HOUR]]
  footage[Storage.cloud] = [[today + HOUR, today + 3 * HOUR]]
  session.seek(today + 2 * HOUR)
  await pass()
  session.setStorage(Storage.cloud)
  await pass()
  assert.deepEqual([last()?.type, last()?.from], [Storage.cloud, today + 2 * HOUR])

  footage[Storage.cloud] = []
  service = { status: -1 }
  session.setStorage(Storage.local)
  await pass()
  session.setStorage(Storage.cloud)
  await pass()
  assert.deepEqual([view.phase, view.service?.status, view.moment], ['empty', -1, today + 2 * HOUR])
  footage[Storage.cloud] = [[today + HOUR, today + 3 * HOUR]]
  service = { status: 1 }
  session.serviceOpened()
  await pass()
  assert.equal(last()?.from, today + 2 * HOUR)
})

test('a stream that is cut off goes on where it was', async () => {
  footage[Storage.local] = [[today, today + 8 * HOUR]]
  session.seek(today + HOUR)
  await pass()
  play()
  session.onProgress(30)
  end()
  assert.deepEqual([view.phase, view.failure?.kind], ['waiting', 'ended'])
  await pass(1_000)
  assert.equal(last()?.from, today + HOUR + 30_000)
  play()
  session.onProgress(20)
  session.onPlayer({ code: PlayerCode.gaveUp, fault: 'stalled' })
  await pass(2_000)
  assert.equal(last()?.from, today + HOUR + 50_000)
})

test('a run of which nothing comes is left for the next', async () => {
  footage[Storage.local] = [
    [today, today + HOUR],
    [today + 2 * HOUR, today + 3 * HOUR],
  ]
  session.seek(today)
  await pass()
  end()
  await pass()
  assert.equal(last()?.from, today + 2 * HOUR)
})

test('footage that grows is followed, but not second by second', async () => {
  const rows: Row[] = [[now - HOUR, now]]
  footage[Storage.local] = rows
  session.seek(now - 60_000)
  await pass()
  play()
  session.onProgress(60)
  rows[0] = [now - HOUR, now + 40_000]
  mock.timers.setTime(now + 40_000)
  end()
  await pass()
  assert.equal(last()?.from, now)
  play()
  session.onProgress(40)
  rows[0] = [now - HOUR, now + 42_000]
  end()
  await pass()
  assert.equal(view.phase, 'ended')
})

test('pause lets go of the stream and knows the place', async () => {
  footage[Storage.local] = [[today, today + 8 * HOUR]]
  session.seek(today + HOUR)
  await pass()
  play()
  session.onProgress(12.0004)
  session.pause()
  assert.deepEqual([view.phase, view.src], ['paused', ''])
  const before = searches
  await pass(600_000)
  assert.equal(searches, before)
  session.hide()
  assert.equal(view.phase, 'paused', 'who paused stays paused')
  session.resume()
  await pass()
  assert.equal(last()?.from, today + HOUR + 12_000)
  session.hide()
  assert.equal(view.src, '')
  session.reveal()
  await pass()
  assert.equal(view.phase, 'connecting')
})

test('an encrypted device is told, its code goes with later addresses', async () => {
  footage[Storage.local] = [[today, today + 8 * HOUR]]
  refusal = '60019'
  session.seek(today + HOUR)
  await pass()
  assert.deepEqual([view.phase, view.failure?.kind], ['failed', 'encrypted'])
  refusal = ''
  session.unlock('SECRET')
  await pass()
  assert.equal(last()?.code, 'SECRET')
})

test('a device that keeps nothing itself has no footage, which is no failure', async () => {
  cardless = true
  session.start()
  await pass()
  assert.deepEqual([view.phase, view.failure], ['empty', undefined])
})
