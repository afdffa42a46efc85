//! What was recorded: found by time, and fetched as a file.

use std::time::Duration;

use cloud::{LocalTime, PlaybackAsk, Recording, Storage, UnixMillis, days_of_month};
use device::RecordingKind;
use serde::Serialize;

use super::Target;
use crate::api::reply::{Answer, Failure, Reply};
use crate::api::{App, Ask};

/// Longest span that can be searched: a month and some.
const SPAN_MAX: Duration = Duration::from_secs(32 * 24 * 3600);
/// Rows of a page of cloud storage; documented.
const CLOUD_PAGE_MAX: usize = 1000;
/// Rows of a page of what a device keeps; documented.
const LOCAL_PAGE_MAX: usize = 500;
/// Rows of a page when none is asked for; documented.
const UNIFIED_PAGE: usize = 50;
/// `recType` and `type` of cloud storage in rows and requests.
const CLOUD: u8 = 1;
/// `recType` of what a device keeps.
const LOCAL: u8 = 2;

/// `POST video/by/time`
pub async fn by_time(app: &App, ask: &Ask) -> Reply {
    let target = Target::read(ask)?;
    let now = app.cloud.now();
    let zone = app.config.node.utc_offset.0;
    let from = millis(ask, "startTime")?.unwrap_or_else(|| LocalTime::of(now, zone).day_start().at(zone));
    let to = millis(ask, "endTime")?.or(millis(ask, "stopTime")?).unwrap_or(now);
    let (from, to) = span(from, to, "endTime")?;
    let kind: u8 = ask.number("recType")?.or(ask.number("type")?).unwrap_or(0);
    let (storage, page_max) = match kind {
        0 => (None, CLOUD_PAGE_MAX),
        CLOUD => (Some(Storage::Cloud), CLOUD_PAGE_MAX),
        LOCAL => (Some(Storage::Local), LOCAL_PAGE_MAX),
        _ => return Err(Failure::Parameter("recType")),
    };
    let size = page_size(ask, page_max)?;
    // One generation of players takes pages of the cloud always, and of the device only if it asked for a size.
    let paged = ask.optional("version").is_some_and(|text| text.trim() == "2.0") && (kind == CLOUD || size.is_some());

    let (caller, channel) = target.find(app, ask).await?;
    let found = match app.cloud.find_recordings(&caller, &channel, storage, from, to).await {
        // A device without storage has recorded nothing.
        Err(cloud::Error::Unsupported) => Vec::new(),
        other => other?,
    };
    let host = authority(&app.addresses.http(&ask.reached));
    let row = |recording: &Recording| Row::of(recording, &channel.serial, channel.no.0, &host);
    if paged {
        let page = Page::cut(&found, size.unwrap_or(usize::MAX), |r| (r.from.0, r.to.0));
        let files: Vec<Row<'_>> = page.rows.iter().map(row).collect();
        return Ok(Answer::data(&Files { files, is_all: page.next.is_none(), next_file_time: page.next.unwrap_or(0) }));
    }
    if found.is_empty() {
        return Ok(Answer::data(&()));
    }
    Ok(Answer::data(&found.iter().map(row).collect::<Vec<_>>()))
}

/// `POST video/by/id`: one recording of cloud storage. The number is that of a row of `video/by/time`.
pub async fn by_id(app: &App, ask: &Ask) -> Reply {
    let target = Target::read(ask)?;
    // Letters and underscores may be in it too, and name nothing of ours.
    let id = ask.text("alarmId")?.trim().parse();
    let (caller, channel) = target.find(app, ask).await?;
    let id = id.map_err(|_| cloud::Error::RecordingUnknown)?;
    let found = app.cloud.find_recording(&caller, &channel, id).await?;
    let host = authority(&app.addresses.http(&ask.reached));
    Ok(Answer::data(&Row::of(&found, &channel.serial, channel.no.0, &host)))
}

