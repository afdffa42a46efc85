/** Where the pages lie, and the ways between them. */
import { sourceQuery, type Source } from './entry'

/** A page. Live and playback have the names of the platform's own mini-program: links written for it work. */
export type Page = 'home' | 'devices' | 'own' | 'live' | 'playback' | 'wall'
/** What a device is opened for. */
export type Purpose = 'live' | 'playback'

/** Goes to a page; coming back leads here. */
export function goTo(page: Page, query = ''): void {
  uni.navigateTo({ url: path(page, query) })
}

/** Goes to a page instead of this one. */
export function goInstead(page: Page, query = ''): void {
  uni.redirectTo({ url: path(page, query) })
}

/** Opens a device. */
export function goToDevice(purpose: Purpose, source: Source): void {
  goTo(purpose, sourceQuery(source))
}

/** Goes back; to the home page from a page that was opened by a link. */
export function goBack(): void {
  if (getCurrentPages().length > 1) uni.navigateBack({})
  else uni.reLaunch({ url: path('home') })
}

/** Reads what a page that serves both was opened for. */
export function readPurpose(query: Readonly<Record<string, string | undefined>>): Purpose {
  return query['for'] === 'playback' ? 'playback' : 'live'
}

function path(page: Page, query = ''): string {
  return `/pages/${page}/${page}${query && `?${query}`}`
}
