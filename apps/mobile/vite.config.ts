import uni from '@dcloudio/vite-plugin-uni'
import { defineConfig } from 'vite'

export default defineConfig({
  plugins: [uni()],
  build: {
    // Source maps would double what the server embeds.
    sourcemap: false,
    // The player (mpegts.js) is the largest chunk by far and is loaded with the first picture only.
    chunkSizeWarningLimit: 400,
  },
})
