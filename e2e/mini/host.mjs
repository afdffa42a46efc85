/**
 * A mini-program's phone: its scripts run in a context that has what WeChat gives them and nothing else, its templates
 * are those that WeChat's compiler (wcc) makes of them, and its requests really leave.
 *
 * Nothing is drawn: a page is the tree of its nodes, and players are told what to report by the test.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, posix } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import vm from 'node:vm'

/** Longest that anything may take on a loaded machine, milliseconds. */
const PATIENCE_MS = 20_000

/** Asks until there is an answer. */
export async function until(what, ask) {
  const deadline = Date.now() + PATIENCE_MS
  for (;;) {
    const answer = ask()
    if (answer) return answer
    assert.ok(Date.now() < deadline, `${what}: not within ${PATIENCE_MS} ms`)
    await delay(20)
  }
}

/** Compiles every template under a folder; what cannot be compiled throws. */
function compile(folder) {
  const compiler = join(dirname(createRequire(import.meta.url).resolve('miniprogram-compiler/package.json')), 'bin/linux/wcc')
  chmodSync(compiler, 0o755)
  const templates = readdirSync(folder, { recursive: true }).filter((path) => path.endsWith('.wxml'))
  assert.ok(templates.length > 10, 'the build has templates')
  const compiled = execFileSync(compiler, ['-d', ...templates], { cwd: folder, encoding: 'utf8', maxBuffer: 64 << 20 })
  for (const path of templates) assert.ok(compiled.includes(`'./${path}'`) || compiled.includes(path), path)
  return compiled
}

/** Sets `a.b[0].c` in data. */
function put(data, path, value) {
  const keys = path.replace(/\[(\d+)\]/g, '.$1').split('.')
  const last = keys.pop()
  const at = keys.reduce((node, key, n) => (node[key] ??= /^\d+$/.test(keys[n + 1] ?? last) ? [] : {}), data)
  at[last] = value
}

/** Runs the build in a folder. `language` is the phone's; `launch` what the mini-program was opened with. */
export class Phone {
  /** Every request: method, path, body. */
  requests = []
  toasts = []
  storage = new Map()
  pages = []
  /** What the player was told. */
  played = []
  /** What a scanned code will say. */
  scan = ''
  #folder
  #context
  #modules = new Map()
  #definitions = new Map()
  #registering
  #errors = []

