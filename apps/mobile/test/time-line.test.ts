/** The ruler's geometry: footage joined, found and drawn. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  addDays, addMonths, calendar, clock, dayName, dayOf, daysAround, join, monthOf, place, spanAfter, spanAt, ticks, visibleSpans, zoomed,
  WINDOW_MS_MAX, WINDOW_MS_MIN,
} from '../src/playback/time-line'

process.env['TZ'] = 'Europe/Berlin' // a zone whose clock changes

const HOUR = 3_600_000
const noon = new Date(2026, 10, 24, 12).getTime()

test('files of one run are joined, gaps and nonsense are not', () => {
  const joined = join([
    { from: 60_000, to: 120_000 },
    { from: 0, to: 59_000 },
    { from: 30_000, to: 40_000 },
    { from: 200_000, to: 200_000 },
    { from: 300_000, to: 250_000 },
    { from: 123_000, to: 130_000 },
  ])
  assert.deepEqual(joined, [
    { from: 0, to: 120_000 },
    { from: 123_000, to: 130_000 },
  ])
  assert.deepEqual(spanAt(joined, 119_999), joined[0])
  assert.equal(spanAt(joined, 120_000), undefined)
  assert.deepEqual(spanAfter(joined, 120_000), joined[1])
  assert.equal(spanAfter(joined, 130_000), undefined)
})

test('the hair line is the middle; what is off the ruler is cut off', () => {
  const window = { moment: noon, windowMs: 2 * HOUR }
  assert.equal(place(noon, window), 0.5)
  assert.equal(place(noon + HOUR, window), 1)
  const spans = [
    { from: noon - 3 * HOUR, to: noon - 2 * HOUR },
    { from: noon - 2 * HOUR, to: noon - HOUR / 2 },
    { from: noon, to: noon + 5 * HOUR },
  ]
  assert.deepEqual(visibleSpans(spans, window), [
    { left: 0, width: 0.25 },
    { left: 0.5, width: 0.5 },
  ])
})

test('labels are whole steps, few enough to read, from minutes to the day', () => {
  const labels = (windowMs: number) => ticks({ moment: noon, windowMs }).flatMap(({ label }) => label ?? [])
  assert.deepEqual(labels(4 * 60_000), ['11:58', '11:59', '12:00', '12:01', '12:02'])
  assert.deepEqual(labels(6 * HOUR), ['09:00', '10:00', '11:00', '12:00', '13:00', '14:00', '15:00'])
  assert.deepEqual(labels(24 * HOUR), ['11-24', '04:00', '08:00', '12:00', '16:00', '20:00', '11-25'])
  for (let windowMs = WINDOW_MS_MIN; windowMs <= WINDOW_MS_MAX; windowMs *= 1.17) {
    const marks = ticks({ moment: noon, windowMs })
    assert.ok(marks.length <= 40, `${marks.length} marks`)
    const labelled = marks.filter(({ label }) => label !== undefined)
    assert.ok(labelled.length >= 2 && labelled.length <= 7, `${labelled.length} labels`)
    for (const { left } of marks) assert.ok(left >= 0 && left <= 1)
  }
})

test('days of 23 and 25 hours are days', () => {
  const spring = new Date(2026, 2, 29).getTime()
  assert.equal(addDays(spring, 1) - spring, 23 * HOUR)
  const autumn = new Date(2026, 9, 25).getTime()
  assert.equal(addDays(autumn, 1) - autumn, 25 * HOUR)
  assert.equal(dayOf(addDays(autumn, 1)), addDays(autumn, 1))
  const midnight = ticks({ moment: addDays(autumn, 1), windowMs: 2 * HOUR }).find(({ label }) => label === '10-26')
  assert.equal(midnight?.left, 0.5)
})

test('a window touches the days it shows', () => {
  assert.deepEqual(daysAround(noon, 24 * HOUR), [dayOf(noon), addDays(dayOf(noon), 1)])
  assert.deepEqual(daysAround(dayOf(noon) + 60_000, 4 * HOUR), [addDays(dayOf(noon), -1), dayOf(noon)])
})

test('zoom stays between a day and minutes', () => {
  assert.equal(zoomed(HOUR, 2), HOUR / 2)
  assert.equal(zoomed(HOUR, 1000), WINDOW_MS_MIN)
  assert.equal(zoomed(HOUR, 0.001), WINDOW_MS_MAX)
})

test('a month is a calendar of whole weeks', () => {
  const weeks = calendar(noon)
  assert.ok(weeks.every((week) => week.length === 7))
  const days = weeks.flat().filter((day) => day !== undefined)
  assert.equal(days.length, 30)
  assert.equal(weeks[0]?.[6], new Date(2026, 10, 1).getTime(), 'November 2026 begins on a Sunday')
  assert.deepEqual([dayName(noon), monthOf(noon), clock(noon), clock(noon + 61_000, true)], ['20261124', '202611', '12:00', '12:01:01'])
  assert.equal(monthOf(addMonths(new Date(2026, 0, 31).getTime(), 1)), '202602')
  assert.equal(monthOf(addMonths(noon, -11)), '202512')
})
