/**
 * What the live page does with a camera, in a real Chromium against a real virtual camera: it turns, is flipped, covered
 * and made to speak, and each is seen in the picture or told by the camera.
 */
import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import {
  assertPicture, at, difference, lapp, launch, leave, open, pageUrl, pixels, ready, says, shots, SMALL_PHONE, stage, touch, until,
} from './harness.mjs'

let browser
let page
before(async () => {
  browser = await launch(['--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream'])
})
after(() => browser?.close())
afterEach(async () => {
  await leave(page)
  page = undefined
})

const [{ serial: deviceSerial }] = ready.trial.devices
const channel = { deviceSerial, channelNo: 1 }

async function watch(options) {
  page = await open(browser, pageUrl(), { ...SMALL_PHONE, ...options })
  await stage(page, { phase: 'playing' })
  // A viewer begins at the newest key frame, which may still show the lens covered by the test before.
  await until(async () => (await pixels(page)).mean > 20, 5_000, 'an open lens')
  await assertPicture(page)
  return page
}

/** Whatever a test did, the next one finds an open lens. */
afterEach(async () => {
  if ((await lapp('device/scene/switch/status', channel)).enable === 1) await setMask(0)
})
function setMask(enable) {
  return lapp('device/scene/switch/set', { ...channel, enable })
}

/** The paths of control calls that were answered with these codes. */
function replies() {
  const seen = []
  page.on('response', async (response) => {
    const path = new URL(response.url()).pathname
    if (/ptz|voice\/send|scene\/switch\/set/.test(path)) seen.push(`${path.split('/').slice(-2).join('/')} ${(await response.json()).code}`)
  })
  return seen
}

test('the pad turns the camera while it is held, and shows the limit on its side', async () => {
  await watch()
  const seen = replies()
  const pad = at(page, 'ptz-pad')
  const turn = async (side, x) => {
    const finger = await touch(page, pad, x, 0.5)
    await until(async () => (await pad.getAttribute('data-limit')) === side, 30_000, `the ${side} end`)
    return finger
  }
  const stopped = () => until(() => seen.at(-1) === 'ptz/stop 200', 5_000, 'the stop')
  await (await turn('left', 0.08)).end()
  await stopped()
  const before = await pixels(page)
  const finger = await turn('right', 0.92)
  assert.ok(difference(before, await pixels(page)) > 12, 'another view')
  await says(page, 'ptz-words', 'As far right as it goes')
  await page.screenshot({ path: `${shots}/phone-limit.png` })
  await finger.end()
  await stopped()
  assert.ok(seen.includes('ptz/start 200') && seen.includes('ptz/start 60005'), seen.join(', '))
  assert.equal(await pad.getAttribute('data-held'), '')
})

test('a picture is flipped, and flipped back', async () => {
  await watch()
  await at(page, 'tab-mirror').click()
  const before = await pixels(page)
  for (const [turned, what] of [
    [true, 'turned'],
    [false, 'as before'],
  ]) {
    await at(page, 'mirror-2').click()
    const like = turned ? { luma: before.luma.toReversed() } : before
    await until(async () => difference(like, await pixels(page)) < difference(before, like) / 3 + 8, 15_000, what)
  }
  await says(page, 'mirror-note', 'Flipped; press again to undo')
})

test('a covered lens is told and can be uncovered; others may cover it too', async () => {
  await watch({ locale: 'zh-CN' })
  await at(page, 'tab-mask').click()
  await at(page, 'mask-switch').click()
  await at(page, 'masked').waitFor()
  await until(async () => (await pixels(page)).mean < 10, 15_000, 'a covered picture')
  assert.match(await at(page, 'masked').innerText(), /镜头已遮蔽[^]*打开镜头/)
  assert.equal(await at(page, 'unmute').count(), 0, 'nothing lies over the way out')
  await at(page, 'tab-ptz').click()
  await says(page, 'panel-reason', '镜头遮蔽时不能转动，请先打开镜头')
  await page.screenshot({ path: `${shots}/phone-masked.png` })
  await at(page, 'uncover').click()
  await at(page, 'masked').waitFor({ state: 'detached' })
  await until(async () => (await pixels(page)).mean > 20, 15_000, 'a picture again')
  await assertPicture(page)
  await setMask(1)
  await at(page, 'masked').waitFor({ timeout: 15_000 })
})

test('the device says a phrase, and what is spoken into the phone', async () => {
  await watch()
  const seen = replies()
  await at(page, 'tab-voice').click()
  await at(page, 'phrase').nth(0).click()
  await says(page, 'voice-note', /^The device is saying: /, 10_000)
  assert.deepEqual(seen, ['voice/send 200'])

  const talk = at(page, 'talk')
  let finger = await touch(page, talk, 0.5, 0.5)
  await says(page, 'talk-words', /^Let go to send, slide away to cancel · 1 \/ 60 s$/)
  await page.screenshot({ path: `${shots}/phone-talk.png` })
  await finger.move(0.5, -2.5)
  await says(page, 'talk-words', 'Let go to cancel')
  await finger.end()
  await says(page, 'talk-words', 'Hold to talk')
  assert.equal(seen.length, 1, 'what is cancelled is not sent')

  finger = await touch(page, talk, 0.5, 0.5)
  await says(page, 'talk-words', / 1 \/ 60 s$/)
  await finger.end()
  await until(() => seen.length === 2, 15_000, 'the recording sent')
  // The first phrase may still be on: then it is said that the device is busy.
  assert.match(seen[1], /^voice\/sendonce (200|111012)$/)
  await says(page, 'voice-note', seen[1].endsWith('200') ? 'The device is saying it' : 'The device is busy; try again shortly')
})

test('what a device cannot do is grey and says why', async () => {
  page = await open(browser, 'about:blank', { ...SMALL_PHONE, locale: 'en-US' })
  await page.route('**/device/capacity', (route) =>
    route.fulfill({ json: { code: '200', msg: 'ok', data: { support_ptz: '0', support_talk: '1', support_privacy: '0' } } }),
  )
  await page.goto(pageUrl())
  await stage(page, { phase: 'playing' })
  for (const [name, off] of Object.entries({ ptz: 'true', voice: 'false', mirror: 'true', mask: 'true' })) {
    assert.equal(await at(page, `tab-${name}`).getAttribute('data-off'), off, name)
  }
  await says(page, 'panel-reason', 'This device has no PTZ')
  await at(page, 'tab-mask').click()
  await says(page, 'panel-reason', 'This device has no Cover')
})

test('a snapshot is a picture of what is seen', async () => {
  await watch()
  const download = page.waitForEvent('download')
  await at(page, 'stage').hover({ position: { x: 200, y: 20 } })
  await at(page, 'snapshot').click()
  const saved = await download
  assert.match(saved.suggestedFilename(), /^Street \d{4}-\d{2}-\d{2} \d{2}-\d{2}\.jpg$/)
  const stream = await saved.createReadStream()
  const head = (await stream.take(1).toArray())[0]
  assert.deepEqual([...head.subarray(0, 3)], [0xff, 0xd8, 0xff])
})