/// `GET /api/v3/device/local/video/unify/query` and its international twin: what the device keeps. Times in seconds.
pub async fn unify(app: &App, ask: &Ask) -> Reply {
    let (serial, channel) = (ask.text("deviceSerial")?, local_index(ask)?);
    let seconds = |name| Ok::<_, Failure>(UnixMillis(ask.required_number::<i64>(name)?.saturating_mul(1000)));
    let (from, to) = span(seconds("startTime")?, seconds("endTime")?, "endTime")?;
    let size = page_size(ask, LOCAL_PAGE_MAX)?.unwrap_or(UNIFIED_PAGE);
    let wanted = match ask.number::<u8>("recordType")? {
        None => None,
        Some(1) => Some(RecordingKind::Timed),
        Some(2..=5) => Some(RecordingKind::Event),
        Some(_) => return Err(Failure::Parameter("recordType")),
    };
    let caller = app.caller(ask).await?;
    let channel = app.cloud.channel(&caller, serial, channel).await?;
    let found = app.cloud.find_recordings(&caller, &channel, Some(Storage::Local), from, to).await?;
    // In the resolution of the answer: a page must begin after the one before it ends.
    let records: Vec<Record> = found
        .iter()
        .filter(|recording| wanted.is_none_or(|kind| kind == recording.kind))
        .map(|recording| Record {
            start_time: recording.from.as_secs(),
            end_time: recording.to.as_secs().max(recording.from.as_secs() + 1),
            kind: kind_name(recording.kind),
            size: recording.bytes.map(|bytes| bytes.to_string()).unwrap_or_default(),
        })
        .filter(|record| record.end_time > from.as_secs())
        .collect();
    let page = Page::cut(&records, size, |record| (record.start_time, record.end_time));
    Ok(Answer::data(&Records {
        records: page.rows,
        from_nvr: false,
        device_serial: &channel.serial,
        local_index: channel.no.to_string(),
        has_more: page.next.is_some(),
        next_file_time: page.next.unwrap_or(0),
    }))
}

/// `GET /api/v3/open/cloud/video/exist/query/month`: the days of a month of which there is something.
pub async fn month(app: &App, ask: &Ask) -> Reply {
    let (serial, channel) = (ask.text("deviceSerial")?, local_index(ask)?);
    let malformed = || Failure::Parameter("queryMonth");
    let digits: String = ask.text("queryMonth")?.chars().filter(char::is_ascii_digit).collect();
    let (year, month) = digits.split_at_checked(4).filter(|(_, month)| month.len() == 2).ok_or_else(malformed)?;
    let (year, month) = (year.parse().map_err(|_| malformed())?, month.parse().map_err(|_| malformed())?);
    let days = days_of_month(year, month).ok_or_else(malformed)?;
    let storage = match ask.number::<u8>("recType")?.unwrap_or(0) {
        0 => None,
        CLOUD => Some(Storage::Cloud),
        LOCAL => Some(Storage::Local),
        // Of devices that stand in for others; we have none.
        3 => return Ok(Answer::data(&[(); 0])),
        _ => return Err(Failure::Parameter("recType")),
    };
    let caller = app.caller(ask).await?;
    let channel = app.cloud.channel(&caller, serial, channel).await?;
    let day = Duration::from_secs(24 * 3600);
    let zone = app.config.node.utc_offset.0;
    let begins: Vec<UnixMillis> = days.iter().map(|day| day.at(zone)).collect();
    let end = begins.last().copied().ok_or_else(malformed)? + day;
    // One search for all days.
    let found = match app.cloud.find_recordings(&caller, &channel, storage, begins[0], end).await {
        Err(cloud::Error::Unsupported) => Vec::new(),
        other => other?,
    };
    let rows: Vec<Day> = days
        .iter()
        .zip(&begins)
        .filter_map(|(date, begin)| {
            let has = |storage| found.iter().any(|r| r.storage == storage && r.overlaps(*begin, *begin + day));
            let (cloud, local) = (has(Storage::Cloud), has(Storage::Local));
            let mut rec_day = date.compact();
            rec_day.truncate(8);
            (cloud || local).then(|| Day { rec_day, all: 1, cloud: cloud.into(), local: local.into(), relation: 0 })
        })
        .collect();
    Ok(Answer::data(&rows))
}

/// `POST video/download/address`, our own: where footage can be fetched as one MP4 file.
pub async fn download(app: &App, ask: &Ask) -> Reply {
    let target = Target::read(ask)?;
    let storage = match ask.number::<u8>("recType")?.unwrap_or(CLOUD) {
        CLOUD => Storage::Cloud,
        LOCAL => Storage::Local,
        _ => return Err(Failure::Parameter("recType")),
    };
    let (from, to) = playback_span(app, ask)?;
    let expire_s = ask.number("expireTime")?;
    let code = ask.optional("code");
    let (caller, channel) = target.find(app, ask).await?;
    let asked = PlaybackAsk { storage, from, to, expire_s, code };
    let address = app.cloud.download_address(&caller, &channel, asked).await?;
    let expire_time = LocalTime::of(address.expires_at, app.config.node.utc_offset.0).to_string();
    Ok(Answer::data(&Download { id: &address.id, url: app.file_url(ask, &address), expire_time }))
}

