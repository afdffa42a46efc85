/** Which language the pages speak: the browser's at first, then what the user chose. */
import { ref } from 'vue'
import { en } from './en'
import { zhCN, type MessageKey, type Messages } from './zh-CN'

/** Languages that are complete. */
export type Locale = 'zh-CN' | 'en'

const TEXTS: Readonly<Record<Locale, Messages>> = { 'zh-CN': zhCN, en }
const STORAGE_KEY = 'locale'

/** The language in use; reactive. */
export const locale = ref<Locale>(firstLocale())

/** Uses a language from now on and remembers it. */
export function setLocale(next: Locale): void {
  locale.value = next
  uni.setStorageSync(STORAGE_KEY, next)
}

/** Uses the other language. */
export function switchLocale(): void {
  setLocale(locale.value === 'en' ? 'zh-CN' : 'en')
}

/** The text for a key, with `{name}` replaced from `values`. Reactive on {@link locale}. */
export function t(key: MessageKey, values: Readonly<Record<string, string | number>> = {}): string {
  return fill(TEXTS[locale.value][key], values)
}

/** Replaces `{name}`; a name without a value stays as it is. */
export function fill(text: string, values: Readonly<Record<string, string | number>>): string {
  return text.replace(/\{(\w+)\}/g, (place, name: string) => String(values[name] ?? place))
}

/** Local date and time, `2026-03-01 08:05`, the same order in both languages. */
export function dateTime(epochMs: number): string {
  const at = new Date(epochMs)
  const two = (n: number) => String(n).padStart(2, '0')
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}`
}

/** The first of the user's languages that we have: any Chinese is zh-CN, anything else English. */
export function pickLocale(languages: readonly string[]): Locale {
  for (const language of languages) {
    if (/^zh\b/i.test(language)) return 'zh-CN'
    if (/^en\b/i.test(language)) return 'en'
  }
  return 'en'
}

function firstLocale(): Locale {
  const kept: unknown = uni.getStorageSync(STORAGE_KEY)
  if (kept === 'zh-CN' || kept === 'en') return kept
  // #ifdef H5
  return pickLocale(navigator.languages)
  // #endif
  // #ifndef H5
  return pickLocale([uni.getSystemInfoSync().language ?? ''])
  // #endif
}
