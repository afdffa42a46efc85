/** The playback page in a real Chromium: days, ruler, gaps, midnight, storages, speeds. */
import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { clip, clock, dayName, dayOf, standIn, ZONE } from './footage.mjs'
import {
  assertPicture, at, decoder, frontPage, launch, leave, open, press, ready, says, shots, SMALL_PHONE, stage, touch, trial, until,
} from './harness.mjs'

const HOUR = 3_600_000
const today = dayOf(Date.now())
const [{ serial }] = ready.trial.devices

let browser
let page
let flv
before(async () => {
  browser = await launch()
  flv = clip(20)
})
after(() => browser?.close())
afterEach(async () => {
  await leave(page)
  page = undefined
})

/** The page with footage; gives what addresses are asked for. */
async function openFootage(footage, options = {}) {
  page = await open(browser, 'about:blank', { ...SMALL_PHONE, timezoneId: ZONE, ...options })
  await trial(page)
  const asked = await standIn(page, { flv, ...footage })
  await page.goto(frontPage(`playback/playback?trial=1&deviceSerial=${serial}`))
  return asked
}

test('what the camera keeps on its card plays: today’s, yesterday’s, faster, and from the ruler', async () => {
  page = await open(browser, 'about:blank', { ...SMALL_PHONE, timezoneId: ZONE, locale: 'en-US' })
  await trial(page)
  await page.goto(frontPage(`playback/playback?trial=1&deviceSerial=${serial}`))
  await stage(page, { phase: 'playing' })
  await assertPicture(page)
  await at(page, 'day-back').click()
  await until(async () => dayOf(await moment()) < today, 10_000, 'yesterday')
  await stage(page, { phase: 'playing' })
  const [begun, width] = [await moment(), (await decoder(page)).width]
  assert.equal(width, 1280)
  await until(async () => (await moment()) > begun + 2_000, 10_000, 'two seconds of yesterday')
  await at(page, 'speed-4').click()
  await stage(page, { phase: 'playing' })
  const [before, since] = [await moment(), Date.now()]
  await until(async () => (await moment()) > before + 8_000, 15_000, 'eight seconds of yesterday')
  assert.ok(Date.now() - since < 6_000, 'at four times the speed')
  await at(page, 'speed-1').click()
  await at(page, 'ruler').getByRole('slider').focus()
  await page.keyboard.press('ArrowRight')
  await until(async () => dayOf(await moment()) === today, 15_000, 'a later clip, over the gap')
  await stage(page, { phase: 'playing' })
  await assertPicture(page)
})

/** Yesterday evening to early this morning with a gap after midnight, and the day before. */
const NIGHT = {
  local: [
    [today - 30 * HOUR, today - 28 * HOUR],
    [today - 4 * HOUR, today + 0.25 * HOUR],
    [today + 0.4 * HOUR, today + 0.45 * HOUR],
  ],
  cloud: [[today - 3 * HOUR, today + 0.1 * HOUR]],
}
const moment = async () => Number(await at(page, 'stage').getAttribute('data-moment'))

for (const [locale, words] of Object.entries({
  'zh-CN': { local: '本地', cloud: '云存储', empty: '暂无录像片段' },
  'en-US': { local: 'Local', cloud: 'Cloud', empty: 'No footage' },
})) {
  for (const [size, options] of [
    ['phone', {}],
    ['desktop', { ...SMALL_PHONE, viewport: { width: 1280, height: 800 }, isMobile: false, hasTouch: false, colorScheme: 'dark' }],
  ]) {
    test(`the newest footage plays by itself, ${locale}, ${size}`, async () => {
      const asked = await openFootage({ rows: NIGHT }, { ...options, locale })
      await stage(page, { phase: 'playing' })
      await assertPicture(page)
      assert.equal(asked[0].startTime, clock(today + 0.4 * HOUR))
      assert.equal(asked[0].type, '2')
      assert.equal(await at(page, 'local').innerText(), words.local)
      assert.equal(await at(page, 'cloud').innerText(), words.cloud)
      const before = await moment()
      await until(async () => (await moment()) > before + 1_000, 5_000, 'time to pass')
      assert.ok((await at(page, 'span').count()) >= 2, 'footage on the ruler')
      await page.screenshot({ path: `${shots}/${size}-playback-${locale}.png` })
      await at(page, 'day-back').click()
      await until(() => asked.at(-1).startTime === clock(today - 4 * HOUR), 5_000, 'yesterday')
      await at(page, 'day-back').click()
      await until(() => asked.at(-1).startTime === clock(today - 30 * HOUR), 5_000, 'the day before')
      await at(page, 'day-back').click()
      await says(page, 'empty', words.empty)
    })
  }
}

