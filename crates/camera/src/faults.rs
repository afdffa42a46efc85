//! What a camera does wrong when told to, so that tests see how others bear it.

use std::str::FromStr;
use std::time::Duration;

use tokio::sync::watch;

/// One way of failing, for ONVIF, ISAPI and still pictures, and for whoever speaks through the camera.
///
/// A command is a request that changes something or takes a picture; the others only look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is wrong.
    #[default]
    None,
    /// Every answer comes this much later.
    Slow(Duration),
    /// Commands are answered with an error of the dialect.
    Refuse,
    /// The connection is closed in the middle of the answer to a command, which was not carried out.
    Drop,
    /// No login is right, at RTSP neither.
    WrongPassword,
    /// Every answer is XML that is not well-formed.
    Malformed,
    /// Connections and requests are taken and nothing is answered.
    Silent,
}

impl FromStr for Fault {
    type Err = &'static str;

    /// From `none`, `slow=SECONDS`, `refuse`, `drop`, `wrong-password`, `malformed` or `silent`.
    fn from_str(text: &str) -> Result<Fault, Self::Err> {
        match text.split_once('=').unwrap_or((text, "")) {
            ("none", "") => Ok(Fault::None),
            ("refuse", "") => Ok(Fault::Refuse),
            ("drop", "") => Ok(Fault::Drop),
            ("wrong-password", "") => Ok(Fault::WrongPassword),
            ("malformed", "") => Ok(Fault::Malformed),
            ("silent", "") => Ok(Fault::Silent),
            ("slow", seconds) => {
                let seconds = seconds.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                seconds.map(Fault::Slow).ok_or("slow needs a time, such as slow=2.5")
            }
            _ => Err("expected none, slow=SECONDS, refuse, drop, wrong-password, malformed or silent"),
        }
    }
}

/// The switch of a running camera; copies are the same switch.
#[derive(Clone, Debug, Default)]
pub struct Faults(watch::Sender<Fault>);

impl Faults {
    /// Fails in this way from now on.
    pub fn set(&self, fault: Fault) {
        self.0.send_replace(fault);
    }

    /// How it fails now.
    pub fn get(&self) -> Fault {
        *self.0.borrow()
    }

    /// Holds an answer up: for its time when slow, and while silent.
    pub(crate) async fn hold_up(&self) {
        match self.get() {
            Fault::Slow(by) => tokio::time::sleep(by).await,
            Fault::Silent => {
                // Waiting can only fail without a switch, which we hold.
                let _ = self.0.subscribe().wait_for(|fault| *fault != Fault::Silent).await;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_have_names() {
        assert_eq!("slow=2.5".parse(), Ok(Fault::Slow(Duration::from_millis(2500))));
        assert_eq!("wrong-password".parse(), Ok(Fault::WrongPassword));
        for wrong in ["", "slow", "slow=-1", "slow=x", "drop=1", "Refuse"] {
            assert!(wrong.parse::<Fault>().is_err(), "{wrong}");
        }
    }
}
