/** What the browser tests stand on: the server under test, a real Chromium, and questions about real pictures. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'

const { FLUORITE_READY, CHROMIUM = '/usr/bin/chromium', FLUORITE_SHOTS } = process.env
assert.ok(FLUORITE_READY, 'FLUORITE_READY names the ready file of a running `fluorite serve --trial --ready-file`')

/** The ready file: where the server is, and what its trial made. */
export const ready = JSON.parse(readFileSync(FLUORITE_READY, 'utf8'))
/** Where screenshots go. */
export const shots = FLUORITE_SHOTS ?? fileURLToPath(new URL('../output/', import.meta.url))
mkdirSync(shots, { recursive: true })

/** Names of the server under test; nothing else may be asked. */
const home = [ready.http, ready.page].map((url) => new URL(url).host)

/** A phone, as far as a page can tell. */
export const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true, locale: 'en-US' }

/** The smallest phone that counts. */
export const SMALL_PHONE = { ...PHONE, viewport: { width: 360, height: 640 } }

/** Starts Chromium, with further flags if wanted. The autoplay policy is the browser's own: what works here works without flags elsewhere. */
export function launch(further = []) {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      ...further,
    ],
  })
}

/** The live page's address for a camera, or for one that does not exist. */
export function pageUrl({ token = ready.trial.access_token, serial = ready.trial.devices[0].serial, channel = 1 } = {}) {
  return `${ready.page.split('?')[0]}?accessToken=${token}&deviceSerial=${serial}&channelNo=${channel}`
}

/** The address of the first page, or of another one. */
export function frontPage(path = '') {
  return `${ready.page.split('#')[0]}${path && `#/pages/${path}`}`
}

/** Answers for the trial where the server under test has none of its own. */
export async function trial(page) {
  const own = await fetch(`${ready.http}/api/v1/trial`)
  if (own.status === 200) return
  const devices = ready.trial.devices.map(({ serial, name }) => ({ deviceSerial: serial, channelNo: 1, deviceName: name }))
  await page.route('**/api/v1/trial', (route) =>
    route.fulfill({ json: { accessToken: ready.trial.access_token, expireTime: Date.now() + 3_600_000, devices } }),
  )
}

/** A page that reports its own errors and every request that leaves the server under test. */
export async function open(browser, url, options = PHONE) {
  const context = await browser.newContext(options)
  const page = await context.newPage()
  page.faults = []
  page.abroad = []
  page.on('pageerror', (error) => page.faults.push(String(error.stack ?? error)))
  page.on('request', (request) => {
    const { protocol, host } = new URL(request.url())
    if (protocol.startsWith('http') && !home.includes(host)) page.abroad.push(request.url())
  })
  await page.goto(url)
  return page
}

/** Closes the page of a test, if it opened one, and asserts that it had no errors and asked nobody but the server. */
export async function leave(page) {
  if (!page) return
  const { faults, abroad } = page
  await page.context().close()
  assert.deepEqual(faults, [], 'errors on the page')
  assert.deepEqual(abroad, [], 'requests that left the server')
}

/** What is on the stage: its phase and the failure shown, once `wanted` holds. */
export async function stage(page, wanted, timeout = 20_000) {
  const selector = Object.entries(wanted)
    .map(([key, value]) => `[data-${key}="${value}"]`)
    .join('')
  await page.locator(`[data-test=stage]${selector}`).waitFor({ timeout })
}

/** An element by its test name. */
export const at = (page, name) => page.locator(`[data-test="${name}"]`)

/** Waits until an element says exactly this, or something like it. */
export async function says(page, name, wanted, timeout = 5_000) {
  const found = async () => (await at(page, name).count()) > 0 && (await at(page, name).first().innerText())
  const fits = (words) => words !== false && (wanted instanceof RegExp ? wanted.test(words) : words === wanted)
  await until(async () => fits(await found()), timeout, `${name} to say “${wanted}”`).catch(async (error) => {
    throw new Error(`${error.message}; it says “${await found()}”`)
  })
}

/** Brings the controls back and presses one, as a thumb would. */
export async function press(page, name) {
  if (await at(page, 'stage').isVisible()) await at(page, 'stage').hover({ position: { x: 200, y: 20 } })
  await at(page, name).click()
}

/** The decoder's own counts. */
export function decoder(page) {
  return page.evaluate(() => {
    const video = document.querySelector('video')
    const { totalVideoFrames, droppedVideoFrames } = video.getVideoPlaybackQuality()
    return {
      frames: totalVideoFrames,
      dropped: droppedVideoFrames,
      width: video.videoWidth,
      height: video.videoHeight,
      muted: video.muted,
      paused: video.paused,
      audioBytes: video.webkitAudioDecodedByteCount,
    }
  })
}

