export { default } from '../mobile/eslint.config.mjs'
