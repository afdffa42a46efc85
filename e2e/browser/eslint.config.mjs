import js from '@eslint/js'
import globals from 'globals'

export default [
  { ignores: ['output', 'node_modules'] },
  js.configs.recommended,
  {
    // Functions given to page.evaluate run in the browser.
    languageOptions: { globals: { ...globals.node, ...globals.browser } },
    rules: { eqeqeq: 'error' },
  },
]
