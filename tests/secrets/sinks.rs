//! Where something that is secret could end up: every row of every table (what is sealed, opened), the database's own
//! files and its log of changes, the service's log, what it tells and exports, and what the simulator keeps.

use crate::canaries::Needle;
use crate::support::World;
use aggregates::sealed::Sealed;
use aho_corasick::AhoCorasick;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A text that was found where it must not be.
#[derive(Debug)]
pub struct Hit {
    pub sink: String,
    pub what: String,
    /// What stands around it.
    pub around: String,
}

/// Looks for needles.
pub struct Search {
    automaton: AhoCorasick,
    needles: Vec<Needle>,
    pub hits: Vec<Hit>,
    /// In bytes, by what was looked through.
    pub looked_through: usize,
}

impl Search {
    pub fn new(needles: Vec<Needle>) -> Self {
        let automaton = AhoCorasick::new(needles.iter().map(|it| &it.bytes)).unwrap();
        Self {
            automaton,
            needles,
            hits: Vec::new(),
            looked_through: 0,
        }
    }

    /// Looks through the bytes of a sink.
    pub fn bytes(&mut self, sink: &str, bytes: &[u8]) {
        self.looked_through += bytes.len();
        let mut each = BTreeMap::<_, usize>::new();
        for found in self.automaton.find_iter(bytes) {
            let times = each.entry(found.pattern()).or_default();
            *times += 1;
            if *times > 3 {
                continue;
            }
            let around = found.start().saturating_sub(60)..bytes.len().min(found.end() + 40);
            self.hits.push(Hit {
                sink: sink.to_owned(),
                what: self.needles[found.pattern().as_usize()].what.clone(),
                around: String::from_utf8_lossy(&bytes[around]).into_owned(),
            });
        }
    }

    /// Looks through all files below.
    pub fn files(&mut self, sink: &str, dir: &Path) {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let shown = format!("{sink}/{}", entry.file_name().to_string_lossy());
            if path.is_dir() {
                self.files(&shown, &path);
            } else if path.is_file() {
                self.bytes(&shown, written(&fs::read(&path).unwrap()));
            }
        }
    }

    /// Looks through every row of every table, and opens what is sealed in them; how many seals were opened.
    pub async fn database(&mut self, world: &World) -> usize {
        let pool = world.app().store().pool();
        let tables: Vec<String> = sqlx::query_scalar(
            "select format('%I.%I', schemaname, tablename) from pg_tables
             where schemaname not in ('pg_catalog', 'information_schema')",
        )
        .fetch_all(pool)
        .await
        .unwrap();
        assert!(tables.len() > 15, "only {} tables were found", tables.len());
        let mut opened = 0;
        for table in tables {
            let rows: Vec<(String, String)> = sqlx::query_as(&format!(
                "select t::text, row_to_json(t)::text from {table} t"
            ))
            .fetch_all(pool)
            .await
            .unwrap();
            for (text, json) in rows {
                self.bytes(&table, text.as_bytes());
                let row: Value = serde_json::from_str(&json).unwrap();
                for (merchant, sealed) in seals(&row) {
                    let merchant = merchant.parse().unwrap();
                    let vault = &world.app().store().vault;
                    let data: Option<Value> = vault.open(&merchant, &sealed).await.unwrap();
                    if let Some(data) = data {
                        opened += 1;
                        self.bytes(
                            &format!("{table}, sealed for {}", sealed.subject),
                            data.to_string().as_bytes(),
                        );
                    }
                }
            }
        }
        opened
    }
}

/// A file of the database without the empty blocks at its end.
fn written(bytes: &[u8]) -> &[u8] {
    const EMPTY: [u8; 8192] = [0; 8192];
    let mut written = bytes;
    while let Some(rest) = written.strip_suffix(&EMPTY) {
        written = rest;
    }
    written
}

/// Everything in a row that is sealed, and whose it is.
fn seals(row: &Value) -> Vec<(String, Sealed)> {
    let text = |name: &str| row[name].as_str().map(str::to_owned);
    let of_aggregate =
        || text("aggregate_id").and_then(|it| Some(it.split_once('/')?.0.to_owned()));
    let merchant = text("merchant")
        .or_else(|| text("ledger"))
        .or_else(of_aggregate);
    let mut found = Vec::new();
    walk(row, &mut found);
    let merchant = merchant.unwrap_or_else(|| {
        assert!(found.is_empty(), "whose is what is sealed here? {row:#}");
        String::new()
    });
    found.into_iter().map(|it| (merchant.clone(), it)).collect()
}

fn walk(value: &Value, found: &mut Vec<Sealed>) {
    if let Some(sealed) = value
        .get("ciphertext")
        .and_then(|_| serde_json::from_value(value.clone()).ok())
    {
        found.push(sealed);
        return;
    }
    match value {
        Value::Object(members) => members.values().for_each(|it| walk(it, found)),
        Value::Array(items) => items.iter().for_each(|it| walk(it, found)),
        _ => {}
    }
}
