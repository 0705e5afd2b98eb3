//! Replaying the log as fast as the database sends it.

use chrono::DateTime;
use futures::StreamExt;
use sqlx::PgConnection;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::StoreError;
use crate::read::{COLUMNS, Reader, Recorded, hash, sequence};

impl Reader {
    /// Folds every event after `after` up to and including `to`, in order, and says how many there were.
    ///
    /// One binary COPY on a connection of its own, which another task receives: the database sends ahead while `fold`
    /// works, memory stays constant. The event is lent; its buffers are used again for the next one.
    ///
    /// # Errors
    /// Those of `fold`, at which it stops; a [`StoreError`] when the database cannot be read to the end or an event
    /// is missing between two others.
    pub async fn replay<E: From<StoreError>>(
        &self,
        after: i64,
        to: i64,
        mut fold: impl FnMut(&Recorded) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut blocks = self.blocks(after, to);
        let mut decoder = Decoder::default();
        let mut count = 0;
        while let Some(block) = blocks.recv().await {
            decoder.feed(block?);
            while let Some(event) = decoder.next_event()? {
                count += 1;
                fold(event)?;
            }
        }
        if !decoder.ended {
            return Err(StoreError::Corrupt("the copy ended early".into()).into());
        }
        Ok(count)
    }

    /// The same events in pages of at most `size`, for a fold that has to wait for something: they are read ahead while it
    /// works, by two pages at most.
    pub fn pages(&self, after: i64, to: i64, size: usize) -> Pages {
        let (pages, receiver) = mpsc::channel(1);
        let reader = self.clone();
        tokio::spawn(async move {
            if let Err(error) = reader.send_pages(after, to, size, &pages).await {
                // Nobody may be there to be told any more.
                let _ = pages.send(Err(error)).await;
            }
        });
        Pages {
            receiver,
            reached: after,
            to,
        }
    }

    async fn send_pages(
        &self,
        after: i64,
        to: i64,
        size: usize,
        pages: &mpsc::Sender<Result<Vec<Recorded>, StoreError>>,
    ) -> Result<(), StoreError> {
        let mut blocks = self.blocks(after, to);
        let mut decoder = Decoder::default();
        let mut page = Vec::with_capacity(size);
        while let Some(block) = blocks.recv().await {
            decoder.feed(block?);
            while let Some(event) = decoder.next_event()? {
                page.push(event.clone());
                if page.len() >= size {
                    let full = std::mem::replace(&mut page, Vec::with_capacity(size));
                    if pages.send(Ok(full)).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
        if !page.is_empty() {
            let _ = pages.send(Ok(page)).await;
        }
        Ok(())
    }

    /// The bytes of the copy in blocks of about [`BLOCK`], received ahead by a few of them.
    fn blocks(&self, after: i64, to: i64) -> mpsc::Receiver<Result<Vec<u8>, StoreError>> {
        let (blocks, receiver) = mpsc::channel(BLOCKS_AHEAD);
        let reader = self.clone();
        tokio::spawn(async move {
            if let Err(error) = reader.send_blocks(&copy_sql(after, to), &blocks).await {
                // Nobody may be there to be told any more.
                let _ = blocks.send(Err(error)).await;
            }
        });
        receiver
    }

    async fn send_blocks(
        &self,
        copy: &str,
        blocks: &mpsc::Sender<Result<Vec<u8>, StoreError>>,
    ) -> Result<(), StoreError> {
        let mut conn = self.for_copy().await?;
        let mut chunks = conn.copy_out_raw(copy).await?;
        let mut block = Vec::with_capacity(BLOCK);
        while let Some(chunk) = chunks.next().await {
            block.extend_from_slice(&chunk?);
            if block.len() >= BLOCK {
                let full = std::mem::replace(&mut block, Vec::with_capacity(BLOCK));
                if blocks.send(Ok(full)).await.is_err() {
                    return Ok(());
                }
            }
        }
        let _ = blocks.send(Ok(block)).await;
        Ok(())
    }

    /// Detached: a COPY that is left half-way must not come back to the pool.
    async fn for_copy(&self) -> Result<PgConnection, StoreError> {
        Ok(self.pool().acquire().await?.detach())
    }
}

/// Pages of events, read ahead: [`Reader::pages`].
#[derive(Debug)]
pub struct Pages {
    receiver: mpsc::Receiver<Result<Vec<Recorded>, StoreError>>,
    reached: i64,
    to: i64,
}

impl Pages {
    /// The next page; none at the end.
    ///
    /// # Errors
    /// When the database cannot be read to the end, or an event is missing.
    pub async fn next(&mut self) -> Result<Option<Vec<Recorded>>, StoreError> {
        let Some(page) = self.receiver.recv().await.transpose()? else {
            if self.reached < self.to {
                return Err(corrupt("the copy ended early"));
            }
            return Ok(None);
        };
        let first = page.first().map_or(self.reached + 1, |it| it.position);
        if first != self.reached + 1 {
            return Err(corrupt("an event is missing between two others"));
        }
        self.reached = page.last().map_or(self.reached, |it| it.position);
        Ok(Some(page))
    }
}

fn copy_sql(after: i64, to: i64) -> String {
    format!(
        "COPY (SELECT {COLUMNS} FROM events WHERE position > {after} AND position <= {to} ORDER BY position) \
         TO STDOUT (FORMAT binary)"
    )
}

/// What is received before it is handed on, in bytes.
const BLOCK: usize = 128 << 10;
/// How many such blocks are received ahead.
const BLOCKS_AHEAD: usize = 4;
/// How many columns a row has.
const FIELDS: usize = 13;
/// The signature, and after it the flags.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// From the Unix epoch to 2000-01-01, where PostgreSQL counts from, in microseconds.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// Decodes the binary COPY format into one event whose buffers are used again and again.
struct Decoder {
    bytes: Vec<u8>,
    read: usize,
    started: bool,
    ended: bool,
    event: Recorded,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            read: 0,
            started: false,
            ended: false,
            event: Recorded {
                position: 0,
                ledger: String::new(),
                ledger_position: 0,
                aggregate_type: String::new(),
                aggregate_id: String::new(),
                sequence: 0,
                event_type: String::new(),
                event_version: String::new(),
                event_id: Uuid::nil(),
                recorded_at: DateTime::UNIX_EPOCH,
                payload: String::new(),
                metadata: String::new(),
                leaf_hash: [0; 32],
            },
        }
    }
}

impl Decoder {
    /// Takes the next bytes. PostgreSQL sends whole rows, so that nothing is left of those before; but it promises nothing.
    fn feed(&mut self, block: Vec<u8>) {
        self.bytes.drain(..self.read);
        self.read = 0;
        if self.bytes.is_empty() {
            self.bytes = block;
        } else {
            self.bytes.extend_from_slice(&block);
        }
    }

