//! The command line: `fluorite serve` runs the server, the other commands talk to a running one.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "fluorite",
    version,
    about = "A camera cloud of your own, speaking the EZVIZ Open Platform API",
    after_help = "First steps:
  fluorite serve --trial             a server with two virtual cameras; prints a page to open
  fluorite serve                     the same without cameras; prints the operator token once
  export FLUORITE_TOKEN=...          the operator token, for the commands below
  fluorite discover                  which cameras are in this network
  fluorite attach http://192.168.1.20/onvif/device_service --user admin
  fluorite app new                   an account with the appKey and appSecret that clients use

`fluorite help COMMAND` says more about each."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(Serve),
    /// Look whether every recorded segment is there, with its size and hash
    Check(Check),
    /// Attach a camera to the running server
    Attach(Attach),
    /// Detach a camera; its account loses it
    Detach {
        /// Serial of the device, 9 characters
        serial: String,
        /// Where the server is.
        #[command(flatten)]
        server: Remote,
    },
    /// List the attached devices
    Devices {
        /// Where the server is.
        #[command(flatten)]
        server: Remote,
    },
    /// Search the server's network for ONVIF cameras
    Discover {
        /// How long to wait for answers, in seconds
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10))]
        seconds: u32,
        /// Where the server is.
        #[command(flatten)]
        server: Remote,
    },
    /// Applications: the appKey and appSecret that clients get tokens with
    #[command(subcommand)]
    App(AppCommand),
    /// Who is watching and publishing
    #[command(subcommand)]
    Sessions(SessionsCommand),
    /// Keys that play addresses are signed with
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Cards: keys that open cloud storage of a camera, each good once
    #[command(subcommand)]
    Cards(CardsCommand),
    /// Plans: which cameras are recorded into cloud storage
    #[command(subcommand)]
    Plan(PlanCommand),
}

/// `fluorite app …`
#[derive(Debug, Subcommand)]
pub enum AppCommand {
    /// Make an account with an application; prints its secret, which is shown only now
    New {
        /// Where the server is.
        #[command(flatten)]
        server: Remote,
    },
}

/// `fluorite sessions …`
#[derive(Debug, Subcommand)]
pub enum SessionsCommand {
    /// List them
    List {
        /// Where the server is.
        #[command(flatten)]
        server: Remote,
    },
    /// End one
    End {
        /// Its number in the list
        id: u64,
        /// Where the server is.
        #[command(flatten)]
        server: Remote,
    },
}

/// `fluorite keys …`
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Sign with a new key from now on; addresses signed before stay valid until they expire
    Rotate {
        /// Where the server is.
        #[command(flatten)]
        server: Remote,
    },
}

/// `fluorite cards …`
#[derive(Debug, Subcommand)]
pub enum CardsCommand {
    /// Make a batch; prints the keys, which are shown only now
    New {
        /// How many
        #[arg(long, default_value_t = 1)]
        count: u32,
        /// Days that the plan of each runs
        #[arg(long, default_value_t = 30)]
        days: u32,
        /// Days that footage is kept
        #[arg(long, default_value_t = 7)]
        retention_days: u32,
        /// Name of the batch; one is made without
        #[arg(long)]
        batch: Option<String>,
        /// Serial of the one device they are good for; every device without
        #[arg(long)]
        serial: Option<String>,
        /// Where the server is.
        #[command(flatten)]
        server: Remote,
    },
    /// List what became of them, without their keys
    List {
        /// Name of a batch; all without
        #[arg(long)]
        batch: Option<String>,
        /// Where the server is.
        #[command(flatten)]
        server: Remote,
    },
}

/// `fluorite plan …`
#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// Record a channel from now on, in the place of every other plan of it
    Set {
        /// Serial of the device, 9 characters
        serial: String,
        /// Channel of the device
        #[arg(long, default_value_t = 1)]
        channel: u16,
        /// Days that footage is kept
        #[arg(long, default_value_t = 7)]
        retention_days: u32,
        /// Days that it is recorded; without end if absent
        #[arg(long)]
        days: Option<u32>,
        /// Where the server is.
        #[command(flatten)]
        server: Remote,
    },
    /// Record a channel no more; what was recorded stays for its days
    End {
        /// Serial of the device, 9 characters
        serial: String,
        /// Channel of the device
        #[arg(long, default_value_t = 1)]
        channel: u16,
        /// Where the server is.
        #[command(flatten)]
        server: Remote,
    },
}

