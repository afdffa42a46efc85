import uni from '@dcloudio/vite-plugin-uni'
import { defineConfig, type Plugin } from 'vite'

/**
 * Keeps the pages from asking anybody but their own server: uni-app's style sheet loads a shadow from its maker's CDN,
 * and its runtime names its maker's advertisement service.
 */
function stayHome(): Plugin {
  const abroad = /https:\/\/[\w.]*dcloud\.net\.cn[\w./-]*/g
  return {
    name: 'stay-home',
    enforce: 'post',
    generateBundle(_, bundle) {
      for (const file of Object.values(bundle)) {
        if (file.type === 'chunk') file.code = file.code.replace(abroad, 'about:blank')
        else if (typeof file.source === 'string') file.source = file.source.replace(abroad, 'data:,')
      }
    },
  }
}

/** The server that `npm run dev` takes for its own, everything that is not a page. */
const { FLUORITE_SERVER = 'http://127.0.0.1:8080' } = process.env

export default defineConfig({
  server: {
    proxy: Object.fromEntries(['/api', '/device', '/v3'].map((path) => [path, { target: FLUORITE_SERVER, ws: true }])),
  },
  plugins: [uni(), stayHome()],
  build: {
    // Source maps would double what the server embeds.
    sourcemap: false,
    // The player (mpegts.js) is the largest chunk by far and is loaded with the first picture only.
    chunkSizeWarningLimit: 400,
  },
})
