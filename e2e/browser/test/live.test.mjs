/**
 * The live page in a real Chromium, against a running `fluorite serve --trial`.
 *
 * Pictures are judged by decoded frames and pixels, never by currentTime. Nothing is asked of the server that a stranger
 * with the ready file could not ask.
 */
import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import {
  assertPicture, at, decoder, frames, lapp, launch, leave, native, open, pageUrl, PHONE, pixels, press, publish, ready, shots, stage, until,
} from './harness.mjs'
import { hevcFlv } from './hevc.mjs'

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

const text = (name) => at(page, name).innerText()

test('a camera plays by itself: frames are decoded, pixels live and move', async () => {
  page = await open(browser, pageUrl())
  await stage(page, { phase: 'playing' })
  await assertPicture(page)
  const { width, height, muted } = await decoder(page)
  assert.deepEqual([width, height], [1280, 720])
  assert.ok(muted, 'starts without sound')
  assert.equal(await text('device-name'), ready.trial.devices[0].name)
  assert.equal(await text('device-state'), 'Online')
  await at(page, 'tab-device').click()
  await at(page, 'figures').getByText('1280×720').waitFor()
  await page.screenshot({ path: `${shots}/phone-playing.png` })
})

test('the picture fills the stage of a desktop too', async () => {
  page = await open(browser, pageUrl(), { viewport: { width: 1440, height: 900 }, locale: 'zh-CN', colorScheme: 'dark' })
  await stage(page, { phase: 'playing' })
  await assertPicture(page)
  const [box, video] = await Promise.all([at(page, 'stage').boundingBox(), page.locator('video').boundingBox()])
  assert.deepEqual(video, box)
  assert.ok(Math.abs(box.width / box.height - 16 / 9) < 0.02, `stage of ${box.width}×${box.height}`)
  await page.screenshot({ path: `${shots}/desktop-playing.png` })
})

test('sound comes with a touch, and goes', async () => {
  page = await open(browser, pageUrl())
  await stage(page, { phase: 'playing' })
  await at(page, 'unmute').click()
  await until(async () => !(await decoder(page)).muted, 2_000, 'sound')
  const { audioBytes } = await decoder(page)
  await until(async () => (await decoder(page)).audioBytes > audioBytes, 5_000, 'decoded sound')
  assert.ok(!(await decoder(page)).paused)
  assert.equal(await at(page, 'unmute').count(), 0)
  await press(page, 'sound')
  await until(async () => (await decoder(page)).muted, 2_000, 'silence')
})

test('stop lets go of the connection, play takes it up again', async () => {
  page = await open(browser, pageUrl())
  await stage(page, { phase: 'playing' })
  const ended = page.waitForEvent('requestfailed', (request) => request.url().includes('.flv'))
  await press(page, 'play')
  await stage(page, { phase: 'idle' })
  await ended
  assert.equal(await page.evaluate(() => document.querySelector('video').src), '')
  await page.screenshot({ path: `${shots}/phone-stopped.png` })
  await at(page, 'big-play').click()
  await stage(page, { phase: 'playing' })
  await assertPicture(page)
})

test('quality changes to the sub stream and back', async () => {
  page = await open(browser, pageUrl())
  await stage(page, { phase: 'playing' })
  await press(page, 'sd')
  await until(async () => (await decoder(page)).width === 640, 20_000, 'a picture 640 wide')
  await assertPicture(page)
  await press(page, 'hd')
  await until(async () => (await decoder(page)).width === 1280, 20_000, 'a picture 1280 wide')
  await assertPicture(page)
})

test('full screen shows the picture and its controls alone', async () => {
  page = await open(browser, pageUrl())
  await stage(page, { phase: 'playing' })
  const full = () => page.evaluate(() => document.fullscreenElement?.contains(document.querySelector('video')) ?? false)
  await press(page, 'fullscreen')
  await until(full, 5_000, 'full screen')
  await frames(page, 5)
  await press(page, 'fullscreen')
  await until(async () => !(await full()), 5_000, 'the page again')
})

test('a hidden page takes no media and plays on when it is seen', async () => {
  page = await open(browser, pageUrl())
  await stage(page, { phase: 'playing' })
  const visibility = (state) =>
    page.evaluate((value) => {
      Object.defineProperty(document, 'visibilityState', { value, configurable: true })
      Object.defineProperty(document, 'hidden', { value: value === 'hidden', configurable: true })
      document.dispatchEvent(new Event('visibilitychange'))
    }, state)
  const ended = page.waitForEvent('requestfailed', (request) => request.url().includes('.flv'))
  await visibility('hidden')
  await stage(page, { phase: 'paused' })
  await ended
  await visibility('visible')
  await stage(page, { phase: 'playing' })
  await assertPicture(page)
})

