/**
 * H.265 in FLV, as a server that ignores what the player can do would send it: ffmpeg encodes, the tags are written
 * here (codec id 12), since ffmpeg 5 cannot put H.265 into FLV.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** One tag, followed by its length. */
function tag(type, timestampMs, body) {
  const head = Buffer.alloc(11)
  head.writeUInt8(type, 0)
  head.writeUIntBE(body.length, 1, 3)
  head.writeUIntBE(timestampMs & 0xffffff, 4, 3)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(11 + body.length)
  return Buffer.concat([head, body, length])
}

/** The content of the first MP4 box of that name. */
function box(file, name) {
  const at = file.indexOf(name, 0, 'latin1')
  return file.subarray(at + 4, at - 4 + file.readUInt32BE(at - 4))
}

/** A second of H.265 without sound, as FLV. */
export function hevcFlv() {
  const folder = mkdtempSync(join(tmpdir(), 'hevc-'))
  try {
    const path = join(folder, 'one.mp4')
    const source = 'testsrc2=size=320x180:rate=1:duration=1'
    execFileSync('ffmpeg', ['-loglevel', 'error', '-f', 'lavfi', '-i', source, '-c:v', 'libx265', '-x265-params', 'log-level=none', path])
    const file = readFileSync(path)
    const header = Buffer.from('FLV\x01\x01\x00\x00\x00\x09\x00\x00\x00\x00', 'latin1')
    const record = Buffer.concat([Buffer.from([0x1c, 0, 0, 0, 0]), box(file, 'hvcC')])
    const frame = Buffer.concat([Buffer.from([0x1c, 1, 0, 0, 0]), box(file, 'mdat')])
    return Buffer.concat([header, tag(9, 0, record), tag(9, 0, frame), tag(9, 40, frame)])
  } finally {
    rmSync(folder, { recursive: true })
  }
}
