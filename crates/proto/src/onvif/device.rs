//! Device management service (`devicemgmt.wsdl`).

use super::ns::TDS;
use super::schema::{Capabilities, HostnameInformation, NetworkInterface, OnvifVersion, Scope, SystemDateTime, User};

record! {
    /// `tds:Service`
    Service in TDS {
        /// Namespace URI that names the service.
        namespace: String = elem "Namespace",
        /// Its address.
        xaddr: String = elem "XAddr",
        /// Version of the service specification.
        version: OnvifVersion = elem "Version" or OnvifVersion { major: 0, minor: 0 },
    }

    /// `tds:NetworkCapabilities`
    #[derive(Default)]
    NetworkCapabilities in TDS {
        /// Filter by address.
        ip_filter: Option<bool> = attr "IPFilter",
        /// Zero configuration.
        zero_configuration: Option<bool> = attr "ZeroConfiguration",
        /// IPv6.
        ip_version6: Option<bool> = attr "IPVersion6",
        /// Dynamic DNS.
        dyn_dns: Option<bool> = attr "DynDNS",
        /// How many NTP servers can be set.
        ntp: Option<i32> = attr "NTP",
    }

    /// `tds:SecurityCapabilities`
    #[derive(Default)]
    SecurityCapabilities in TDS {
        /// TLS 1.2.
        tls1_2: Option<bool> = attr "TLS1.2",
        /// WS-Security user name token.
        username_token: Option<bool> = attr "UsernameToken",
        /// HTTP digest.
        http_digest: Option<bool> = attr "HttpDigest",
        /// How many users it keeps.
        max_users: Option<i32> = attr "MaxUsers",
    }

    /// `tds:SystemCapabilities`
    #[derive(Default)]
    SystemCapabilities in TDS {
        /// WS-Discovery resolve.
        discovery_resolve: Option<bool> = attr "DiscoveryResolve",
        /// WS-Discovery bye.
        discovery_bye: Option<bool> = attr "DiscoveryBye",
        /// Remote discovery.
        remote_discovery: Option<bool> = attr "RemoteDiscovery",
    }

    /// `tds:DeviceServiceCapabilities`
    #[derive(Default)]
    DeviceServiceCapabilities in TDS {
        /// Network.
        network: NetworkCapabilities = elem "Network" or NetworkCapabilities::default(),
        /// Security.
        security: SecurityCapabilities = elem "Security" or SecurityCapabilities::default(),
        /// System.
        system: SystemCapabilities = elem "System" or SystemCapabilities::default(),
    }
}

service! { TDS;
    /// The camera's clock. The only request every camera answers without login, since the login
    /// needs it.
    GetSystemDateAndTime {}
    -> GetSystemDateAndTimeResponse {
        /// The clock.
        system_date_and_time: SystemDateTime = elem "SystemDateAndTime",
    }

    /// Who made it.
    GetDeviceInformation {}
    -> GetDeviceInformationResponse {
        /// Maker.
        manufacturer: String = elem "Manufacturer" or String::new(),
        /// Model.
        model: String = elem "Model" or String::new(),
        /// Firmware.
        firmware_version: String = elem "FirmwareVersion" or String::new(),
        /// Serial number, unique per maker.
        serial_number: String = elem "SerialNumber" or String::new(),
        /// Hardware.
        hardware_id: String = elem "HardwareId" or String::new(),
    }

    /// Services and their addresses, the old way; see [`GetServices`].
    GetCapabilities {
        /// `All`, `Device`, `Imaging`, `Media`, `PTZ`, …; none means all.
        category: Vec<String> = elem "Category",
    }
    -> GetCapabilitiesResponse {
        /// Services.
        capabilities: Capabilities = elem "Capabilities",
    }

    /// Services and their addresses.
    GetServices {
        /// Whether each shall tell its capabilities too.
        include_capability: bool = elem "IncludeCapability" or false,
    }
    -> GetServicesResponse {
        /// Services.
        services: Vec<Service> = elem "Service",
    }

    /// What device management can do.
    GetServiceCapabilities {}
    -> GetServiceCapabilitiesResponse {
        /// Abilities.
        capabilities: DeviceServiceCapabilities = elem "Capabilities",
    }

    /// URIs that describe the camera in discovery.
    GetScopes {}
    -> GetScopesResponse {
        /// Scopes.
        scopes: Vec<Scope> = elem "Scopes",
    }

    /// Host name.
    GetHostname {}
    -> GetHostnameResponse {
        /// Host name.
        hostname_information: HostnameInformation = elem "HostnameInformation",
    }

    /// Network interfaces.
    GetNetworkInterfaces {}
    -> GetNetworkInterfacesResponse {
        /// Interfaces.
        network_interfaces: Vec<NetworkInterface> = elem "NetworkInterfaces",
    }

    /// Users, without their passwords.
    GetUsers {}
    -> GetUsersResponse {
        /// Users.
        users: Vec<User> = elem "User",
    }
}
