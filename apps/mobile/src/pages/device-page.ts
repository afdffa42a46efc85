/** What the pages of one device have in common: how they are entered, and whether anybody can see them. */
import { onHide, onLoad, onShow } from '@dcloudio/uni-app'
import { onBeforeUnmount, onMounted, shallowRef } from 'vue'
import { addressQuery, useDoor } from '../access'
import type { Query } from '../entry'

/** Call it in a page's setup, not in a part of one: uni-app lets go of such hooks only when the page goes. */
export function useDevicePage() {
  const door = useDoor()
  const query = shallowRef<Query>({})
  const visible = shallowRef(true)

  function follow(next: Query): void {
    query.value = next
    void door.enter(next)
  }

  onLoad((given) => follow(given ?? {}))
  onShow(() => {
    visible.value = true
  })
  onHide(() => {
    visible.value = false
  })

  // #ifdef H5
  const path = location.hash.split('?')[0]
  // Another link typed into the address bar changes the hash only; the page stays.
  const onHashChange = () => {
    if (location.hash.split('?')[0] === path) follow(addressQuery(location.href))
  }
  const onVisibility = () => {
    visible.value = !document.hidden
  }
  onMounted(() => {
    window.addEventListener('hashchange', onHashChange)
    document.addEventListener('visibilitychange', onVisibility)
  })
  onBeforeUnmount(() => {
    window.removeEventListener('hashchange', onHashChange)
    document.removeEventListener('visibilitychange', onVisibility)
  })
  // #endif

  return { ...door, query, visible }
}
