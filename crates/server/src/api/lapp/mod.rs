//! `/api/lapp`: the classic family. One file a resource; a handler says what is asked, who asks, calls
//! the product and shapes the answer.

mod camera;
mod device;
mod live;
mod token;

use super::code::Family;
use super::{Access, Route};

/// Every route of the family. A path that is not here answers that the command is not supported.
#[rustfmt::skip]
pub static ROUTES: &[Route] = &[
    Route { path: "token/get", access: Access::Anyone, reads: false, family: Family::Control,
        example: &[("appKey", "{app_key}"), ("appSecret", "{app_secret}")],
        run: |app, ask| Box::pin(token::get(app, ask)) },

    Route { path: "device/add", access: Access::Account, reads: false, family: Family::Control,
        example: &[("deviceSerial", "{free_serial}"), ("validateCode", "{free_code}")],
        run: |app, ask| Box::pin(device::add(app, ask)) },
    Route { path: "device/delete", access: Access::Device, reads: false, family: Family::Control,
        example: &[],
        run: |app, ask| Box::pin(device::delete(app, ask)) },
    Route { path: "device/name/update", access: Access::Device, reads: false, family: Family::Control,
        example: &[("deviceName", "Gate")],
        run: |app, ask| Box::pin(device::rename(app, ask)) },
    Route { path: "device/list", access: Access::Account, reads: true, family: Family::Control,
        example: &[],
        run: |app, ask| Box::pin(device::list(app, ask)) },
    Route { path: "device/info", access: Access::Device, reads: true, family: Family::Control,
        example: &[],
        run: |app, ask| Box::pin(device::info(app, ask)) },
    Route { path: "device/status/get", access: Access::Device, reads: true, family: Family::Control,
        example: &[],
        run: |app, ask| Box::pin(device::status(app, ask)) },
    Route { path: "device/capacity", access: Access::Device, reads: true, family: Family::Control,
        example: &[],
        run: |app, ask| Box::pin(device::capacity(app, ask)) },
    Route { path: "device/camera/list", access: Access::Device, reads: true, family: Family::Control,
        example: &[],
        run: |app, ask| Box::pin(device::cameras(app, ask)) },

    Route { path: "camera/list", access: Access::Account, reads: true, family: Family::Control,
        example: &[],
        run: |app, ask| Box::pin(camera::list(app, ask)) },
    Route { path: "camera/name/update", access: Access::Device, reads: false, family: Family::Control,
        example: &[("name", "Gate")],
        run: |app, ask| Box::pin(camera::rename(app, ask)) },

    Route { path: "v2/live/address/get", access: Access::Device, reads: true, family: Family::Address,
        example: &[("protocol", "3")],
        run: |app, ask| Box::pin(live::address(app, ask)) },
    Route { path: "v2/live/address/disable", access: Access::Device, reads: false, family: Family::Address,
        example: &[("urlId", "254708522214232064")],
        run: |app, ask| Box::pin(live::disable(app, ask)) },
    Route { path: "live/address/get", access: Access::Device, reads: true, family: Family::Address,
        example: &[("protocol", "3")],
        run: |app, ask| Box::pin(live::address_v1(app, ask)) },
    Route { path: "live/address/disable", access: Access::Device, reads: false, family: Family::Address,
        example: &[],
        run: |app, ask| Box::pin(live::disable_all(app, ask)) },
];
