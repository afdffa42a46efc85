-- A day of a channel is read from the index alone. Rows of one channel lie far apart in the table, since all
-- channels record at once: two dozen hours are two dozen pages of the disk.
DROP INDEX recording_by_channel;
CREATE INDEX recording_by_channel
    ON recording (serial, channel_no, storage, starts_at, ends_at, kind, bytes, locked);
