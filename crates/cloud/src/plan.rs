//! Plans: which channels are recorded into our storage, and how long what is recorded is kept.
//!
//! A channel has at most one plan running for its account; others wait, each beginning when the one
//! before it ends. A plan is the account's: while the device is somebody else's or nobody's, it rests.

use std::time::Duration;

use device::ChannelNo;
use store::{PlanRow, UnixMillis};

use crate::device::check_serial;
use crate::{Caller, Channel, Cloud, Error, Operator};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Days that a plan can run, and that footage can be kept: ten years.
const DAYS_MAX: u32 = 3650;
/// Plans of a channel that wait; paying for more than a lifetime is a mistake.
const WAITING_MAX: usize = 20;
/// When a plan ends that has no end: the last second of the year 9999.
const NEVER: UnixMillis = UnixMillis(253_402_300_799_000);

/// Whether a plan records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanState {
    /// It will begin when the one before it ends.
    Waiting,
    /// It runs.
    Active,
    /// It runs, and its account has paused it.
    Paused,
    /// It is over.
    Expired,
}

/// A plan of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its number.
    pub id: i64,
    /// Days that footage is kept.
    pub retention_days: u32,
    /// When it begins.
    pub starts_at: UnixMillis,
    /// When it ends; `None` if never.
    pub expires_at: Option<UnixMillis>,
    /// Whether it records.
    pub state: PlanState,
}

/// What a plan is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanAsk {
    /// Days that footage is kept, 1 to 3650.
    pub retention_days: u32,
    /// Days that it runs, 1 to 3650; without end if absent.
    pub days: Option<u32>,
}

impl PlanAsk {
    /// # Errors
    /// `InvalidArgument` naming the field that is out of its range.
    pub(crate) fn checked(self) -> Result<PlanAsk, Error> {
        for (days, field) in [(Some(self.retention_days), "retention_days"), (self.days, "days")] {
            if days.is_some_and(|days| !(1..=DAYS_MAX).contains(&days)) {
                return Err(Error::InvalidArgument { field });
            }
        }
        Ok(self)
    }

    fn length(self) -> Option<Duration> {
        self.days.map(|days| days * DAY)
    }
}

fn shown(row: PlanRow, now: UnixMillis) -> Plan {
    let state = match () {
        () if row.expires_at <= now => PlanState::Expired,
        () if row.starts_at > now => PlanState::Waiting,
        () if row.enabled => PlanState::Active,
        () => PlanState::Paused,
    };
    let PlanRow { id, retention_days, starts_at, expires_at, .. } = row;
    Plan { id, retention_days, starts_at, expires_at: (expires_at < NEVER).then_some(expires_at), state }
}

/// Whose plan of which channel.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) serial: &'a str,
    pub(crate) channel: ChannelNo,
    pub(crate) account: Option<&'a str>,
}

impl Place<'_> {
    /// A plan that begins then.
    fn plan(self, ask: PlanAsk, starts_at: UnixMillis) -> PlanRow {
        PlanRow {
            id: 0,
            account_id: self.account.map(str::to_owned),
            serial: self.serial.to_owned(),
            channel_no: self.channel.0,
            retention_days: ask.retention_days,
            enabled: true,
            starts_at,
            expires_at: ask.length().map_or(NEVER, |length| starts_at + length),
        }
    }
}

/// Plans with what runs at `now` ended, and nothing waiting.
fn ended(mut plans: Vec<PlanRow>, now: UnixMillis) -> Vec<PlanRow> {
    plans.retain(|plan| plan.starts_at < now);
    for plan in &mut plans {
        plan.expires_at = plan.expires_at.min(now);
    }
    plans
}

/// Plans with one more after the last. `None` if it would never begin, or too many wait.
pub(crate) fn queued(mut plans: Vec<PlanRow>, place: Place<'_>, ask: PlanAsk, now: UnixMillis) -> Option<Vec<PlanRow>> {
    let begins = plans.iter().map(|plan| plan.expires_at).max().map_or(now, |last| last.max(now));
    let waiting = plans.iter().filter(|plan| plan.starts_at > now).count();
    if begins >= NEVER || waiting >= WAITING_MAX {
        return None;
    }
    plans.push(place.plan(ask, begins));
    Some(plans)
}