/// From when to when footage is to be played: `startTime` and `stopTime`, local text or milliseconds. Without
/// them, a day up to now.
pub(super) fn playback_span(app: &App, ask: &Ask) -> Result<(UnixMillis, UnixMillis), Failure> {
    let moment = |name: &'static str| {
        let Some(text) = ask.optional(name).map(str::trim) else { return Ok(None) };
        let local = LocalTime::read(text).map(|local| local.at(app.config.node.utc_offset.0));
        let millis = || text.parse().ok().filter(|_| text.len() == 13).map(UnixMillis);
        local.or_else(millis).map(Some).ok_or(Failure::Parameter(name))
    };
    let to = moment("stopTime")?.or(moment("endTime")?).unwrap_or_else(|| app.cloud.now());
    let from = moment("startTime")?.unwrap_or(to - Duration::from_secs(24 * 3600));
    if from >= to { Err(Failure::Parameter("stopTime")) } else { Ok((from, to)) }
}

fn millis(ask: &Ask, name: &'static str) -> Result<Option<UnixMillis>, Failure> {
    Ok(ask.number(name)?.map(UnixMillis))
}

fn span(from: UnixMillis, to: UnixMillis, field: &'static str) -> Result<(UnixMillis, UnixMillis), Failure> {
    if from < to && to - SPAN_MAX <= from { Ok((from, to)) } else { Err(Failure::Parameter(field)) }
}

fn page_size(ask: &Ask, max: usize) -> Result<Option<usize>, Failure> {
    let size: Option<usize> = ask.number("pageSize")?;
    if size.is_some_and(|size| !(1..=max).contains(&size)) { Err(Failure::Parameter("pageSize")) } else { Ok(size) }
}

/// The channel as newer families name it.
fn local_index(ask: &Ask) -> Result<u16, Failure> {
    Ok(ask.number("localIndex")?.or(ask.number("channelNo")?).unwrap_or(1))
}

fn kind_name(kind: RecordingKind) -> &'static str {
    match kind {
        RecordingKind::Timed => "TIMING",
        RecordingKind::Event => "ALARM",
    }
}

/// The host and port of a base address.
fn authority(base: &str) -> String {
    let (scheme, host) = base.split_once("://").unwrap_or(("http", base));
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    match (has_port, scheme) {
        (true, _) => host.to_owned(),
        (false, "https") => format!("{host}:443"),
        (false, _) => format!("{host}:80"),
    }
}

/// A part of a list that clients come back for by the time at which the next part begins.
struct Page<'a, T> {
    rows: &'a [T],
    /// When the first row behind it begins.
    next: Option<i64>,
}

impl<T> Page<'_, T> {
    /// The first `size` rows, ascending by their beginning, and those that overlap them: who comes back
    /// with [`Page::next`] gets each row once and always gets further.
    fn cut(rows: &[T], size: usize, span: impl Fn(&T) -> (i64, i64)) -> Page<'_, T> {
        let (mut end, mut count) = (i64::MIN, 0);
        for row in rows {
            let (from, to) = span(row);
            if count >= size && from >= end {
                return Page { rows: &rows[..count], next: Some(from) };
            }
            end = end.max(to);
            count += 1;
        }
        Page { rows, next: None }
    }
}

/// A row of `video/by/time`. What only the cloud has is null or 0 of a device's own.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    rec_type: u8,
    start_time: i64,
    end_time: i64,
    device_serial: &'a str,
    channel_no: u16,
    local_type: &'static str,
    channel_type: &'static str,
    id: Option<u64>,
    file_id: Option<String>,
    owner_id: Option<&'a str>,
    file_type: u8,
    file_name: Option<&'a str>,
    cloud_type: u8,
    file_index: Option<String>,
    file_size: u64,
    locked: u8,
    create_time: i64,
    crypt: u8,
    key_checksum: Option<&'a str>,
    video_long: i64,
    cover_pic: Option<&'a str>,
    download_path: Option<&'a str>,
    #[serde(rename = "type")]
    kind: u8,
    i_storage_version: Option<u8>,
    video_type: Option<u8>,
}