test('a revoked address is replaced by a new one', async () => {
  let id
  page = await open(browser, 'about:blank')
  page.on('response', async (response) => {
    if (response.url().endsWith('/v2/live/address/get')) id = (await response.json()).data.id
  })
  await page.goto(pageUrl())
  await stage(page, { phase: 'playing' })
  await until(() => id, 5_000, 'the id of the address')
  const first = id
  await lapp('v2/live/address/disable', { deviceSerial: ready.trial.devices[0].serial, channelNo: 1, urlId: first })
  await until(() => id !== first, 15_000, 'another address')
  await stage(page, { phase: 'playing' })
  await assertPicture(page)
})

test('both languages, by the browser’s choice and by the user’s', async () => {
  page = await open(browser, pageUrl(), { ...PHONE, locale: 'zh-HK' })
  await stage(page, { phase: 'playing' })
  assert.equal(await text('unmute'), '点击打开声音')
  assert.equal(await text('device-state'), '在线')
  await at(page, 'language').click()
  assert.equal(await text('unmute'), 'Tap for sound')
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'en')
  await page.reload()
  await stage(page, { phase: 'playing' })
  assert.equal(await text('device-state'), 'Online', 'the choice is kept')
})

for (const { name, url, failure, title } of [
  {
    name: 'a wrong token',
    url: () => pageUrl({ token: ready.trial.access_token.replace(/.$/, (last) => (last === 'a' ? 'b' : 'a')) }),
    failure: 'token',
    title: 'The access token is invalid or has expired',
  },
  { name: 'another’s device', url: () => pageUrl({ serial: 'NOBODYS01' }), failure: 'notYours', title: 'This device is not yours' },
  { name: 'a channel too far', url: () => pageUrl({ channel: 9 }), failure: 'channel', title: 'There is no channel 9' },
]) {
  test(`${name} is said in words`, async () => {
    page = await open(browser, url())
    await stage(page, { phase: 'failed', failure })
    assert.equal(await text('failure-title'), title)
    await page.screenshot({ path: `${shots}/phone-${failure}.png` })
    await at(page, 'action-another').click()
    await at(page, 'own-form').waitFor()
  })
}

test('an encrypted device asks for its code and takes it', async () => {
  page = await open(browser, 'about:blank')
  const codes = []
  await page.route('**/v2/live/address/get', async (route) => {
    const code = new URLSearchParams(route.request().postData()).get('code')
    codes.push(code)
    if (code === 'SECRET') await route.continue()
    else await route.fulfill({ json: { code: '60019', msg: '设备已加密' } })
  })
  await page.goto(pageUrl())
  await stage(page, { phase: 'failed', failure: 'encrypted' })
  await page.screenshot({ path: `${shots}/phone-encrypted.png` })
  await at(page, 'code').locator('input').fill('WRONGS')
  await at(page, 'unlock').click()
  await until(async () => (await text('failure-hint')) === 'That code is not right. Try once more.', 5_000, 'the hint')
  await at(page, 'code').locator('input').fill('SECRET')
  await at(page, 'unlock').click()
  await stage(page, { phase: 'playing' })
  assert.deepEqual(codes, [null, 'WRONGS', 'SECRET'])
})

test('H.265 in HD becomes SD, H.265 in both is named; never a black picture', async () => {
  const decodes = 'MediaSource.isTypeSupported(\'video/mp4;codecs="hvc1.1.6.L93.B0"\')'
  page = await open(browser, 'about:blank')
  assert.equal(await page.evaluate(decodes), false, 'this browser decodes H.265: the test needs one that does not')
  const body = hevcFlv()
  const hevc = (route) =>
    route.fulfill({ body, contentType: 'video/x-flv', headers: { 'access-control-allow-origin': '*' } })
  await page.route(/_1\.flv\?/, hevc)
  await page.goto(pageUrl())
  await stage(page, { phase: 'playing' })
  assert.match(await text('note'), /HD is H\.265/)
  assert.equal((await decoder(page)).width, 640)
  await assertPicture(page)
  await page.route(/_2\.flv\?/, hevc)
  await page.reload()
  await stage(page, { phase: 'failed', failure: 'h265' })
  assert.equal(await text('failure-title'), 'This browser has no H.265')
  await page.screenshot({ path: `${shots}/phone-h265.png` })
})

test('a server that cannot be reached is named, and found again', async () => {
  page = await open(browser, 'about:blank')
  let tries = 0
  await page.route('**/api/lapp/**', (route) => {
    tries += 1
    return route.abort('connectionrefused')
  })
  await page.goto(pageUrl())
  await stage(page, { phase: 'waiting', failure: 'network' })
  assert.equal(await text('failure-title'), 'The server cannot be reached')
  assert.match(await text('failure-foot'), /Trying again in \d+ s/)
  await page.screenshot({ path: `${shots}/phone-network.png` })
  const first = tries
  await until(() => tries > first, 10_000, 'another try')
  await page.unroute('**/api/lapp/**')
  await stage(page, { phase: 'playing' })
  await assertPicture(page)
})

