/** The API client: replies of the wrong shape are named, forms are encoded. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ApiError, encodeForm, OpenApi, Protocol, Quality } from '../../shared/api'

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