  constructor(folder, { language = 'zh_CN', launch = {} } = {}) {
    this.#folder = folder
    const globals = {
      // Vue's reports of what went wrong inside a component come here too.
      console: { ...console, log: () => {}, error: (...said) => this.#errors.push(said), warn: (...said) => this.#errors.push(said) },
      setTimeout, clearTimeout, setInterval, clearInterval,
      wx: this.#wx(language, launch),
      App: (app) => {
        this.app = app
        app.onLaunch?.(launch)
      },
      Page: () => assert.fail('uni-app makes pages with Component'),
      Component: (definition) => this.#definitions.set(this.#registering, definition),
      getApp: () => this.app,
      getCurrentPages: () => this.pages,
    }
    this.#context = vm.createContext({ ...globals, global: { ...globals }, window: {} })
    this.compiled = vm.runInContext(`${compile(folder)};$gwx`, this.#context)
    this.#require('app.js')
  }

  #require(path) {
    const known = this.#modules.get(path)
    if (known) return known.exports
    const module = { exports: {} }
    this.#modules.set(path, module)
    const code = readFileSync(join(this.#folder, path), 'utf8')
    const run = vm.runInContext(`(function (require, module, exports) {${code}\n})`, this.#context, { filename: path })
    const outer = this.#registering
    this.#registering = path.replace(/\.js$/, '')
    run((to) => this.#require(posix.join(posix.dirname(path), to)), module, module.exports)
    this.#registering = outer
    return module.exports
  }

  /** What a page or component file defines, and the tags it may use. */
  definition(path) {
    assert.ok(existsSync(join(this.#folder, `${path}.js`)), `there is no ${path}`)
    this.#require(`${path}.js`)
    const { usingComponents = {} } = JSON.parse(readFileSync(join(this.#folder, `${path}.json`), 'utf8'))
    const at = (to) => (to.startsWith('/') ? to.slice(1) : posix.join(posix.dirname(path), to))
    return {
      ...this.#definitions.get(path),
      using: new Map(Object.entries(usingComponents).map(([tag, to]) => [`wx-${tag}`, at(to)])),
    }
  }

  /** Opens a page as WeChat does: values of the query stay as they stand in the link. */
  open(url) {
    const [path, query = ''] = url.replace(/^\//, '').split('?')
    const options = Object.fromEntries(query.split('&').filter(Boolean).map((pair) => pair.split(/=(.*)/s).slice(0, 2)))
    this.pages.at(-1)?.callPage('hide', 'onHide')
    const page = new Instance(this, path, { options, route: path })
    this.pages.push(page)
    page.attach()
    page.onLoad?.(options)
    page.callPage('show', 'onShow')
    page.ready()
    page.onReady?.()
    return page
  }

  close() {
    const page = this.pages.pop()
    page?.onUnload?.()
    page?.detach()
  }

  /** The page in front. */
  get page() {
    return this.pages.at(-1)
  }

  /** Nodes of the page in front that have this `data-test`. */
  all(name) {
    return [...this.page.nodes()].filter(({ attr }) => attr?.['data-test'] === name)
  }

  /** Waits until a page is in front. */
  arrives(route) {
    return until(`${route} after ${this.page.route}`, () => this.page.route === route)
  }

  /** Waits for a node. */
  find(name) {
    return until(`${name} on ${this.page.route}`, () => this.all(name)[0])
  }

  /** Presses what is there or will be. */
  async tap(name) {
    this.fire(await this.find(name), 'tap')
  }

  /** Lets an event happen to a node; a component's own template hears it first. */
  fire(node, type, more = {}) {
    const heard = node.instance ? [...node.instance.nodes()].find((inner) => handler(inner, type)) : node
    const { owner, attr } = heard ?? assert.fail(`${node.tag} has nothing that hears ${type}`)
    owner[handler({ attr }, type)]({ type, target: {}, currentTarget: {}, detail: {}, touches: [], changedTouches: [], ...more })
  }

  /** Nothing went wrong unseen. */
  clean() {
    assert.deepEqual(this.#errors, [])
  }

  asked(path) {
    return this.requests.filter((request) => request.path === path)
  }

  #wx(language, launch) {
    const phone = this
    const device = { language, platform: 'devtools', system: 'test', SDKVersion: '3.8.0', windowWidth: 360, windowHeight: 640,
      screenWidth: 360, screenHeight: 640, statusBarHeight: 20, pixelRatio: 2, theme: 'light', brand: 'test', model: 'test' }
    const navigate = (replace) => ({ url, success }) => {
      if (replace) phone.close()
      phone.open(url)
      success?.({})
    }
    return {
      getSystemInfoSync: () => device, getAppBaseInfo: () => device, getWindowInfo: () => device, getDeviceInfo: () => device,
      getAccountInfoSync: () => ({ miniProgram: { appId: 'test' } }),
      getLaunchOptionsSync: () => launch, getEnterOptionsSync: () => launch,
      onAppShow() {}, onAppHide() {}, preloadAssets() {}, canIUse: () => true, setNavigationBarTitle() {},
      getStorageSync: (key) => phone.storage.get(key) ?? '',
      setStorageSync: (key, value) => phone.storage.set(key, structuredClone(value)),
      setStorage: ({ key, data }) => phone.storage.set(key, data),
      showToast: ({ title }) => phone.toasts.push(title),
      navigateTo: navigate(false), redirectTo: navigate(true),
      reLaunch({ url }) {
        while (phone.pages.length) phone.close()
        phone.open(url)
      },
      navigateBack() {
        phone.close()
        phone.page.callPage('show', 'onShow')
      },
      scanCode: ({ success }) => success({ result: phone.scan }),
      createLivePlayerContext: (id) =>
        new Proxy({}, { get: (_, command) => (options) => { phone.played.push([id, command]); options?.success?.({}) } }),
      getRecorderManager: () => ({ onStart() {}, onStop() {}, onError() {}, onFrameRecorded() {}, start() {}, stop() {} }),
      createSelectorQuery: () => query(),
      request(options) {
        const { url, method = 'GET', data, header, success, fail, complete } = options
        phone.requests.push({ method, path: new URL(url).pathname, body: new URLSearchParams(data || new URL(url).search) })
        const sent = fetch(url, { method, headers: header, body: method === 'GET' ? undefined : data })
        sent
          .then(async (answer) => {
            const text = await answer.text()
            let body = text
            try {
              body = JSON.parse(text)
            } catch {
              // Text is given as it is.
            }
            success?.({ statusCode: answer.status, data: body, header: {} })
          }, (error) => fail?.({ errMsg: `request:fail ${error.message}` }))
          .finally(() => complete?.({}))
        return { abort() {} }
      },
    }
  }
}

/** The method that a node names for an event. */
function handler({ attr = {} }, type) {
  return ['bind', 'catch', 'bind:', 'catch:'].map((how) => attr[how + type]).find(Boolean)
}

/** Every box is a square of 200 at the page's corner. */
function query() {
  const found = []
  const chain = {
    in: () => chain, select: () => chain, selectAll: () => chain,
    boundingClientRect(then) {
      found.push(then)
      return chain
    },
    exec: () => setTimeout(() => found.forEach((then) => then?.({ left: 0, top: 0, width: 200, height: 200, right: 200, bottom: 200 }))),
  }
  return chain
}

/** A page or a component that lives. */
class Instance {
  #phone
  #path
  #definition
  #children = new Map()
  #rendering
  #ready = false
  tree = []

  constructor(phone, path, more = {}) {
    const definition = phone.definition(path)
    Object.assign(this, more, definition.methods)
    this.#phone = phone
    this.#path = path
    this.#definition = definition
    const defaults = Object.entries(definition.properties ?? {}).map(([name, one]) => [name, one?.value])
    this.properties = this.data = { ...structuredClone(definition.data ?? {}), ...Object.fromEntries(defaults), ...more.given }
    definition.lifetimes?.created?.call(this)
    definition.created?.call(this)
  }

  attach() {
    this.#definition.lifetimes.attached.call(this)
    this.#render()
  }

  ready() {
    this.#ready = true
    for (const child of this.#children.values()) child.ready()
    this.#definition.lifetimes.ready?.call(this)
  }

  detach() {
    for (const child of this.#children.values()) child.detach()
    this.#children.clear()
    this.#definition.lifetimes.detached?.call(this)
  }

  callPage(lifetime, hook) {
    this[hook]?.()
    const tell = (instance) => {
      for (const child of instance.#children.values()) {
        child.#definition.pageLifetimes?.[lifetime]?.call(child)
        tell(child)
      }
    }
    tell(this)
  }

  /** The owner hears it, by the name that its template has for it. */
  triggerEvent(type, detail) {
    const name = this.node && handler(this.node, type)
    if (name) this.node.owner[name]({ type, detail: detail ?? {}, target: {}, currentTarget: {} })
  }

  setData(patch, then) {
    for (const [path, value] of Object.entries(patch)) put(this.data, path, value)
    // As on a phone: templates follow later, all changes at once.
    this.#rendering ??= Promise.resolve().then(() => {
      this.#rendering = undefined
      if (this.tree.length) this.#render()
    })
    if (then) void this.#rendering.then(() => then.call(this))
  }

  selectAllComponents(selector) {
    const wanted = selector.slice(1)
    return [...this.#children.values()].filter(({ node }) => [node.attr.class].flat(9).join(' ').split(' ').includes(wanted))
  }

  createSelectorQuery() {
    return query()
  }

  /** Every node below, of this template and of those of its components. */
  *nodes() {
    const walk = function* (nodes) {
      for (const node of nodes) {
        if (typeof node === 'string') continue
        yield node
        yield* walk(node.children ?? [])
        if (node.instance) yield* node.instance.nodes()
      }
    }
    yield* walk(this.tree)
  }

  #render() {
    const { children } = this.#phone.compiled(`${this.#path}.wxml`)(this.data, {}, {})
    this.tree = children
    const seen = new Set()
    const visit = (nodes, place) =>
      nodes.forEach((node, at) => {
        if (typeof node === 'string') return
        node.owner = this
        const path = this.#definition.using.get(node.tag)
        if (path) {
          const key = node.attr.uI ?? `${place}/${at}`
          seen.add(key)
          this.#keep(key, path, node)
        }
        visit(node.children ?? [], `${place}/${at}`)
      })
    visit(children, '')
    for (const [key, child] of this.#children) {
      if (seen.has(key)) continue
      this.#children.delete(key)
      child.detach()
    }
  }

  #keep(key, path, node) {
    const known = this.#definition.using && this.#children.get(key)
    const given = Object.fromEntries(Object.entries(node.attr).filter(([name]) => !/^(?:bind|catch)|^class$/.test(name)))
    if (known) {
      known.node = node
      node.instance = known
      for (const [name, value] of Object.entries(given)) {
        if (known.data[name] === value) continue
        known.data[name] = value
        known.#definition.observers?.[name]?.call(known, value)
      }
      return
    }
    const child = new Instance(this.#phone, path, { node, given })
    node.instance = child
    this.#children.set(key, child)
    if (given.uS) child.#definition.properties?.uS?.observer?.call(child, given.uS)
    child.attach()
    if (this.#ready) child.ready()
  }
}

/** The text below a node. */
export function text(node) {
  if (typeof node === 'string') return node
  return [...(node.children ?? []), ...(node.instance?.tree ?? [])].map(text).join('')
}
