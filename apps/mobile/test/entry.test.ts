/** Links and queries: what a user pastes, and what a stranger might. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { entryQuery, readEntry, readLink } from '../src/entry'

const TOKEN = 'at.cv704ono8vggs59c14mtre0u3q05q6fe-8dva1ulk3s-0fzbv4p-mnb5tefei'

test('the printed link gives back its three values and its server', () => {
  const query = `accessToken=${TOKEN}&deviceSerial=TRIAL0001&channelNo=2`
  const link = readLink(` http://192.168.1.5:8080/m/#/pages/live/live?${query}\n`)
  assert.equal(link?.server, 'http://192.168.1.5:8080')
  const read = readEntry(link?.query ?? {})
  assert.deepEqual(read, { ok: true, entry: { accessToken: TOKEN, deviceSerial: 'TRIAL0001', channelNo: 2 } })
  assert.ok(read.ok && entryQuery(read.entry) === query)
})

test('a prefix of a reverse proxy belongs to the server', () => {
  assert.equal(readLink('https://h.example/cam/m/#/?deviceSerial=A')?.server, 'https://h.example/cam')
  assert.equal(readLink('?deviceSerial=TRIAL0001')?.server, '')
})

test('channel 1 is assumed, serials are taken in lower case', () => {
  const read = readEntry({ accessToken: TOKEN, deviceSerial: ' trial0001 ' })
  assert.deepEqual(read, { ok: true, entry: { accessToken: TOKEN, deviceSerial: 'TRIAL0001', channelNo: 1 } })
})

test('every wrong value is named', () => {
  const wrong = readEntry({ accessToken: 'AT.<script>', deviceSerial: '12345', channelNo: '0' })
  assert.deepEqual(wrong, { ok: false, wrong: ['accessToken', 'deviceSerial', 'channelNo'] })
  assert.deepEqual(readEntry({}), { ok: false, wrong: ['accessToken', 'deviceSerial'] })
})

test('what is no link is none', () => {
  for (const text of ['', 'hello', 'http://host/m/', '?a=b', `?accessToken=${'x'.repeat(3000)}`]) {
    assert.equal(readLink(text), undefined, text.slice(0, 20))
  }
  assert.equal(readLink('?accessToken=%E0%A4%A')?.query['accessToken'], '%E0%A4%A')
})