    /// The next whole event, if its bytes are there.
    fn next_event(&mut self) -> Result<Option<&Recorded>, StoreError> {
        let mut cursor = Cursor(&self.bytes[self.read..]);
        if !self.started {
            let Some(signature) = header(&mut cursor) else {
                return Ok(None);
            };
            if signature != SIGNATURE {
                return Err(corrupt("not a binary copy"));
            }
            self.started = true;
            self.read = self.bytes.len() - cursor.0.len();
        }
        let Some(fields) = next_row(&mut cursor)? else {
            return Ok(None);
        };
        let left = cursor.0.len();
        let Some(fields) = fields else {
            self.ended = true;
            return Ok(None);
        };
        let before = self.event.position;
        fill(&mut self.event, &fields)?;
        if before > 0 && self.event.position != before + 1 {
            return Err(corrupt("an event is missing between two others"));
        }
        self.read = self.bytes.len() - left;
        Ok(Some(&self.event))
    }
}

/// The fields of a row.
type Fields<'a> = [&'a [u8]; FIELDS];

/// Bytes still to be read; every read is none when there are not enough.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn i16(&mut self) -> Option<i16> {
        let bytes = self.take(2)?;
        Some(i16::from_be_bytes(
            bytes.try_into().expect("two were taken"),
        ))
    }

    fn i32(&mut self) -> Option<i32> {
        let bytes = self.take(4)?;
        Some(i32::from_be_bytes(
            bytes.try_into().expect("four were taken"),
        ))
    }
}

/// Reads past the file header and gives its signature.
fn header<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let signature = cursor.take(SIGNATURE.len())?;
    let _flags = cursor.i32()?;
    let extension = usize::try_from(cursor.i32()?).ok()?;
    cursor.take(extension)?;
    Some(signature)
}

/// The next row: none while it is incomplete, none in some at the end of the copy.
fn next_row<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Option<Fields<'a>>>, StoreError> {
    let Some(count) = cursor.i16() else {
        return Ok(None);
    };
    if count == -1 {
        return Ok(Some(None));
    }
    if usize::try_from(count) != Ok(FIELDS) {
        return Err(corrupt("a row of another shape"));
    }
    let mut fields: Fields<'_> = [&[]; FIELDS];
    for field in &mut fields {
        let Some(length) = cursor.i32() else {
            return Ok(None);
        };
        let length = usize::try_from(length).map_err(|_| corrupt("a null"))?;
        let Some(bytes) = cursor.take(length) else {
            return Ok(None);
        };
        *field = bytes;
    }
    Ok(Some(Some(fields)))
}

fn fill(event: &mut Recorded, fields: &Fields<'_>) -> Result<(), StoreError> {
    event.position = int(fields[0])?;
    text(&mut event.ledger, fields[1])?;
    event.ledger_position = int(fields[2])?;
    text(&mut event.aggregate_type, fields[3])?;
    text(&mut event.aggregate_id, fields[4])?;
    event.sequence = sequence(int(fields[5])?)?;
    text(&mut event.event_type, fields[6])?;
    text(&mut event.event_version, fields[7])?;
    event.event_id = Uuid::from_slice(fields[8]).map_err(|_| corrupt("an event id"))?;
    let recorded_at_us = int(fields[9])?.checked_add(POSTGRES_EPOCH_US);
    event.recorded_at = recorded_at_us
        .and_then(DateTime::from_timestamp_micros)
        .ok_or_else(|| corrupt("a time out of range"))?;
    text(&mut event.payload, fields[10])?;
    text(&mut event.metadata, fields[11])?;
    event.leaf_hash = hash(fields[12])?;
    Ok(())
}

fn int(bytes: &[u8]) -> Result<i64, StoreError> {
    let bytes = bytes.try_into().map_err(|_| corrupt("a bigint"))?;
    Ok(i64::from_be_bytes(bytes))
}

fn text(into: &mut String, bytes: &[u8]) -> Result<(), StoreError> {
    let text = std::str::from_utf8(bytes).map_err(|_| corrupt("text that is not UTF-8"))?;
    into.clear();
    into.push_str(text);
    Ok(())
}

fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(what.to_owned())
}
