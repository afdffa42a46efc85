/**
 * Footage on a line of time: what is there, where it lies on a ruler, what is played next. Pure.
 *
 * All moments are epoch milliseconds. Days are those of the clock of whoever looks.
 */

/** A stretch of footage without a gap, `from` ≤ t < `to`. */
export interface Span {
  readonly from: number
  readonly to: number
}

/** Recorders leave this much between two files of one run. */
const JOIN_MS = 2_000
/** The closest look at the ruler, milliseconds from edge to edge. */
export const WINDOW_MS_MIN = 4 * 60_000
/** The widest: a day. */
export const WINDOW_MS_MAX = 24 * 3_600_000

/** Joins what follows on, whatever the order; what is empty or backwards is dropped. */
export function join(spans: readonly Span[]): Span[] {
  const sorted = spans.filter(({ from, to }) => to > from).sort((a, b) => a.from - b.from)
  const joined: Span[] = []
  for (const span of sorted) {
    const last = joined.at(-1)
    if (last && span.from <= last.to + JOIN_MS) joined[joined.length - 1] = { from: last.from, to: Math.max(last.to, span.to) }
    else joined.push(span)
  }
  return joined
}

/** The span that holds a moment. */
export function spanAt(spans: readonly Span[], moment: number): Span | undefined {
  return spans.find(({ from, to }) => from <= moment && moment < to)
}

/** The first span that begins at a moment or later. */
export function spanAfter(spans: readonly Span[], moment: number): Span | undefined {
  return spans.find(({ from }) => from >= moment)
}

/** The start of the day of a moment. */
export function dayOf(moment: number): number {
  return new Date(moment).setHours(0, 0, 0, 0)
}

/** The start of the day so many days later; days are not all 24 h long. */
export function addDays(day: number, count: number): number {
  const date = new Date(day)
  return date.setDate(date.getDate() + count)
}

/** The days that a window around a moment touches, oldest first. */
export function daysAround(moment: number, windowMs: number): number[] {
  const days: number[] = []
  for (let day = dayOf(moment - windowMs / 2); day <= moment + windowMs / 2; day = addDays(day, 1)) days.push(day)
  return days
}

/** `yyyyMM` of a moment, as the platform names months. */
export function monthOf(moment: number): string {
  const at = new Date(moment)
  return `${at.getFullYear()}${two(at.getMonth() + 1)}`
}

/** `yyyyMMdd` of a moment, as the platform names days. */
export function dayName(moment: number): string {
  return monthOf(moment) + two(new Date(moment).getDate())
}

/** `HH:mm`, or `HH:mm:ss`. */
export function clock(moment: number, seconds = false): string {
  const at = new Date(moment)
  return `${two(at.getHours())}:${two(at.getMinutes())}${seconds ? `:${two(at.getSeconds())}` : ''}`
}

/** What a ruler shows: the moment under its hair line, in the middle, and how much from edge to edge. */
export interface Window {
  moment: number
  windowMs: number
}

/** Where a moment lies, 0 … 1 from the left edge; outside of that it is not to be seen. */
export function place(at: number, { moment, windowMs }: Window): number {
  return (at - moment) / windowMs + 0.5
}

/** The parts of spans that can be seen, as shares of the ruler's width. */
export function visibleSpans(spans: readonly Span[], window: Window): { left: number; width: number }[] {
  const clip = (share: number) => Math.min(1, Math.max(0, share))
  return spans
    .map(({ from, to }) => ({ left: clip(place(from, window)), right: clip(place(to, window)) }))
    .filter(({ left, right }) => right > left)
    .map(({ left, right }) => ({ left, width: right - left }))
}

/** A mark on the ruler. */
export interface Tick {
  at: number
  /** 0 … 1 from the left edge. */
  left: number
  /** Small marks have none. */
  label: string | undefined
}

const MINUTE = 60_000
/** Minutes between labels, and between the small marks under them. */
const STEPS = [
  [1, 0.25], [2, 0.5], [5, 1], [10, 2], [15, 5], [30, 10], [60, 15], [120, 30], [180, 60], [240, 60], [360, 60],
] as const
/** More labels would touch each other on the narrowest phone. */
const LABELS_MAX = 6

/** The marks of a window; midnight is labelled with the day it begins. */
export function ticks(window: Window): Tick[] {
  const { moment, windowMs } = window
  const [label, small] = STEPS.find(([step]) => windowMs / (step * MINUTE) <= LABELS_MAX) ?? ([360, 60] as const)
  const [from, to] = [moment - windowMs / 2, moment + windowMs / 2]
  const marks: Tick[] = []
  // Each day counts from its own midnight, so that labels stay whole hours through changes of the clock.
  for (let day = dayOf(from); day <= to; day = addDays(day, 1)) {
    const end = Math.min(addDays(day, 1), to + 1)
    const skipped = Math.max(0, Math.ceil((from - day) / (small * MINUTE)))
    for (let at = day + skipped * small * MINUTE; at < end; at += small * MINUTE) {
      const labelled = (at - day) % (label * MINUTE) === 0
      marks.push({ at, left: place(at, window), label: labelled ? (at === day ? dayLabel(day) : clock(at)) : undefined })
    }
  }
  return marks
}

function dayLabel(day: number): string {
  const at = new Date(day)
  return `${two(at.getMonth() + 1)}-${two(at.getDate())}`
}

/** Zooms by a factor; above 1 is closer. */
export function zoomed(windowMs: number, factor: number): number {
  return Math.min(WINDOW_MS_MAX, Math.max(WINDOW_MS_MIN, windowMs / factor))
}

/** The weeks of a month as a calendar shows them, Monday first: starts of days, undefined outside of the month. */
export function calendar(moment: number): (number | undefined)[][] {
  const first = new Date(dayOf(moment))
  first.setDate(1)
  const weeks: (number | undefined)[][] = []
  let week: (number | undefined)[] = new Array((first.getDay() + 6) % 7).fill(undefined)
  for (let day = first.getTime(); monthOf(day) === monthOf(moment); day = addDays(day, 1)) {
    week.push(day)
    if (week.length === 7) {
      weeks.push(week)
      week = []
    }
  }
  if (week.length > 0) weeks.push([...week, ...new Array(7 - week.length).fill(undefined)])
  return weeks
}

/** The start of the month so many months later. */
export function addMonths(moment: number, count: number): number {
  const at = new Date(dayOf(moment))
  at.setDate(1)
  return at.setMonth(at.getMonth() + count)
}

function two(n: number): string {
  return String(n).padStart(2, '0')
}