/** Waits until the decoder has done `count` more frames. */
export async function frames(page, count, timeout = 15_000) {
  const before = (await decoder(page)).frames
  await until(async () => {
    const now = (await decoder(page)).frames
    // A new source counts from nought.
    return now >= before + count || (now < before && now >= count)
  }, timeout, `${count} more frames`)
}

/** The picture's mean brightness (0…255), its contrast (standard deviation), and a small copy to compare with. */
export function pixels(page) {
  return page.evaluate(() => {
    const canvas = new OffscreenCanvas(64, 36)
    const context = canvas.getContext('2d')
    context.drawImage(document.querySelector('video'), 0, 0, 64, 36)
    const { data } = context.getImageData(0, 0, 64, 36)
    const luma = []
    for (let i = 0; i < data.length; i += 4) luma.push(0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2])
    const mean = luma.reduce((a, b) => a + b) / luma.length
    const contrast = Math.sqrt(luma.reduce((a, b) => a + (b - mean) ** 2, 0) / luma.length)
    return { mean, contrast, luma }
  })
}

/** Mean difference of two copies from {@link pixels}. */
export function difference(a, b) {
  return a.luma.reduce((sum, value, i) => sum + Math.abs(value - b.luma[i]), 0) / a.luma.length
}

/** A finger on an element, at shares of its width and height; more fingers where there are more values of `x`. */
export async function touch(page, locator, x, y) {
  await locator.scrollIntoViewIfNeeded()
  const box = await locator.boundingBox()
  const session = await page.context().newCDPSession(page)
  const send = (type, touchPoints) => session.send('Input.dispatchTouchEvent', { type, touchPoints })
  const at = (px, py) => [px].flat().map((one, id) => ({ id, x: box.x + box.width * one, y: box.y + box.height * py }))
  await send('touchStart', at(x, y))
  return { move: (px, py) => send('touchMove', at(px, py)), end: () => send('touchEnd', []) }
}

/** Asserts a picture: decoded frames that grow, not black, not flat, and changing. */
export async function assertPicture(page) {
  await frames(page, 10)
  const first = await pixels(page)
  assert.ok(first.mean > 20 && first.contrast > 8, `black or flat: mean ${first.mean}, contrast ${first.contrast}`)
  await until(async () => {
    const { luma } = await pixels(page)
    return luma.some((value, i) => Math.abs(value - first.luma[i]) > 8)
  }, 10_000, 'a picture that changes')
}

/** Waits for a condition. */
export async function until(condition, timeout, what) {
  const deadline = Date.now() + timeout
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited ${timeout} ms for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** A call of the platform's API, as any client makes it. Answers with `data`. */
export async function lapp(path, fields) {
  const response = await fetch(`${ready.http}/api/lapp/${path}`, {
    method: 'POST',
    body: new URLSearchParams({ accessToken: ready.trial.access_token, ...fields }),
  })
  const { code, msg, data } = await response.json()
  assert.equal(code, '200', `${path}: ${code} ${msg}`)
  return data
}

/** A call of the native API as the operator. */
export async function native(method, path, body) {
  const response = await fetch(`${ready.http}/api/v1/${path}`, {
    method,
    headers: { authorization: `Bearer ${ready.admin_token}`, 'content-type': 'application/json' },
    ...(body ? { body: JSON.stringify(body) } : {}),
  })
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${response.ok || (await response.text())}`)
  return response.status === 204 ? undefined : response.json()
}

/** A camera that publishes: ffmpeg with H.264, and sound as asked. Resolves once it is running; call the result to end it. */
export function publish(url, sound) {
  const codec = sound === 'aac' ? ['-c:a', 'aac', '-ar', '44100'] : ['-c:a', 'pcm_alaw', '-ar', '8000', '-ac', '1']
  const child = spawn(
    'ffmpeg',
    ['-nostdin', '-loglevel', 'error', '-re', '-f', 'lavfi', '-i', 'testsrc2=size=640x360:rate=15']
      .concat(['-f', 'lavfi', '-i', 'sine=frequency=440', '-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency'])
      .concat(['-pix_fmt', 'yuv420p', '-g', '15', ...codec, '-f', 'flv', url]),
    { stdio: ['ignore', 'inherit', 'inherit'] },
  )
  return () => {
    child.kill('SIGKILL')
    return new Promise((resolve) => (child.exitCode === null && child.signalCode === null ? child.on('exit', resolve) : resolve()))
  }
}