/// Plans with one that begins now: what runs ends, and what waits follows the new one as long as before.
pub(crate) fn replaced(plans: Vec<PlanRow>, place: Place<'_>, ask: PlanAsk, now: UnixMillis) -> Vec<PlanRow> {
    let waiting: Vec<PlanRow> = plans.iter().filter(|plan| plan.starts_at >= now).cloned().collect();
    let mut plans = ended(plans, now);
    let new = place.plan(ask, now);
    let mut end = new.expires_at;
    plans.push(new);
    for plan in waiting {
        let length = (plan.expires_at.0 - plan.starts_at.0).max(0);
        let starts_at = end;
        end = UnixMillis(end.0.saturating_add(length)).min(NEVER);
        plans.push(PlanRow { starts_at, expires_at: end, ..plan });
    }
    plans
}

/// What the operator does.
impl Cloud {
    /// The plans of a channel, past and waiting ones included, by their beginning.
    ///
    /// # Errors
    /// `NotOwner` when nothing of this serial is attached, `ChannelNotFound`, `SerialMalformed`.
    pub async fn channel_plans(&self, _: &Operator, serial: &str, channel: ChannelNo) -> Result<Vec<Plan>, Error> {
        let (serial, account) = self.planned(serial, channel).await?;
        self.plans_of(Place { serial: &serial, channel, account: account.as_deref() }).await
    }

    /// Gives a channel this plan from now on, for the account that has the device, or while nobody has it
    /// for whoever does; what ran ends, and what waited is dropped.
    ///
    /// # Errors
    /// `InvalidArgument`, and as [`Cloud::channel_plans`].
    pub async fn set_plan(
        &self,
        _: &Operator,
        serial: &str,
        channel: ChannelNo,
        ask: PlanAsk,
    ) -> Result<Vec<Plan>, Error> {
        let ask = ask.checked()?;
        let (serial, account) = self.planned(serial, channel).await?;
        let place = Place { serial: &serial, channel, account: account.as_deref() };
        let now = self.clock.now();
        let change = |plans| Some(replaced(ended(plans, now), place, ask, now));
        self.store.change_plans(&serial, channel.0, place.account, None, change).await?;
        self.recorder_changed();
        self.plans_of(place).await
    }

    /// Ends the running plan of a channel and drops what waits. What was recorded is kept as long as it
    /// would have been.
    ///
    /// # Errors
    /// As [`Cloud::channel_plans`].
    pub async fn end_plans(&self, _: &Operator, serial: &str, channel: ChannelNo) -> Result<(), Error> {
        let (serial, account) = self.planned(serial, channel).await?;
        let now = self.clock.now();
        let change = |plans| Some(ended(plans, now));
        self.store.change_plans(&serial, channel.0, account.as_deref(), None, change).await?;
        self.recorder_changed();
        Ok(())
    }

    /// The serial as it is kept, and the account that has the device.
    async fn planned(&self, serial: &str, channel: ChannelNo) -> Result<(String, Option<String>), Error> {
        let row = self.store.device(&check_serial(serial)?).await?.ok_or(Error::NotOwner)?;
        self.store.channel(&row.serial, channel.0).await?.ok_or(Error::ChannelNotFound)?;
        Ok((row.serial, row.account_id))
    }
}