impl<'a> Row<'a> {
    fn of(recording: &Recording, serial: &'a str, channel: u16, host: &'a str) -> Row<'a> {
        let local = Row {
            rec_type: LOCAL,
            start_time: recording.from.0,
            end_time: recording.to.0,
            device_serial: serial,
            channel_no: channel,
            local_type: kind_name(recording.kind),
            channel_type: "D",
            id: None,
            file_id: None,
            owner_id: None,
            file_type: 0,
            file_name: None,
            cloud_type: 0,
            file_index: None,
            file_size: recording.bytes.unwrap_or(0),
            locked: recording.locked.into(),
            create_time: 0,
            crypt: 0,
            key_checksum: None,
            video_long: 0,
            cover_pic: None,
            download_path: None,
            kind: 1,
            i_storage_version: None,
            video_type: None,
        };
        if recording.storage == Storage::Local {
            return local;
        }
        // One that has no number yet is the one that grows; its beginning tells it apart.
        let id = recording.id.unwrap_or(0);
        Row {
            rec_type: CLOUD,
            id: Some(id),
            file_id: Some(id.to_string()),
            // Players send it back with whatever they found; we go by the device.
            owner_id: Some(serial),
            file_type: 1,
            cloud_type: 1,
            file_index: Some(uuid(id, recording.from)),
            create_time: recording.from.0,
            key_checksum: Some(""),
            video_long: recording.to.0 - recording.from.0,
            download_path: Some(host),
            i_storage_version: Some(2),
            video_type: Some(1),
            ..local
        }
    }
}

/// A UUID made of a recording's number and beginning (RFC 9562 §5.8).
fn uuid(id: u64, from: UnixMillis) -> String {
    let from = from.0 as u64;
    format!(
        "{:08x}-{:04x}-8{:03x}-8{:03x}-{:012x}",
        (from >> 16) as u32,
        from & 0xFFFF,
        (id >> 60) & 0xFFF,
        (id >> 48) & 0xFFF,
        id & 0xFFFF_FFFF_FFFF
    )
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Files<'a> {
    files: Vec<Row<'a>>,
    is_all: bool,
    next_file_time: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    start_time: i64,
    end_time: i64,
    #[serde(rename = "type")]
    kind: &'static str,
    size: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Records<'a> {
    records: &'a [Record],
    #[serde(rename = "fromNvr")]
    from_nvr: bool,
    device_serial: &'a str,
    local_index: String,
    has_more: bool,
    next_file_time: i64,
}

/// A day of which there is something: 1 where.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Day {
    rec_day: String,
    all: u8,
    cloud: u8,
    local: u8,
    relation: u8,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Download<'a> {
    id: &'a str,
    url: String,
    expire_time: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(rows: &[(i64, i64)], size: usize) -> Vec<Vec<(i64, i64)>> {
        let (mut pages, mut from) = (Vec::new(), i64::MIN);
        loop {
            // As a client comes back: what overlaps the rest of the span.
            let rest: Vec<(i64, i64)> = rows.iter().copied().filter(|row| row.1 > from).collect();
            let page = Page::cut(&rest, size, |row| *row);
            pages.push(page.rows.to_vec());
            match page.next {
                Some(next) => from = next,
                None => return pages,
            }
        }
    }

    #[test]
    fn pages_give_each_row_once_and_end() {
        let joined = [(0, 10), (10, 20), (20, 30), (40, 50), (50, 60)];
        assert_eq!(pages(&joined, 2), [&joined[..2], &joined[2..4], &joined[4..]].map(<[_]>::to_vec));
        assert_eq!(pages(&joined, 5), [joined.to_vec()]);
        // Rows that overlap, as of two storages, stay together however small the page.
        let overlapping = [(0, 30), (5, 10), (10, 15), (30, 40), (30, 40), (40, 50)];
        let expected = [&overlapping[..3], &overlapping[3..5], &overlapping[5..]].map(<[_]>::to_vec);
        assert_eq!(pages(&overlapping, 1), expected);
        assert_eq!(pages(&[], 1), [Vec::new()]);
    }

    #[test]
    fn authorities_have_a_port() {
        assert_eq!(authority("http://127.0.0.1:8080"), "127.0.0.1:8080");
        assert_eq!(authority("https://cam.example.org"), "cam.example.org:443");
        assert_eq!(authority("http://[::1]:8080"), "[::1]:8080");
        assert_eq!(authority("http://cam.example.org"), "cam.example.org:80");
    }
}
