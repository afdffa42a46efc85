/** What a device can do, read from `device/capacity`. Pure. */
import { Mirror, type DeviceCapacity } from '../../shared/api'

/** Something the live page has a panel for. */
export type Ability = 'ptz' | 'voice' | 'mirror' | 'mask'

/** What a device can do, in the order of the panels. */
export function abilitiesOf(capacity: DeviceCapacity): Ability[] {
  const can: Readonly<Record<Ability, boolean>> = {
    ptz: has(capacity, 'support_ptz') && ptzAxes(capacity).any,
    voice: has(capacity, 'support_talk'),
    mirror: mirrorsOf(capacity).length > 0,
    mask: has(capacity, 'support_privacy'),
  }
  return (Object.keys(can) as Ability[]).filter((ability) => can[ability])
}

/** The axes along which it turns. */
export function ptzAxes(capacity: DeviceCapacity): { vertical: boolean; horizontal: boolean; zoom: boolean; any: boolean } {
  const [vertical, horizontal, zoom] = [has(capacity, 'ptz_top_bottom'), has(capacity, 'ptz_left_right'), has(capacity, 'ptz_zoom')]
  return { vertical, horizontal, zoom, any: vertical || horizontal || zoom }
}

/** The ways its picture can be flipped, the most useful first. */
export function mirrorsOf(capacity: DeviceCapacity): Mirror[] {
  const ways: [string, Mirror][] = [
    ['ptz_center_mirror', Mirror.centre],
    ['ptz_left_right_mirror', Mirror.leftRight],
    ['ptz_top_bottom_mirror', Mirror.topBottom],
  ]
  return ways.filter(([key]) => has(capacity, key)).map(([, mirror]) => mirror)
}

/** A missing key means that it cannot; values other than "0" name the kind. */
function has(capacity: DeviceCapacity, key: string): boolean {
  return (capacity[key] ?? '0') !== '0'
}