/// What accounts do.
impl Cloud {
    /// The caller's plans of a channel, past and waiting ones included, by their beginning.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn plans(&self, caller: &Caller, channel: &Channel) -> Result<Vec<Plan>, Error> {
        let place = Place { serial: &channel.serial, channel: channel.no, account: Some(&caller.account.0) };
        self.plans_of(place).await
    }

    /// Pauses the caller's plans of every channel of a device, or lets them record again. Their time runs
    /// on.
    ///
    /// # Errors
    /// `NotOwner` and its kin.
    pub async fn enable_plans(&self, caller: &Caller, serial: &str, enabled: bool) -> Result<(), Error> {
        let row = self.owned(caller, serial).await?;
        for channel in self.store.channels(&row.serial).await? {
            let change = |mut plans: Vec<PlanRow>| {
                plans.iter_mut().for_each(|plan| plan.enabled = enabled);
                Some(plans)
            };
            self.store.change_plans(&row.serial, channel.no, Some(&caller.account.0), None, change).await?;
        }
        self.recorder_changed();
        Ok(())
    }

    async fn plans_of(&self, place: Place<'_>) -> Result<Vec<Plan>, Error> {
        let now = self.clock.now();
        let rows = self.store.plans(place.serial, place.channel.0, place.account).await?;
        Ok(rows.into_iter().map(|row| shown(row, now)).collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_790_000_000_000);
    const PLACE: Place<'_> = Place { serial: "CAM00001A", channel: ChannelNo(1), account: Some("a") };

    fn ask(days: u32) -> PlanAsk {
        PlanAsk { retention_days: 7, days: Some(days) }
    }

    /// Beginnings and ends in days after [`NOW`].
    fn spans(plans: &[PlanRow]) -> Vec<(i64, i64)> {
        let day = |at: UnixMillis| (at.0 - NOW.0) / 86_400_000;
        plans.iter().map(|plan| (day(plan.starts_at), day(plan.expires_at))).collect()
    }

    #[test]
    fn a_queued_plan_begins_when_the_last_one_ends() {
        let plans = queued(vec![], PLACE, ask(30), NOW).unwrap();
        let plans = queued(plans, PLACE, ask(10), NOW + 5 * DAY).unwrap();
        assert_eq!(spans(&plans), [(0, 30), (30, 40)]);
        // Once all are over, at once.
        let plans = queued(plans, PLACE, ask(10), NOW + 50 * DAY).unwrap();
        assert_eq!(spans(&plans), [(0, 30), (30, 40), (50, 60)]);
    }

    #[test]
    fn a_replacing_plan_begins_now_and_takes_no_time_from_those_that_wait() {
        let plans = queued(queued(vec![], PLACE, ask(30), NOW).unwrap(), PLACE, ask(10), NOW).unwrap();
        let plans = replaced(plans, PLACE, ask(20), NOW + 5 * DAY);
        assert_eq!(spans(&plans), [(0, 5), (5, 25), (25, 35)]);
    }

    #[test]
    fn nothing_is_queued_behind_a_plan_without_end_or_behind_too_many() {
        let endless = PlanAsk { retention_days: 7, days: None };
        assert_eq!(queued(replaced(vec![], PLACE, endless, NOW), PLACE, ask(1), NOW), None);
        let mut plans = queued(vec![], PLACE, ask(1), NOW).unwrap();
        for _ in 0..WAITING_MAX {
            plans = queued(plans, PLACE, ask(1), NOW).unwrap();
        }
        assert_eq!(queued(plans, PLACE, ask(1), NOW), None);
    }

    proptest! {
        /// Whatever is opened when: plans follow each other, and what waits keeps its length.
        #[test]
        fn plans_never_overlap(steps in prop::collection::vec((1..400_u32, any::<bool>(), 0..100_u32), 1..20)) {
            let (mut plans, mut now) = (vec![], NOW);
            for (days, replace, pass) in steps {
                now = now + pass * DAY;
                let waiting = |plans: &[PlanRow]| -> i64 {
                    plans.iter().filter(|p| p.starts_at >= now).map(|p| p.expires_at.0 - p.starts_at.0).sum()
                };
                let before = waiting(&plans);
                if replace {
                    plans = replaced(plans, PLACE, ask(days), now);
                    let new = i64::from(days) * 86_400_000;
                    prop_assert_eq!(waiting(&plans), before + new);
                } else if let Some(more) = queued(plans.clone(), PLACE, ask(days), now) {
                    plans = more;
                }
                for pair in plans.windows(2) {
                    prop_assert!(pair[0].expires_at <= pair[1].starts_at, "{:?}", spans(&plans));
                    prop_assert!(pair[0].starts_at < pair[0].expires_at);
                }
            }
        }
    }
}
