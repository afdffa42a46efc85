//! Addresses: where a camera is, and where it says its parts are.

use reqwest::Url;

use crate::driver::DriverError;

/// Path of the device service when an address names none (ONVIF Core 5.1).
const DEVICE_SERVICE: &str = "/onvif/device_service";

/// The address of a device service as people write it: a URL, or a host with or without port.
///
/// # Errors
/// `AddressRefused` if it is no HTTP address, or holds a login, which has its own place.
pub(super) fn device_service(address: &str) -> Result<Url, DriverError> {
    let mut url = crate::http::address(address, DEVICE_SERVICE)?;
    if url.path() == "/" && url.query().is_none() {
        url.set_path(DEVICE_SERVICE);
    }
    Ok(url)
}

/// Where to find what the camera says is at `told`, given that the camera itself was reached at `dialled`.
///
/// A camera behind a port mapping tells its inner address, and a hostile one tells whatever it likes to
/// have us connect to. So the host is always the one dialled. With it go scheme and port, unless the
/// camera told that very host: then they are its own business. What is left is path and query.
///
/// # Errors
/// `Protocol` if it is no URL, or of a scheme other than HTTP.
pub(super) fn same_camera(told: &str, dialled: &Url) -> Result<Url, DriverError> {
    let mut url = parse(told)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(unusable(told));
    }
    if url.host() != dialled.host() {
        url.set_scheme(dialled.scheme()).map_err(|()| unusable(told))?;
        url.set_host(dialled.host_str()).map_err(|_| unusable(told))?;
        url.set_port(dialled.port()).map_err(|()| unusable(told))?;
    }
    without_login(url).ok_or_else(|| unusable(told))
}

/// As [`same_camera`] for media: host of the camera, but RTSP scheme and port as told.
///
/// # Errors
/// `Protocol` if it is no RTSP URL.
pub(super) fn media(told: &str, dialled: &Url) -> Result<Url, DriverError> {
    let mut url = parse(told)?;
    if url.scheme() != "rtsp" {
        return Err(unusable(told));
    }
    url.set_host(dialled.host_str()).map_err(|_| unusable(told))?;
    without_login(url).ok_or_else(|| unusable(told))
}

fn parse(told: &str) -> Result<Url, DriverError> {
    Url::parse(told.trim()).map_err(|_| unusable(told))
}

fn without_login(mut url: Url) -> Option<Url> {
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    url.set_fragment(None);
    Some(url)
}

fn unusable(told: &str) -> DriverError {
    let told: String = told.chars().take(128).collect();
    DriverError::Protocol { step: "address", cause: format!("it tells `{told}`, which cannot be used") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_as_people_write_them() {
        for (written, url) in [
            ("192.168.1.64", "http://192.168.1.64/onvif/device_service"),
            (" cam.lan:8080 ", "http://cam.lan:8080/onvif/device_service"),
            ("[fd00::5]:8080", "http://[fd00::5]:8080/onvif/device_service"),
            ("https://cam.lan", "https://cam.lan/onvif/device_service"),
            ("http://cam.lan/onvif/device", "http://cam.lan/onvif/device"),
        ] {
            assert_eq!(device_service(written).unwrap().as_str(), url);
        }
        for bad in ["", "rtsp://cam.lan/", "http://admin:secret@cam.lan/", "http://", "a b", "file:///etc/passwd"] {
            let error = device_service(bad).unwrap_err();
            assert!(matches!(error, DriverError::AddressRefused(_)), "{bad}: {error}");
            assert!(!error.to_string().contains("secret"));
        }
    }

    #[test]
    fn t26_a_camera_cannot_send_us_elsewhere() {
        let dialled = Url::parse("http://203.0.113.9:8080/onvif/device_service").unwrap();
        for (told, used) in [
            ("http://203.0.113.9/onvif/media", "http://203.0.113.9/onvif/media"),
            ("https://203.0.113.9:8443/m", "https://203.0.113.9:8443/m"),
            ("http://192.168.1.64/onvif/ptz?x=1", "http://203.0.113.9:8080/onvif/ptz?x=1"),
            ("http://169.254.169.254/latest/meta-data", "http://203.0.113.9:8080/latest/meta-data"),
            ("http://[::ffff:127.0.0.1]:22/", "http://203.0.113.9:8080/"),
            ("http://2130706433/", "http://203.0.113.9:8080/"),
            ("https://user:pass@evil.example:1/x#y", "http://203.0.113.9:8080/x"),
        ] {
            assert_eq!(same_camera(told, &dialled).unwrap().as_str(), used, "{told}");
        }
        for (told, used) in [
            ("rtsp://192.168.1.64:554/Streaming/Channels/101?a=b", "rtsp://203.0.113.9:554/Streaming/Channels/101?a=b"),
            ("rtsp://admin:secret@127.0.0.1:8554/main", "rtsp://203.0.113.9:8554/main"),
            ("rtsp://[::1]/main", "rtsp://203.0.113.9/main"),
        ] {
            assert_eq!(media(told, &dialled).unwrap().as_str(), used, "{told}");
        }
        for bad in ["", "/relative", "file:///etc/passwd", "gopher://203.0.113.9/", "javascript:1"] {
            assert!(same_camera(bad, &dialled).is_err(), "{bad}");
            assert!(media(bad, &dialled).is_err(), "{bad}");
        }
        assert!(media("http://203.0.113.9/", &dialled).is_err());
        assert!(same_camera("rtsp://203.0.113.9/", &dialled).is_err());
    }

    #[test]
    fn an_ipv6_camera_stays_one() {
        let dialled = Url::parse("http://[fd00::5]:8080/x").unwrap();
        assert_eq!(media("rtsp://10.0.0.1:554/a", &dialled).unwrap().as_str(), "rtsp://[fd00::5]:554/a");
        assert_eq!(same_camera("http://10.0.0.1/b", &dialled).unwrap().as_str(), "http://[fd00::5]:8080/b");
    }
}
