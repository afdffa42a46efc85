/** The walk of the user's guide through the WeChat build: FLUORITE_BUILD is its folder, FLUORITE_READY the server's ready-file. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { afterEach, test } from 'node:test'
import { Phone, text, until } from './host.mjs'

const build = process.env.FLUORITE_BUILD
const ready = JSON.parse(readFileSync(process.env.FLUORITE_READY, 'utf8'))
const { access_token: token, devices } = ready.trial
const { serial, name } = devices[0]

let phone
/** Turns the phone on; it is turned off after the test, or its timers would go on. */
function turnOn(options) {
  phone = new Phone(build, options)
  return phone
}
afterEach(() => {
  while (phone.pages.length) phone.close()
  phone.clean()
})

/** The live-player, once it has an address other than `before`. */
async function player(before = '') {
  const tag = () => [...phone.page.nodes()].find((node) => node.tag === 'wx-live-player')
  return until('an address for the player', () => (tag()?.attr.src && tag().attr.src !== before ? tag() : undefined))
}
const report = (node, code) => phone.fire(node, 'statechange', { detail: { code } })
const body = ({ body }) => Object.fromEntries(body)

/** A picture plays; gives its address. */
async function plays() {
  const node = await player()
  for (const code of [2001, 2002, 2003, 2004]) report(node, code)
  await until('playing', () => phone.all('stage')[0]?.attr['data-phase'] === 'playing')
  return new URL(node.attr.src)
}

test('from the home page by the trial to turning a camera, and to its footage', async () => {
  turnOn().open('pages/home/home')
  await phone.tap('home-live')
  await phone.arrives('pages/devices/devices')
  await phone.tap(`device-${serial}`)
  await phone.arrives('pages/live/live')
  const live = await plays()
  assert.equal(live.protocol, 'rtmp:')
  assert.equal(live.pathname, `/v3/openlive/${serial}_1_1`)
  assert.match(live.search, /[?&]t=[0-9a-f]{64}&/)
  await until('its name', () => text(phone.all('device-name')[0]) === name)

  const pad = await phone.find('ptz-pad')
  const touch = { clientX: 10, clientY: 100 }
  phone.fire(pad, 'touchstart', { touches: [touch], changedTouches: [touch] })
  const start = await until('ptz/start', () => phone.asked('/api/lapp/device/ptz/start')[0])
  assert.equal(body(start).direction, '2', 'the left of the pad is left')
  await until('the pad is held', () => phone.all('ptz-pad')[0].attr['data-held'])
  phone.fire(phone.all('ptz-pad')[0], 'touchend', { changedTouches: [touch] })
  await until('ptz/stop', () => phone.asked('/api/lapp/device/ptz/stop').length > 0)

  for (const panel of ['voice', 'mirror', 'mask']) {
    await phone.tap(`tab-${panel}`)
    await until(panel, () => phone.all('panel')[0].attr['data-panel'] === panel)
  }

  await phone.tap('to-playback')
  await phone.arrives('pages/playback/playback')
  const footage = await plays()
  assert.equal(footage.pathname, `/v3/openpb/${serial}_1_1`)
  assert.equal(footage.searchParams.get('rec'), 'local')
  assert.ok((await until('spans on the ruler', () => phone.all('span').length)) > 0)
})

test("one's own device is typed in, and remembered", async () => {
  turnOn({ language: 'en' }).open('pages/own/own?for=live')
  const type = async (into, value) => phone.fire(await phone.find(into), 'input', { detail: { value } })
  await type('own-token', 'nonsense!')
  await until('what is wrong', () => phone.all('own-token-problem').length)
  await type('own-token', token)
  await type('own-device', `${serial}:1`)
  await until('nothing is wrong', () => !phone.all('own-token-problem').length && !phone.all('own-device-problem').length)
  await phone.tap('own-done')
  await phone.arrives('pages/live/live')
  await plays()
  await until('remembered', () => phone.storage.get('recents')?.length === 1)
  phone.close()
  phone.open('pages/home/home')
  await phone.tap('recent-live')
  await phone.arrives('pages/live/live')
  assert.ok(!JSON.stringify(phone.page.options).includes(token), 'a token is not shown again')
  await plays()
})

test('links of other mini-programs open live and playback', async () => {
  const query = `accessToken=${token}&deviceSerial=${serial}&channelNo=1`
  turnOn({ launch: { path: 'pages/playback/playback', query: { accessToken: token, deviceSerial: serial, channelNo: '1' } } })
  phone.open(`pages/playback/playback?${query}`)
  assert.equal((await plays()).pathname, `/v3/openpb/${serial}_1_1`)
  phone.open(`/pages/live/live?${query}`)
  assert.equal((await plays()).pathname, `/v3/openlive/${serial}_1_1`)
  phone.open('pages/live/live?accessToken=x&deviceSerial=short')
  await until('the obstacle', () => phone.all('door')[0]?.attr['data-obstacle'] === 'link')
})

test('a code opens its one channel, and an unknown one says so', async () => {
  const qr = `${ready.http}/api/v1/devices/${serial}/channels/1/qr?format=json`
  const made = await fetch(qr, { headers: { authorization: `Bearer ${ready.admin_token}` } })
  const { scene } = await made.json()
  turnOn().open(`pages/live/live?scene=${encodeURIComponent(scene)}`)
  await plays()
  assert.equal(body(phone.asked('/device/getWxaInfo')[0]).uuid, scene)
  phone.open('pages/live/live?scene=unknown')
  await until('the obstacle', () => phone.all('door')[0]?.attr['data-obstacle'] === 'code')
})

test('a player that gives up asks for another address', async () => {
  turnOn().open(`pages/live/live?accessToken=${token}&deviceSerial=${serial}&channelNo=1`)
  const first = (await plays()).href
  report(await player(), -2301)
  await player(first)
})
