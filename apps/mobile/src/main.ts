import { createSSRApp } from 'vue'
import App from './App.vue'

/** uni-app's entry: called once for each page tree. */
export function createApp() {
  return { app: createSSRApp(App) }
}