/// `fluorite serve`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  fluorite serve --trial --tls       try it, with a phone's microphone and camera allowed
  fluorite serve --config /etc/fluorite.toml --check-config
  FLUORITE_DATA=/srv/fluorite FLUORITE_HTTP__LISTEN=127.0.0.1:8080 fluorite serve

Without --config, fluorite.toml in the current folder is read if it exists.
Signals: the first INT or TERM ends the server within 10 s, a second at once.")]
pub struct Serve {
    /// Start two virtual cameras, bound to a trial account, and print where to watch them
    #[arg(long)]
    pub trial: bool,
    /// With --trial: serve TLS too, with a certificate made here
    #[arg(long, requires = "trial")]
    pub tls: bool,
    /// With --trial: cameras without SD cards, which record nothing and rest while nobody watches
    #[arg(long, requires = "trial")]
    pub no_cards: bool,
    /// Configuration file (TOML); see docs/fluorite.sample.toml
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Write addresses and secrets to this file (JSON, readable by you alone) once everything answers
    #[arg(long, value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
    /// Read the configuration, report what is wrong with it, and exit
    #[arg(long)]
    pub check_config: bool,
    /// Print the configuration in force and where each value came from, and exit
    #[arg(long)]
    pub print_config: bool,
}

/// `fluorite check`
#[derive(Debug, Args)]
#[command(
    after_help = "It works on the data folder itself, whether a server is running on it or not, and ends with status 1 when
something is wrong that it did not repair."
)]
pub struct Check {
    /// Take out of the index what is not what it should be (its files go to the blobs' folder quarantine), and
    /// list what is not listed
    #[arg(long)]
    pub repair: bool,
    /// Look at sizes alone, not into the files
    #[arg(long)]
    pub quick: bool,
    /// Configuration file (TOML); without, fluorite.toml in the current folder is read if it exists
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// How a camera is spoken to.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum DriverName {
    /// ONVIF for control, RTSP for media
    Onvif,
    /// Hikvision ISAPI for control, RTSP for media: Hikvision and EZVIZ cameras and recorders
    Isapi,
    /// RTSP alone
    Rtsp,
    /// The camera publishes RTMP to us
    Push,
}

/// `fluorite attach`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  fluorite attach http://192.168.1.20/onvif/device_service --user admin --password file:/run/secrets/cam
  fluorite attach --driver isapi http://192.168.1.64 --user admin --password file:/run/secrets/cam
  fluorite attach --driver rtsp 'rtsp://192.168.1.30/main rtsp://192.168.1.30/sub' --user admin
  fluorite attach --driver push --serial ENC000001 --name Encoder

The server tries the camera before it answers. It prints the serial and the verification code with which
an account then adds the device (device/add).")]
pub struct Attach {
    /// Address: of the ONVIF device service, of the web server (ISAPI), or of the RTSP stream (main, and sub after a space)
    #[arg(default_value = "")]
    pub address: String,
    /// How to speak to it
    #[arg(long, value_enum, default_value = "onvif")]
    pub driver: DriverName,
    /// User name at the camera
    #[arg(long)]
    pub user: Option<String>,
    /// Password at the camera, or file:PATH to read it from there; asked for when absent
    #[arg(long, env = "FLUORITE_CAMERA_PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
    /// Serial to give it, 9 characters of A-Z and 0-9; else the camera's own if it fits, else a new one
    #[arg(long)]
    pub serial: Option<String>,
    /// Verification code to give it, 6 capital letters; else a new one
    #[arg(long)]
    pub validate_code: Option<String>,
    /// Name
    #[arg(long)]
    pub name: Option<String>,
    /// Pull its picture all the time, not only while somebody watches
    #[arg(long)]
    pub keep_live: bool,
    /// Where the server is.
    #[command(flatten)]
    pub server: Remote,
}

/// Which server to talk to, and as whom.
#[derive(Debug, Args)]
pub struct Remote {
    /// Base address of the running server
    #[arg(long, env = "FLUORITE_SERVER", default_value = "http://127.0.0.1:8080")]
    pub server: String,
    /// Operator token, printed at the server's first start
    #[arg(long, env = "FLUORITE_TOKEN", hide_env_values = true)]
    pub token: String,
}