test('the ruler is dragged to a moment, over a gap, and pinched', async () => {
  const asked = await openFootage({ rows: NIGHT }, { locale: 'en-US' })
  await stage(page, { phase: 'playing' })
  const ruler = at(page, 'ruler')
  const { width } = await ruler.boundingBox()
  const wide = Number(await ruler.getAttribute('data-window')) * 60_000

  const from = await moment()
  const finger = await touch(page, ruler, 0.3, 0.2)
  await finger.move(0.5, 0.2)
  await finger.move(0.7, 0.2)
  const shown = await at(page, 'ruler-moment').innerText()
  const count = asked.length
  await finger.end()
  await until(() => asked.length > count, 5_000, 'an address for the new moment')
  const wanted = from - 0.4 * wide
  const got = Date.parse(`${asked.at(-1).startTime.replace(' ', 'T')}+08:00`)
  // A pixel of the ruler is a minute here; the picture went on while the finger was on its way.
  assert.ok(Math.abs(got - wanted) < (4 * wide) / width, `${clock(wanted)} wanted, ${clock(got)} asked for`)
  assert.equal(asked.at(-1).startTime.slice(11, 16), shown.slice(0, 5))
  await stage(page, { phase: 'playing' })

  const two = await touch(page, ruler, [0.4, 0.6], 0.2)
  await two.move([0.3, 0.7], 0.2)
  await two.end()
  assert.equal(Number(await ruler.getAttribute('data-window')) * 60_000, wide / 2, 'twice as far apart, twice as close')
  for (let i = 0; i < 3; i += 1) if ((await at(page, 'ruler-out').getAttribute('aria-disabled')) !== 'true') await at(page, 'ruler-out').click()
  assert.equal(await ruler.getAttribute('data-window'), '1440')
  for (let i = 0; i < 6; i += 1) if ((await at(page, 'ruler-in').getAttribute('aria-disabled')) !== 'true') await at(page, 'ruler-in').click()
  assert.equal(await ruler.getAttribute('data-window'), '4')
})

test('over a gap and across midnight it goes on by itself', async () => {
  // The clip has 20 s: runs of that length end with it.
  const rows = { local: [[today - 10_000, today + 10_000], [today + HOUR, today + HOUR + 20_000]], cloud: [] }
  const asked = await openFootage({ rows }, { locale: 'en-US' })
  await stage(page, { phase: 'playing' })
  await at(page, 'day-back').click()
  await until(() => asked.at(-1).startTime === clock(today - 10_000), 5_000, 'the run before midnight')
  await stage(page, { phase: 'playing' })
  await until(async () => (await moment()) >= today, 20_000, 'midnight to pass')
  assert.match(await at(page, 'date').innerText(), new RegExp(clock(today).slice(0, 10)))
  await until(() => asked.at(-1).startTime === clock(today + HOUR), 20_000, 'the run after the gap')
  await says(page, 'note', 'Nothing from 00:00 to 01:00; skipped')
  await stage(page, { phase: 'ended' }, 40_000)
  await says(page, 'step', 'That was the newest footage')
})

test('local and cloud keep the moment; without a service a card opens it', async () => {
  let status = 1
  const rows = { ...NIGHT }
  const asked = await openFootage(
    {
      rows,
      service: () => status,
      card: (key) => {
        if (key !== 'GOOD') return '60031'
        rows.cloud = NIGHT.cloud
        status = 1
        return '200'
      },
    },
    { locale: 'en-US' },
  )
  await stage(page, { phase: 'playing' })
  await at(page, 'day-back').click()
  await until(async () => (await moment()) < today - 3.9 * HOUR, 5_000, 'yesterday evening')
  await at(page, 'cloud').click()
  await until(() => asked.at(-1).type === '3', 5_000, 'an address of the cloud')
  assert.equal(asked.at(-1).startTime, clock(today - 3 * HOUR), 'what the cloud has next')
  await stage(page, { phase: 'playing' })
  await at(page, 'local').click()
  await until(() => asked.at(-1).type === '2', 5_000, 'an address of the card')
  assert.equal(asked.at(-1).startTime.slice(0, 16), clock(today - 3 * HOUR).slice(0, 16), 'the same moment')

  rows.cloud = []
  status = -1
  await at(page, 'cloud').click()
  await at(page, 'card-form').waitFor()
  await page.screenshot({ path: `${shots}/phone-card.png` })
  await at(page, 'card-key').locator('input').fill('WRONG')
  await at(page, 'card-open').click()
  await says(page, 'card-problem', 'There is no such card; check the key')
  await at(page, 'card-key').locator('input').fill('GOOD')
  await at(page, 'card-open').click()
  await stage(page, { phase: 'playing' })
  assert.equal(asked.at(-1).type, '3')
})

