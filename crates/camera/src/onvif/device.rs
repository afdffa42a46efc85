//! Device management: what the camera says of itself.

use proto::onvif::device::*;
use proto::onvif::schema::{self, *};
use proto::onvif::{Fault, ns};

use super::{Call, document, scopes, xaddr};
use crate::config::Config;
use crate::http::Site;

/// Firmware the camera claims: the program's version.
const FIRMWARE: &str = env!("CARGO_PKG_VERSION");

impl Site {
    pub(super) fn device(&self, request: Request, call: &Call<'_>) -> Result<String, Fault> {
        let Config { serial, name, user, utc_offset_minutes, .. } = &*self.config;
        Ok(match request {
            Request::GetSystemDateAndTime(_) => {
                let now = self.clock.wall().0.div_euclid(1_000_000);
                let local = now + i64::from(*utc_offset_minutes) * 60;
                document(&GetSystemDateAndTimeResponse {
                    system_date_and_time: SystemDateTime {
                        date_time_type: SetDateTimeType::Ntp,
                        daylight_savings: false,
                        time_zone: Some(TimeZone { tz: posix_zone(*utc_offset_minutes) }),
                        utc: Some(DateTime::from_unix(now)),
                        local: Some(DateTime::from_unix(local)),
                    },
                })
            }
            Request::GetDeviceInformation(_) => document(&GetDeviceInformationResponse {
                manufacturer: "Fluorite".into(),
                model: if self.channels.len() > 1 { "Virtual Recorder" } else { "Virtual Camera" }.into(),
                firmware_version: FIRMWARE.into(),
                serial_number: serial.clone(),
                hardware_id: "software".into(),
            }),
            Request::GetCapabilities(ask) => {
                let wanted = |name: &str| {
                    ask.category.is_empty() || ask.category.iter().any(|category| category == "All" || category == name)
                };
                let address = |service| ServiceAddress { xaddr: xaddr(call.host, service) };
                let capabilities = Capabilities {
                    device: wanted("Device").then(|| device_capabilities(call.host, self.config.discovery)),
                    imaging: wanted("Imaging").then(|| address("imaging")),
                    media: wanted("Media").then(|| MediaCapabilities {
                        xaddr: xaddr(call.host, "media"),
                        streaming: StreamingCapabilities {
                            rtp_multicast: Some(false),
                            rtp_tcp: Some(false),
                            rtp_rtsp_tcp: Some(true),
                        },
                    }),
                    ptz: wanted("PTZ").then(|| address("ptz")),
                    extension: self.card.is_some().then(|| CapabilitiesExtension {
                        recording: wanted("Recording").then(|| address("recording")),
                        search: wanted("Search").then(|| address("search")),
                        replay: wanted("Replay").then(|| address("replay")),
                    }),
                };
                document(&GetCapabilitiesResponse { capabilities })
            }
            Request::GetServices(_) => {
                let service = |(namespace, name): (&str, &str)| Service {
                    namespace: namespace.into(),
                    xaddr: xaddr(call.host, name),
                    version: OnvifVersion { major: 2, minor: 40 },
                };
                let mut all = vec![
                    (ns::TDS, "device"),
                    (ns::TRT, "media"),
                    (ns::TR2, "media2"),
                    (ns::TPTZ, "ptz"),
                    (ns::TIMG, "imaging"),
                ];
                if self.card.is_some() {
                    all.extend([(ns::TRC, "recording"), (ns::TSE, "search"), (ns::TRP, "replay")]);
                }
                document(&GetServicesResponse { services: all.into_iter().map(service).collect() })
            }
            Request::GetServiceCapabilities(_) => {
                let capabilities = DeviceServiceCapabilities {
                    security: SecurityCapabilities {
                        username_token: Some(true),
                        http_digest: Some(true),
                        max_users: Some(1),
                        ..SecurityCapabilities::default()
                    },
                    ..DeviceServiceCapabilities::default()
                };
                document(&GetServiceCapabilitiesResponse { capabilities })
            }
            Request::GetScopes(_) => {
                let scope = |item| Scope { definition: "Fixed".into(), item };
                document(&GetScopesResponse { scopes: scopes(&self.config).into_iter().map(scope).collect() })
            }
            Request::GetHostname(_) => {
                let name = Some(format!("camera-{}", serial.to_lowercase()));
                document(&GetHostnameResponse { hostname_information: HostnameInformation { from_dhcp: false, name } })
            }
            Request::GetNetworkInterfaces(_) => {
                let address = match self.config.listen.is_unspecified() {
                    true => call.hostname.to_owned(),
                    false => self.config.listen.to_string(),
                };
                let manual = vec![PrefixedIpv4Address { address, prefix_length: 32 }];
                let config = Ipv4Configuration { manual, link_local: None, from_dhcp: None, dhcp: false };
                let interface = NetworkInterface {
                    token: "eth0".into(),
                    enabled: true,
                    info: Some(NetworkInterfaceInfo {
                        name: Some(name.clone()),
                        hw_address: hardware_address(serial),
                        mtu: Some(1500),
                    }),
                    ipv4: Some(Ipv4NetworkInterface { enabled: true, config }),
                };
                document(&GetNetworkInterfacesResponse { network_interfaces: vec![interface] })
            }
            Request::GetUsers(_) => {
                let user = User { username: user.clone(), user_level: "Administrator".into() };
                document(&GetUsersResponse { users: vec![user] })
            }
        })
    }
}

fn device_capabilities(host: &str, discovery: bool) -> DeviceCapabilities {
    DeviceCapabilities {
        xaddr: xaddr(host, "device"),
        network: Some(schema::NetworkCapabilities::default()),
        system: Some(schema::SystemCapabilities {
            discovery_resolve: false,
            discovery_bye: discovery,
            remote_discovery: false,
            system_backup: false,
            system_logging: false,
            firmware_upgrade: false,
            supported_versions: vec![OnvifVersion { major: 2, minor: 40 }],
        }),
    }
}

/// A zone without daylight saving as POSIX writes it, where east is negative: `UTC-8:00`.
fn posix_zone(utc_offset_minutes: i16) -> String {
    let sign = if utc_offset_minutes > 0 { '-' } else { '+' };
    let minutes = utc_offset_minutes.abs();
    match minutes {
        0 => "UTC0".into(),
        _ => format!("UTC{sign}{}:{:02}", minutes / 60, minutes % 60),
    }
}

/// A locally administered address that belongs to the serial.
fn hardware_address(serial: &str) -> String {
    let hash = serial
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    let [a, b, c, d, e, ..] = hash.to_be_bytes();
    format!("02:{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}")
}
