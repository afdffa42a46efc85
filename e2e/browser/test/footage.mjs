/**
 * Footage for pages whose server under test keeps none: the answers of the platform's documentation, given in the
 * browser, and a clip made by ffmpeg in place of each address.
 */
import { execFileSync } from 'node:child_process'
import { ready } from './harness.mjs'

/** The zone that the pages of these tests live in, and the platform's own. */
export const ZONE = 'Asia/Shanghai'
const OFFSET_MS = 8 * 3_600_000
/** The start of the day of `moment`, there. */
export const dayOf = (moment) => Math.floor((moment + OFFSET_MS) / 86_400_000) * 86_400_000 - OFFSET_MS
/** `yyyy-MM-dd HH:mm:ss`, there. */
export const clock = (moment) => new Date(moment + OFFSET_MS).toISOString().slice(0, 19).replace('T', ' ')
/** `yyyyMMdd`, there. */
export const dayName = (moment) => clock(moment).slice(0, 10).replaceAll('-', '')

/** So many seconds of moving picture and sound as FLV. */
export function clip(seconds) {
  const args = ['-v', 'error', '-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=15', '-f', 'lavfi', '-i', 'sine=440']
  const codecs = ['-c:v', 'libx264', '-preset', 'ultrafast', '-g', '15', '-pix_fmt', 'yuv420p', '-c:a', 'aac']
  return execFileSync('ffmpeg', [...args, '-t', String(seconds), ...codecs, '-f', 'flv', '-'], { maxBuffer: 1 << 26 })
}

/**
 * Answers for footage. `rows` are `{ local, cloud }`, each `[from, to][]` in epoch milliseconds; `service` is the state
 * of the cloud service; `card` gives the code for a card key. What addresses were asked for is kept, with the
 * start as a clock's text.
 */
export async function standIn(page, { rows, service = () => 1, card = () => '200', flv }) {
  const asked = []
  const form = (route) => Object.fromEntries(new URLSearchParams(route.request().postData()))
  const answer = (route, data) => route.fulfill({ json: { code: '200', msg: 'ok', data } })
  await page.route('**/api/lapp/video/by/time', (route) => {
    const { startTime, endTime, recType } = form(route)
    const found = rows[recType === '1' ? 'cloud' : 'local'].filter(([from, to]) => to > +startTime && from <= +endTime)
    return answer(route, found.length > 0 ? found.map(([from, to]) => ({ startTime: from, endTime: to })) : null)
  })
  await page.route('**/video/exist/query/month*', (route) => {
    const month = new URL(route.request().url()).searchParams.get('queryMonth')
    const days = (kind) => rows[kind].map(([from]) => dayName(from)).filter((day) => day.startsWith(month))
    const [local, cloud] = [days('local'), days('cloud')]
    const all = [...new Set([...local, ...cloud])]
    const data = all.map((day) => ({ recDay: day, all: 1, local: Number(local.includes(day)), cloud: Number(cloud.includes(day)) }))
    return route.fulfill({ json: { meta: { code: 200, message: 'ok' }, data } })
  })
  await page.route('**/api/lapp/cloud/storage/device/info', (route) => answer(route, { status: service(), totalDays: 7 }))
  await page.route('**/api/lapp/cloud/storage/open', (route) => {
    const code = card(form(route).cardPassword)
    return route.fulfill({ json: { code, msg: code } })
  })
  await page.route('**/api/lapp/v2/live/address/get', (route) => {
    const ask = form(route)
    if (ask.type === '1') return route.fallback()
    asked.push({ ...ask, startTime: clock(Number(ask.startTime)) })
    const expire = Math.floor(Date.now() / 1000) + 600
    const url = `${ready.http}/v3/openpb/STANDIN01_1_1.flv?expire=${expire}&id=${asked.length}`
    return answer(route, { id: String(asked.length), url, expireTime: clock(expire * 1000) })
  })
  await page.route('**/v3/openpb/STANDIN01_1_1.flv*', (route) =>
    route.fulfill({ body: flv, contentType: 'video/x-flv', headers: { 'access-control-allow-origin': '*' } }),
  )
  return asked
}
