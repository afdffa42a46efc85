/** HLS in a real Chromium by hls.js: live streams in both containers and with low latency, and a camera's card. */
import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { assertPicture, decoder, frames, lapp, launch, leave, native, open, ready, until } from './harness.mjs'

const LIBRARY = fileURLToPath(new URL('../node_modules/hls.js/dist/hls.min.js', import.meta.url))
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

/** A page that plays an address, with options for hls.js. */
async function play(url, options = {}) {
  page = await open(browser, 'about:blank')
  // A page of the server's origin, which says nothing of scripts.
  const player = `${ready.http}/hls-player`
  const body = '<!doctype html><video muted playsinline></video>'
  await page.route(player, (route) => route.fulfill({ contentType: 'text/html', body }))
  await page.goto(player)
  await page.addScriptTag({ path: LIBRARY })
  await page.evaluate(
    ([source, config]) => {
      const video = document.querySelector('video')
      const hls = (window.hls = new window.Hls(config))
      window.errors = []
      hls.on(window.Hls.Events.ERROR, (_, { fatal, details }) => window.errors.push(`${fatal ? 'fatal ' : ''}${details}`))
      hls.loadSource(source)
      hls.attachMedia(video)
      // Waits for the first picture, which the tests do themselves.
      video.play().catch((error) => window.errors.push(`fatal ${error}`))
    },
    [url, options],
  )
}

/** An address of the camera: 2 is HLS, 5 low latency. */
async function address(protocol, more = {}) {
  const { url } = await lapp('v2/live/address/get', { deviceSerial: serial, channelNo: 1, protocol, quality: 1, ...more })
  return url
}

for (const [container, containerFormat] of [['transport streams', 0], ['fragmented MP4', 1]]) {
  test(`a live camera plays as ${container}`, async () => {
    await play(await address(2, { containerFormat }))
    await assertPicture(page)
    // Over several segments, with sound.
    await frames(page, 100, 30_000)
    const { width, height, audioBytes } = await decoder(page)
    assert.deepEqual([width, height], [1280, 720])
    assert.ok(audioBytes > 0, 'sound is decoded')
    assert.deepEqual(await page.evaluate(() => window.errors.filter((error) => error.startsWith('fatal'))), [])
  })
}

test('low latency stays close behind the camera', async () => {
  await play(await address(5), { lowLatencyMode: true })
  await assertPicture(page)
  await frames(page, 60, 30_000)
  await until(() => page.evaluate(() => window.hls.latency > 0 && window.hls.latency < 4), 20_000, 'a latency below 4 s')
  const parts = await page.evaluate(() => window.hls.latestLevelDetails?.partList?.length ?? window.hls.levels[0].details.partList.length)
  assert.ok(parts > 0, 'it reads parts')
  assert.deepEqual(await page.evaluate(() => window.errors.filter((error) => error.startsWith('fatal'))), [])
})

test('a clip of the card plays, in a session that ends with its viewer', async () => {
  const now = Date.now()
  const span = { startTime: now - 86_400_000, endTime: now }
  const clips = await lapp('video/by/time', { deviceSerial: serial, channelNo: 1, recType: 2, ...span })
  const { startTime, endTime } = clips.find((clip) => clip.endTime - clip.startTime > 20_000)
  const more = { type: 2, startTime: Math.max(startTime, span.startTime), stopTime: Math.min(endTime, now) }
  await play(await address(2, more))
  await assertPicture(page)
  await frames(page, 60, 30_000)
  const listed = async () => (await native('GET', 'sessions')).sessions.filter(({ stream }) => stream.endsWith(':local'))
  assert.equal((await listed()).length, 1)
  await page.evaluate(() => window.hls.destroy())
  // Fifteen seconds after it was asked for anything.
  await until(async () => (await listed()).length === 0, 20_000, 'the session to end')
})
