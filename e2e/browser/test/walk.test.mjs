/** The walk through the pages in a real Chromium: home, trial devices, one's own device, entries by a link. */
import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { assertPicture, at, frontPage, launch, leave, open, pageUrl, ready, says, shots, SMALL_PHONE, stage, trial, until } from './harness.mjs'

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
const field = (name, tag) => at(page, name).locator(tag)

/** The pages from their front, with the server's trial. */
async function openFront(options) {
  page = await open(browser, 'about:blank', options)
  await trial(page)
  await page.goto(frontPage())
}

/** A picture that is decoded in this tile. */
const tileFrames = (serial) =>
  page.locator(`[data-test="tile-${serial}-1"] video`).evaluate((video) => video.getVideoPlaybackQuality().totalVideoFrames)

const WORDS = {
  'zh-CN': { live: '试用设备', own: '自助设备', online: '在线', abilities: ['云台', '语音', '镜像', '遮蔽'] },
  'en-US': { live: 'Trial devices', own: 'Your own device', online: 'Online', abilities: ['PTZ', 'Voice', 'Mirror', 'Cover'] },
}
for (const [locale, words] of Object.entries(WORDS)) {
  for (const [size, options] of [
    ['phone', SMALL_PHONE],
    ['desktop', { viewport: { width: 1280, height: 800 }, colorScheme: 'dark' }],
  ]) {
    test(`from home to a picture, ${locale}, ${size}`, async () => {
      await openFront({ ...options, locale })
      await at(page, 'home-live').waitFor()
      assert.match(await text('home-live'), new RegExp(words.live))
      await page.screenshot({ path: `${shots}/${size}-home-${locale}.png` })
      await at(page, 'home-live').click()
      const [device] = ready.trial.devices
      const card = `device-${device.serial}`
      await page.locator(`[data-test="${card}"][data-online="true"] img`).first().waitFor({ state: 'attached' })
      const said = await text(card)
      for (const word of [device.name, words.online, ...words.abilities]) assert.ok(said.includes(word), `${word} in ${said}`)
      assert.equal(await text('own'), words.own)
      await page.screenshot({ path: `${shots}/${size}-devices-${locale}.png` })
      await at(page, card).click()
      await stage(page, { phase: 'playing' })
      await assertPicture(page)
      assert.doesNotMatch(page.url(), /accessToken/, 'the token of a trial is in no address')
      await page.reload()
      await stage(page, { phase: 'playing' })
    })
  }
}

test('a server without trial devices says so, and leads on', async () => {
  page = await open(browser, 'about:blank', { ...SMALL_PHONE, locale: 'en-US' })
  await page.route('**/api/v1/trial', (route) => route.fulfill({ status: 404, json: { error: 'NotFound' } }))
  await page.goto(frontPage('devices/devices?for=live'))
  await at(page, 'devices-empty').waitFor()
  assert.match(await text('devices-empty'), /This server offers no trial devices/)
  await at(page, 'own').click()
  await at(page, 'own-form').waitFor()
})

test('one’s own device: told what is wrong while typing, remembered without its token', async () => {
  await openFront({ ...SMALL_PHONE, locale: 'en-US' })
  await page.goto(frontPage('own/own?for=live'))
  const [token, device] = [field('own-token', 'textarea'), field('own-device', 'input')]
  await token.fill('at.abc')
  await says(page, 'own-token-problem', 'It has 64 characters; 6 so far')
  await token.fill('AT.ABC')
  await says(page, 'own-token-problem', 'Lower-case letters, digits, dots and dashes only')
  await device.fill('C123:1')
  await says(page, 'own-device-problem', 'A serial has 9 characters; 4 so far')
  await page.screenshot({ path: `${shots}/phone-own.png` })

  await token.fill('https://elsewhere.example/m/#/pages/live/live?accessToken=at.x&deviceSerial=TRIAL0001')
  await says(page, 'own-token-problem', /another server \(https:\/\/elsewhere\.example\)/)
  await token.fill(pageUrl())
  const [{ serial, name }] = ready.trial.devices
  await until(async () => (await device.inputValue()) === `${serial}:1`, 2_000, 'the device filled in from the link')
  await at(page, 'own-done').click()
  await stage(page, { phase: 'playing' })
  await assertPicture(page)

  await at(page, 'back').last().click()
  await at(page, 'recents').waitFor()
  assert.match(await text('recents'), new RegExp(name))
  assert.ok(!(await page.content()).includes(ready.trial.access_token), 'the token is shown nowhere')
  assert.equal(await token.inputValue(), '')
  await at(page, 'recent-live').click()
  await stage(page, { phase: 'playing' })
  assert.doesNotMatch(page.url(), /accessToken/)
  await page.goBack()
  await at(page, 'recent-forget').click()
  await until(async () => (await at(page, 'recents').count()) === 0, 2_000, 'an empty list')
})