test('a picture that stops is noticed within seconds', async () => {
  page = await open(browser, 'about:blank')
  // The first stream brings two seconds and falls silent without closing, as a dead link does.
  await page.addInitScript(() => {
    const { fetch } = window
    let streams = 0
    window.fetch = async (input, init) => {
      const response = await fetch(input, init)
      streams += String(input).includes('.flv')
      if (streams !== 1) return response
      const until = performance.now() + 2000
      const reader = response.body.getReader()
      const body = new ReadableStream({
        async pull(controller) {
          if (performance.now() > until) return new Promise(() => {})
          const { done, value } = await reader.read()
          if (done) controller.close()
          else controller.enqueue(value)
        },
      })
      return new Response(body, response)
    }
  })
  await page.goto(pageUrl())
  await stage(page, { phase: 'playing' })
  await stage(page, { phase: 'waiting', failure: 'stalled' })
  assert.equal(await text('failure-title'), 'The picture stopped')
  await stage(page, { phase: 'playing' })
  await assertPicture(page)
})

test('a camera that publishes: G.711 is heard as AAC; off line says since when; its return plays by itself', async () => {
  const device = await native('POST', 'devices', { driver: 'push', name: 'Barn' })
  let end = publish(device.push_urls[0], 'pcm')
  try {
    const online = async () => (await native('GET', `devices/${device.serial}`)).state === 'online'
    await until(online, 20_000, 'the publisher on line')
    await lapp('device/add', { deviceSerial: device.serial, validateCode: device.validate_code })
    page = await open(browser, pageUrl({ serial: device.serial }))
    await stage(page, { phase: 'playing' })
    await assertPicture(page)
    await at(page, 'unmute').click()
    const { audioBytes } = await decoder(page)
    await until(async () => (await decoder(page)).audioBytes > audioBytes, 5_000, 'decoded sound')
    assert.equal(await at(page, 'note').count(), 0)

    await end()
    await stage(page, { failure: 'offline' }, 60_000)
    assert.match(await text('failure-title'), /^Offline since \d{4}-\d{2}-\d{2} \d{2}:\d{2}$/)
    assert.match(await text('device-state'), /^Offline since /)
    await page.screenshot({ path: `${shots}/phone-offline.png` })

    end = publish(device.push_urls[0], 'aac')
    await stage(page, { phase: 'playing' }, 60_000)
    await assertPicture(page)
    assert.equal(await text('device-state'), 'Online')
  } finally {
    await end()
    await native('DELETE', `devices/${device.serial}`)
  }
})

test('fifty pages made and left leave nothing behind', { timeout: 240_000 }, async () => {
  page = await open(browser, pageUrl(), { ...PHONE, deviceScaleFactor: 1 })
  const session = await page.context().newCDPSession(page)
  const cycle = async () => {
    await stage(page, { phase: 'playing' })
    await at(page, 'another').click()
    await at(page, 'own-form').waitFor()
    await page.evaluate((hash) => {
      location.hash = hash
    }, new URL(pageUrl()).hash)
  }
  const living = async (type) => {
    const { result } = await session.send('Runtime.evaluate', { expression: `${type}.prototype` })
    const { objects } = await session.send('Runtime.queryObjects', { prototypeObjectId: result.objectId })
    const { result: length } = await session.send('Runtime.callFunctionOn', {
      objectId: objects.objectId,
      functionDeclaration: 'function () { return this.length }',
      returnByValue: true,
    })
    await session.send('Runtime.releaseObject', { objectId: objects.objectId })
    return length.value
  }
  const weigh = async () => {
    await at(page, 'own-form').waitFor()
    await session.send('HeapProfiler.collectGarbage')
    const { usedSize } = await session.send('Runtime.getHeapUsage')
    const [videos, sources, canvases] = [await living('HTMLVideoElement'), await living('MediaSource'), await living('HTMLCanvasElement')]
    return { usedSize, videos, sources, canvases }
  }
  const leave = async () => {
    await stage(page, { phase: 'playing' })
    await at(page, 'another').click()
  }
  // What is loaded once and kept (the player's code, caches) is not counted.
  for (let i = 0; i < 5; i += 1) await cycle()
  await leave()
  const before = await weigh()
  await page.evaluate((hash) => {
    location.hash = hash
  }, new URL(pageUrl()).hash)
  for (let i = 0; i < 50; i += 1) await cycle()
  await leave()
  const after = await weigh()
  const grown = (after.usedSize - before.usedSize) / 1024
  console.log(`heap ${(before.usedSize / 1048576).toFixed(1)} MiB, grown by ${grown.toFixed(0)} KiB in 50 pages`)
  assert.ok(after.videos <= 1 && after.sources <= 1 && after.canvases <= 2, JSON.stringify(after))
  assert.ok(grown < 1024, `the heap grew by ${grown} KiB`)
})

test('pixels() would see a black picture', async () => {
  page = await open(browser, 'about:blank')
  await page.setContent('<video></video>')
  const { mean, contrast } = await pixels(page)
  assert.deepEqual([mean, contrast], [0, 0])
})
