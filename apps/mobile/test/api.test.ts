/** The API client: replies of the wrong shape are named, forms are encoded. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ApiError, encodeForm, fetchScene, fetchTrial, OpenApi, Protocol, Quality, Storage } from '../../shared/api'

function answering(status: number, body: unknown) {
  return new OpenApi({ baseUrl: 'http://h', accessToken: 'at.x', transport: () => Promise.resolve({ status, body }) })
}

const ask = { deviceSerial: 'A12345678', channelNo: 1, protocol: Protocol.flv, quality: Quality.hd }
const is = (fault: string, code: string, message: RegExp) => (error: unknown) =>
  error instanceof ApiError && error.fault === fault && error.code === code && message.test(error.message)

test('a refusal carries the platform’s code and words', async () => {
  const api = answering(200, { code: '20018', msg: '该用户不拥有该设备', data: null })
  await assert.rejects(api.deviceInfo('A12345678'), is('refused', '20018', /不拥有/))
})

test('wrong types are named, not passed on', async () => {
  const data = { deviceSerial: 'A', deviceName: 'n', status: '1', isEncrypt: 0 }
  await assert.rejects(answering(200, { code: '200', data }).deviceInfo('A'), is('malformed', '', /status is not a number/))
  await assert.rejects(answering(200, { code: 200 }).deviceInfo('A'), is('malformed', '', /code is not a string/))
  await assert.rejects(answering(502, '<html>').liveAddress(ask), is('malformed', '', /502/))
  await assert.rejects(answering(200, null).liveAddress(ask), is('malformed', '', /reply/))
})

test('the address sample of the platform decodes', async () => {
  const data = { id: '247116619786670080', url: 'rtmp://h/v3/openlive/203751922_1_2', expireTime: '2020-11-13 21:53:13' }
  assert.deepEqual(await answering(200, { msg: 'Operation succeeded', code: '200', data }).liveAddress(ask), data)
})

test('forms leave out what is undefined, and escape', () => {
  assert.equal(encodeForm({ a: 'x&y=z', b: undefined, c: true, d: 3, e: '萤' }), 'a=x%26y%3Dz&c=1&d=3&e=%E8%90%A4')
})

test('a dead token is replaced once where it can be, by one call for all', async () => {
  const used: (string | null)[] = []
  let renewals = 0
  const api = new OpenApi({
    baseUrl: '',
    accessToken: 'at.old',
    transport: ({ body }) => {
      const token = new URLSearchParams(body).get('accessToken')
      used.push(token)
      const good = { code: '200', data: { enable: 1 } }
      return Promise.resolve({ status: 200, body: token === 'at.new' ? good : { code: '10002', msg: 'dead' } })
    },
    renew: () => Promise.resolve(renewals++ === 0 ? 'at.new' : 'at.useless'),
  })
  const channel = { deviceSerial: 'A12345678', channelNo: 1 }
  assert.equal(await api.masked(channel), true)
  assert.equal(await api.masked(channel), true)
  assert.deepEqual(used, ['at.old', 'at.new', 'at.new'])
  await assert.rejects(answering(200, { code: '10002', msg: 'dead' }).masked(channel), is('refused', '10002', /dead/))
})

test('a trial is read; none offered is a refusal', async () => {
  const server = (status: number, body: unknown) => ({ baseUrl: '', transport: () => Promise.resolve({ status, body }) })
  const trial = { accessToken: 'at.t', expireTime: 5, devices: [{ deviceSerial: 'TRIAL0001', channelNo: 1, deviceName: 'Street' }] }
  assert.deepEqual(await fetchTrial(server(200, trial)), trial)
  await assert.rejects(fetchTrial(server(404, { error: 'none' })), is('refused', '404', /^$/))
  await assert.rejects(fetchTrial(server(200, { ...trial, devices: [{}] })), is('malformed', '', /deviceSerial/))
})

test('a scanned code that is unknown opens nothing', async () => {
  const server = (data: unknown) => ({ baseUrl: '', transport: () => Promise.resolve({ status: 200, body: { code: '200', data } }) })
  assert.equal(await fetchScene(server(null), 'x'), undefined)
  const scene = { accessToken: 'at.s', deviceSerial: 'A12345678', channelNo: 2 }
  assert.deepEqual(await fetchScene(server(scene), 'x'), scene)
})

test('footage is asked for by moments that mean the same in every zone', async () => {
  const asked: URLSearchParams[] = []
  const api = new OpenApi({
    baseUrl: '',
    accessToken: 'at.x',
    transport: ({ url, body }) => {
      asked.push(new URLSearchParams(`${body}&path=${url.split('/').slice(-2).join('/')}`))
      const data = { id: '1', url: 'http://h/a', expireTime: '2026-09-21 10:43:20' }
      return Promise.resolve({ status: 200, body: { code: '200', data } })
    },
  })
  const channel = { deviceSerial: 'A12345678', channelNo: 1 }
  const range = { startTime: 1_790_000_000_000, stopTime: 1_790_000_060_000 }
  await api.playbackAddress({ ...channel, protocol: Protocol.flv, type: Storage.local, ...range })
  await api.downloadAddress(channel, { storage: Storage.cloud, ...range })
  const said = asked.map((form) => ['path', 'type', 'recType', 'startTime', 'stopTime'].map((name) => form.get(name)))
  assert.deepEqual(said, [
    ['address/get', '2', null, '1790000000000', '1790000060000'],
    ['download/address', null, '1', '1790000000000', '1790000060000'],
  ])
})

test('no footage is null, days are read from either form', async () => {
  const channel = { deviceSerial: 'A12345678', channelNo: 1 }
  assert.deepEqual(await answering(200, { code: '200', data: null }).recordings(channel, Storage.local, 0, 1), [])
  const data = [
    { recDay: '20231205', all: 1, cloud: 0, local: 1 },
    { recDay: '2023-12-06', all: 1, cloud: 1, local: 0 },
  ]
  const days = { meta: { code: 200, message: 'ok' }, data }
  assert.deepEqual(await answering(200, days).recordedDays(channel, Storage.local, '202312'), ['20231205'])
  assert.deepEqual(await answering(200, days).recordedDays(channel, Storage.cloud, '202312'), ['20231206'])
  const refusal = { meta: { code: 20018, message: 'no' } }
  await assert.rejects(answering(200, refusal).recordedDays(channel, Storage.cloud, '202312'), is('refused', '20018', /no/))
})
