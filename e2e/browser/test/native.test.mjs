/** The pages where Media Source Extensions are missing, as on iPhones: HLS in `<video>` itself, which this Chromium has too. */
import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { assertPicture, at, decoder, frontPage, launch, leave, lapp, open, pageUrl, press, ready, SMALL_PHONE, stage, trial, until } from './harness.mjs'

const [{ serial }] = ready.trial.devices

let browser
let page
before(async () => {
  browser = await launch()
})
after(() => browser?.close())
afterEach(async () => {
  await leave(page)
  page = undefined
})

/** A phone without Media Source Extensions; what it asks of media is kept. */
async function phone() {
  page = await open(browser, 'about:blank', { ...SMALL_PHONE, locale: 'en-US' })
  await page.addInitScript(() => {
    delete window.MediaSource
    delete window.ManagedMediaSource
  })
  const native = await page.evaluate(() => document.createElement('video').canPlayType('application/vnd.apple.mpegurl'))
  assert.notEqual(native, '', 'this browser plays no HLS: the test needs one that does')
  await trial(page)
  const asked = []
  page.on('request', (request) => asked.push(request.url()))
  return { media: (ending) => asked.filter((url) => new URL(url).pathname.endsWith(ending)) }
}

test('a live camera plays as HLS, with sound, and lets go when stopped', async () => {
  const { media } = await phone()
  let id
  page.on('response', async (response) => {
    if (response.url().endsWith('/v2/live/address/get')) id = (await response.json()).data.id
  })
  await page.goto(pageUrl())
  await stage(page, { phase: 'playing' }, 30_000)
  await assertPicture(page)
  assert.deepEqual([(await decoder(page)).width, media('.flv')], [1280, []])
  await at(page, 'unmute').click()
  await until(async () => !(await decoder(page)).muted, 2_000, 'sound')
  const { audioBytes } = await decoder(page)
  await until(async () => (await decoder(page)).audioBytes > audioBytes, 10_000, 'decoded sound')
  // Revoked, it is replaced by a new one.
  const first = id
  await lapp('v2/live/address/disable', { deviceSerial: serial, channelNo: 1, urlId: first })
  await until(() => id !== first, 30_000, 'another address')
  await stage(page, { phase: 'playing' }, 30_000)
  await assertPicture(page)
  await press(page, 'play')
  await stage(page, { phase: 'idle' })
  assert.equal(await page.evaluate(() => document.querySelector('video').src), '')
})

test('the wall plays as HLS', async () => {
  const { media } = await phone()
  await page.goto(frontPage('wall/wall?trial=1'))
  for (const device of ready.trial.devices) {
    await page.locator(`[data-test="tile-${device.serial}-1"][data-phase="playing"]`).waitFor({ timeout: 30_000 })
  }
  assert.deepEqual(media('.flv'), [])
})

test('a browser with neither says so', async () => {
  page = await open(browser, 'about:blank', { ...SMALL_PHONE, locale: 'en-US' })
  await page.addInitScript(() => {
    delete window.MediaSource
    delete window.ManagedMediaSource
    HTMLMediaElement.prototype.canPlayType = () => ''
  })
  await page.goto(pageUrl())
  await stage(page, { phase: 'failed', failure: 'noMse' })
  assert.equal(await at(page, 'failure-title').innerText(), 'This browser cannot play this')
})

test('footage needs Media Source Extensions, and says so', async () => {
  await phone()
  await page.goto(frontPage(`playback/playback?trial=1&deviceSerial=${serial}`))
  await stage(page, { phase: 'failed', failure: 'noMse' })
})
