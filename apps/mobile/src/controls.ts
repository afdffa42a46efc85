/** When the controls over a picture are there: while nothing plays, and for a while after each touch. */
import { computed, onBeforeUnmount, ref, watch, type Ref } from 'vue'

/** Milliseconds after the last touch until the controls leave the picture alone. */
const CONTROLS_MS = 4_000

/** `shown`: whether there is a picture to be left alone. */
export function useControls(shown: Ref<boolean>) {
  const touched = ref(true)
  let timer: ReturnType<typeof setTimeout> | undefined
  function wake(): void {
    touched.value = true
    clearTimeout(timer)
    timer = setTimeout(() => {
      touched.value = false
    }, CONTROLS_MS)
  }
  watch(shown, wake)
  onBeforeUnmount(() => clearTimeout(timer))
  return { controls: computed(() => touched.value || !shown.value), wake }
}