test('a link with faults names them', async () => {
  page = await open(browser, frontPage('live/live?accessToken=at.X&deviceSerial=12&channelNo=0'), { ...SMALL_PHONE, locale: 'zh-CN' })
  await at(page, 'door-title').waitFor()
  assert.equal(await text('door-title'), '链接缺少信息，或有误')
  assert.deepEqual(await at(page, 'door-hint').allInnerTexts(), [
    'accessToken 的格式不对',
    'deviceSerial 应为 9 位字母或数字',
    'channelNo 应为 1 到 999',
  ])
  await page.goto(frontPage('live/live?deviceSerial=C12345678'))
  await page.locator('[data-obstacle=forgotten]').waitFor()
  await at(page, 'door-own').click()
  await at(page, 'own-form').waitFor()
})

test('a scanned code opens its device; a dead one is told', async () => {
  page = await open(browser, 'about:blank', { ...SMALL_PHONE, locale: 'en-US' })
  await page.route('**/device/getWxaInfo', (route) => {
    const uuid = new URLSearchParams(route.request().postData()).get('uuid')
    const data = { accessToken: ready.trial.access_token, deviceSerial: ready.trial.devices[0].serial, channelNo: 1 }
    return route.fulfill({ json: { code: '200', msg: 'ok', data: uuid === 'alive1' ? data : null } })
  })
  await page.goto(frontPage('live/live?scene=dead'))
  await page.locator('[data-obstacle=code]').waitFor()
  assert.equal(await text('door-title'), 'This code is no longer valid')
  await page.goto(frontPage('live/live?scene=alive1'))
  await stage(page, { phase: 'playing' })
  await assertPicture(page)
})

test('the wall shows all cameras over WebSocket, silently and small; a tap opens one', async () => {
  page = await open(browser, 'about:blank', { ...SMALL_PHONE, locale: 'zh-CN' })
  await trial(page)
  const sockets = []
  page.on('websocket', (socket) => sockets.push(socket))
  await page.goto(frontPage())
  await at(page, 'home-wall').click()
  for (const { serial } of ready.trial.devices) {
    const tile = page.locator(`[data-test="tile-${serial}-1"][data-phase="playing"]`)
    await tile.waitFor()
    const before = await tileFrames(serial)
    await until(async () => (await tileFrames(serial)) > before + 10, 10_000, `pictures of ${serial}`)
    assert.equal(await tile.locator('video').evaluate((video) => video.videoWidth), 640, 'the sub stream')
    assert.ok(sockets.some((socket) => socket.url().includes(`/v3/openlive/${serial}_1_2.flv`)), 'over WebSocket')
  }
  await page.screenshot({ path: `${shots}/phone-wall.png` })
  const [{ serial }] = ready.trial.devices
  await at(page, `tile-${serial}-1`).click()
  await stage(page, { phase: 'playing' })
  const media = sockets.filter((socket) => socket.url().includes('/v3/openlive/'))
  await until(() => media.every((socket) => socket.isClosed()), 5_000, 'a wall that nobody sees to take no media')
  await at(page, 'back').last().click()
  await page.locator(`[data-test="tile-${serial}-1"][data-phase="playing"]`).waitFor()
})

test('the wall of a token shows its cameras, and opens each without the token in the address', async () => {
  const [first, second] = ready.trial.devices
  const query = `accessToken=${ready.trial.access_token}&deviceSerial=${first.serial}`
  page = await open(browser, frontPage(`wall/wall?${query}`), { viewport: { width: 1280, height: 800 }, locale: 'en-US' })
  await page.locator(`[data-test="tile-${second.serial}-1"][data-phase="playing"]`).waitFor()
  await page.screenshot({ path: `${shots}/desktop-wall.png` })
  await at(page, `tile-${second.serial}-1`).click()
  await stage(page, { phase: 'playing' })
  assert.doesNotMatch(page.url(), /accessToken/)
})