test('speeds ask for a stream of that speed, and say what they leave out', async () => {
  const asked = await openFootage({ rows: { local: [[today - 4 * HOUR, today - HOUR]], cloud: [] } }, { locale: 'zh-CN' })
  await stage(page, { phase: 'playing' })
  await at(page, 'speed-4').click()
  await until(() => asked.at(-1).playbackSpeed === '4', 5_000, 'an address at speed 4')
  await says(page, 'speed-note', '变速播放没有声音')
  await stage(page, { phase: 'playing' })
  const [before, since] = [await moment(), Date.now()]
  await until(async () => (await moment()) > before + 12_000, 15_000, 'twelve seconds of footage')
  assert.ok(Date.now() - since < 8_000, 'at four times the speed')
  await at(page, 'speed-16').click()
  await says(page, 'speed-note', '8 倍以上只显示关键帧，没有声音')
  await until(() => asked.at(-1).playbackSpeed === '16', 5_000, 'an address at speed 16')
})

test('pause lets go of the stream and goes on at the same place', async () => {
  const asked = await openFootage({ rows: { local: [[today - 4 * HOUR, today - HOUR]], cloud: [] } }, { locale: 'en-US' })
  await stage(page, { phase: 'playing' })
  await press(page, 'play')
  await stage(page, { phase: 'paused' })
  const [paused, count] = [await moment(), asked.length]
  await says(page, 'step', 'Paused')
  await at(page, 'big-play').click()
  await stage(page, { phase: 'playing' })
  assert.equal(asked.length, count + 1)
  assert.equal(asked.at(-1).startTime, clock(paused))
})

test('the days of a month with footage are marked, and open', async () => {
  const asked = await openFootage({ rows: { local: [[today - 26 * HOUR, today - 25 * HOUR]], cloud: [] } }, { locale: 'en-US' })
  await at(page, 'empty').waitFor()
  await at(page, 'date').click()
  await at(page, 'day-picker').waitFor()
  const wanted = dayName(today - 26 * HOUR)
  if ((await at(page, `day-${wanted}`).count()) === 0) await at(page, 'month-back').click()
  await page.locator(`[data-test="day-${wanted}"][data-marked="true"]`).waitFor()
  assert.equal(await page.locator('[data-marked="true"]').count(), 1)
  await page.screenshot({ path: `${shots}/phone-days.png` })
  await at(page, `day-${wanted}`).click()
  await stage(page, { phase: 'playing' })
  assert.equal(asked.at(-1).startTime, clock(today - 26 * HOUR))
})

test('a stretch is saved as a file, with progress; a refusal is told', async () => {
  await openFootage({ rows: { local: [[today - 4 * HOUR, today - HOUR]], cloud: [] } }, { locale: 'en-US' })
  const file = Buffer.alloc(3_000_000, 7)
  let ask
  await page.route('**/api/lapp/video/download/address', (route) => {
    const first = ask === undefined
    ask = Object.fromEntries(new URLSearchParams(route.request().postData()))
    const data = { id: '1', url: `${ready.http}/v3/download/STANDIN01_1_1.mp4?expire=1`, expireTime: clock(Date.now()) }
    return route.fulfill({ json: first ? { code: '20007', msg: 'off line' } : { code: '200', msg: 'ok', data } })
  })
  await page.route('**/v3/download/**', (route) =>
    route.fulfill({ body: file, contentType: 'video/mp4', headers: { 'access-control-allow-origin': '*' } }),
  )
  await stage(page, { phase: 'playing' })
  await press(page, 'play')
  await stage(page, { phase: 'paused' })
  const from = await moment()
  await at(page, 'download').click()
  await at(page, 'minutes-5').click()
  await says(page, 'download-range', `${clock(from).slice(11)} – ${clock(from + 5 * 60_000).slice(11)}`)
  await page.screenshot({ path: `${shots}/phone-download.png` })
  await at(page, 'download-go').click()
  await says(page, 'download-problem', 'The device is offline')
  const saved = page.waitForEvent('download')
  await at(page, 'download-go').click()
  await says(page, 'download-words', 'Saved, 3.0 MB')
  assert.deepEqual([Number(ask.startTime), Number(ask.stopTime), ask.recType], [from, from + 5 * 60_000, '2'])
  const download = await saved
  assert.match(download.suggestedFilename(), new RegExp(`^${serial} \\d{8} \\d{2}-\\d{2}-\\d{2}\\.mp4$`))
  let bytes = 0
  for await (const piece of await download.createReadStream()) bytes += piece.length
  assert.equal(bytes, file.length)
})
