//! Which stream is meant: every player cuts the address in another place.

use std::fmt;

/// Path and query of a stream address, put together again from what a client sent in pieces.
///
/// `rtmp://host/v3/openlive/S_1_1?t=…` arrives as application `v3/openlive` and stream `S_1_1?t=…`
/// from ffmpeg and librtmp, as `v3` and `openlive/S_1_1?t=…` from others, with the query on the
/// application or only in `tcUrl` from a few, and as a whole address in the stream name once.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamPath {
    /// Path with a leading slash and no empty parts: `/v3/openlive/S_1_1`.
    pub path: String,
    /// Query as sent, without `?`; empty if there is none. May hold a signature or a stream key.
    pub query: String,
}

impl StreamPath {
    /// Joins what `connect` and `play` or `publish` said.
    pub fn join(app: &str, tc_url: &str, name: &str) -> StreamPath {
        let (tc_path, tc_query) = split_query(strip_authority(tc_url).unwrap_or_default());
        let (app_path, app_query) = split_query(strip_authority(app).unwrap_or(app));
        let whole = strip_authority(name);
        let (name_path, name_query) = split_query(whole.unwrap_or(name));
        // Flash's names of containers; a colon as such is part of GB/T 28181 names.
        let name_path =
            ["mp4:", "flv:", "mp3:"].iter().find_map(|kind| name_path.strip_prefix(kind)).unwrap_or(name_path);
        let app_path = match (whole, parts(app_path).next()) {
            (Some(_), _) => "",
            (None, None) => tc_path,
            (None, Some(_)) => app_path,
        };
        let path = parts(app_path).chain(parts(name_path)).fold(String::new(), |path, part| path + "/" + part);
        let mut query = String::new();
        let queries = [name_query, app_query, tc_query];
        for (i, part) in queries.iter().enumerate() {
            if !part.is_empty() && !queries[..i].contains(part) {
                if !query.is_empty() {
                    query.push('&');
                }
                query.push_str(part);
            }
        }
        StreamPath { path, query }
    }
}

impl fmt::Debug for StreamPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.path, if self.query.is_empty() { "" } else { "?***" })
    }
}

/// An address as it may be logged.
pub(super) struct Hidden<'a>(pub &'a str);

impl fmt::Debug for Hidden<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, query) = split_query(self.0);
        write!(f, "{:?}", if query.is_empty() { path.to_owned() } else { format!("{path}?***") })
    }
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

fn split_query(text: &str) -> (&str, &str) {
    text.split_once('?').unwrap_or((text, ""))
}

/// Path and query of an address that names scheme and host; `None` for anything else.
fn strip_authority(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    if !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    Some(rest.find(['/', '?']).map_or("", |at| &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(app: &str, tc_url: &str, name: &str, path: &str, query: &str) {
        let joined = StreamPath::join(app, tc_url, name);
        assert_eq!((joined.path.as_str(), joined.query.as_str()), (path, query), "{app} {tc_url} {name}");
    }

    #[test]
    fn address_is_whole_however_it_was_cut() {
        let (path, query) = ("/v3/openlive/C1_1_1", "expire=1&t=ab");
        // ffmpeg, librtmp, GStreamer
        check("v3/openlive", "rtmp://h:1935/v3/openlive", "C1_1_1?expire=1&t=ab", path, query);
        // cut at the first slash
        check("v3", "rtmp://h/v3", "openlive/C1_1_1?expire=1&t=ab", path, query);
        // query with the application, as with virtual hosts
        check("v3/openlive?expire=1&t=ab", "rtmp://h/v3/openlive?expire=1&t=ab", "C1_1_1", path, query);
        // query in tcUrl only
        check("v3/openlive", "rtmp://h/v3/openlive?expire=1&t=ab", "C1_1_1", path, query);
        // query everywhere
        check("v3/openlive?expire=1&t=ab", "rtmp://h/v3/openlive?expire=1&t=ab", "C1_1_1?expire=1&t=ab", path, query);
        // the whole address as name
        check("v3/openlive", "rtmp://h/v3/openlive", "rtmp://h/v3/openlive/C1_1_1?expire=1&t=ab", path, query);
        // slashes too many, application only in tcUrl, container prefix
        check("/v3/openlive/", "rtmp://h//v3/openlive/", "/C1_1_1?expire=1&t=ab", path, query);
        check("", "rtmp://[::1]:1935/v3/openlive", "flv:C1_1_1?expire=1&t=ab", path, query);
        check("push", "rtmp://h/push", "C1_1?key=k", "/push/C1_1", "key=k");
        check("", "", "", "", "");
    }

    #[test]
    fn colon_of_a_gb28181_name_stays() {
        check(
            "v3/openlive",
            "",
            "34020000001320000001:34020000001320000002_1_1",
            "/v3/openlive/34020000001320000001:34020000001320000002_1_1",
            "",
        );
    }

    #[test]
    fn query_parts_from_several_places_are_kept() {
        check("live?a=1", "rtmp://h/live?b=2", "x?c=3", "/live/x", "c=3&a=1&b=2");
    }

    #[test]
    fn debug_hides_the_query() {
        let path = StreamPath::join("push", "", "C1_1?key=secret");
        assert_eq!(format!("{path:?}"), "/push/C1_1?***");
        assert_eq!(format!("{:?}", Hidden("rtmp://h/push?key=secret")), "\"rtmp://h/push?***\"");
    }
}
