/** Links, queries and typed values: what a user gives, and what a stranger might. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deviceFault, readDevice, readLink, readSource, sourceQuery, tokenFault } from '../src/entry'

const TOKEN = 'at.cv704ono8vggs59c14mtre0u3q05q6fe-8dva1ulk3s-0fzbv4p-mnb5tefei'

test('the printed link gives back its three values and its server', () => {
  const query = `accessToken=${TOKEN}&deviceSerial=TRIAL0001&channelNo=2`
  const link = readLink(` http://192.168.1.5:8080/m/#/pages/live/live?${query}\n`)
  assert.equal(link?.server, 'http://192.168.1.5:8080')
  const read = readSource(link?.query ?? {})
  const entry = { accessToken: TOKEN, deviceSerial: 'TRIAL0001', channelNo: 2 }
  assert.deepEqual(read, { ok: true, source: { kind: 'token', entry } })
  assert.ok(read.ok && sourceQuery(read.source) === query)
})

test('a prefix of a reverse proxy belongs to the server', () => {
  assert.equal(readLink('https://h.example/cam/m/#/?deviceSerial=A')?.server, 'https://h.example/cam')
  assert.equal(readLink('?deviceSerial=TRIAL0001')?.server, '')
})

test('channel 1 is assumed, serials are taken in lower case', () => {
  const read = readSource({ accessToken: TOKEN, deviceSerial: ' trial0001 ' })
  assert.deepEqual(read, {
    ok: true,
    source: { kind: 'token', entry: { accessToken: TOKEN, deviceSerial: 'TRIAL0001', channelNo: 1 } },
  })
})

test('a trial, a device that is remembered and a scanned code need no token', () => {
  const channel = { deviceSerial: 'TRIAL0001', channelNo: 1 }
  for (const source of [
    { kind: 'trial', channel },
    { kind: 'kept', channel },
    { kind: 'scene', uuid: 'a1-B2_c3' },
  ] as const) {
    const query = Object.fromEntries(new URLSearchParams(sourceQuery(source)))
    assert.deepEqual(readSource(query), { ok: true, source })
  }
  assert.deepEqual(readSource({ scene: encodeURIComponent('a=1&b') }), { ok: true, source: { kind: 'scene', uuid: 'a=1&b' } })
})

test('every wrong value is named', () => {
  const wrong = readSource({ accessToken: 'AT.<script>', deviceSerial: '12345', channelNo: '0' })
  assert.deepEqual(wrong, { ok: false, wrong: ['accessToken', 'deviceSerial', 'channelNo'] })
  assert.deepEqual(readSource({}), { ok: false, wrong: ['deviceSerial'] })
  assert.deepEqual(readSource({ scene: 'x'.repeat(33) }), { ok: false, wrong: ['scene'] })
})

test('what is no link is none', () => {
  for (const text of ['', 'hello', 'http://host/m/', '?a=b', `?accessToken=${'x'.repeat(3000)}`]) {
    assert.equal(readLink(text), undefined, text.slice(0, 20))
  }
  assert.equal(readLink('?accessToken=%E0%A4%A')?.query['accessToken'], '%E0%A4%A')
})

test('a token is judged while it is typed', () => {
  for (const [text, fault] of [
    ['', undefined],
    ['a', 'short'],
    ['at.cv704', 'short'],
    ['ra.cv704', 'short'],
    ['bt.cv', 'prefix'],
    ['at.CV', 'alphabet'],
    [` ${TOKEN} `, undefined],
    [`${TOKEN}x`, 'long'],
  ] as const) {
    assert.equal(tokenFault(text), fault, text)
  }
})

test('a device is judged while it is typed', () => {
  const national = '34020000001320000001'
  for (const [text, fault, read] of [
    ['', undefined, undefined],
    ['c123', 'short', undefined],
    ['C12345678', undefined, { deviceSerial: 'C12345678', channelNo: 1 }],
    ['c12345678:12', undefined, { deviceSerial: 'C12345678', channelNo: 12 }],
    ['C12345678:', 'channel', undefined],
    ['C12345678:0', 'channel', undefined],
    ['C12345678:1:2', 'channel', undefined],
    ['C123456789', 'long', undefined],
    ['C1234_678', 'alphabet', undefined],
    [national, undefined, { deviceSerial: national, channelNo: 1 }],
    [`${national}:3`, undefined, { deviceSerial: national, channelNo: 3 }],
    [`${national}:${national}:3`, undefined, { deviceSerial: `${national}:${national}`, channelNo: 3 }],
  ] as const) {
    assert.equal(deviceFault(text), fault, text)
    assert.deepEqual(readDevice(text), read, text)
  }
})
