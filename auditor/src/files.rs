//! Where card numbers and secrets are looked for: every text of every table, and files.

use crate::report::{Invariant, Report, Violation};
use crate::secrets::{Canary, Finding, OVERLAP, search};
use crate::{Audit, AuditError};
use sqlx::{Executor as _, PgConnection};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// How much of a file is in memory at a time.
const CHUNK: usize = 1024 * 1024;
/// How many rows.
const ROWS: u32 = 500;

#[derive(sqlx::FromRow)]
struct Column {
    table_name: String,
    column_name: String,
}

#[derive(sqlx::FromRow)]
struct Suspect {
    place: String,
    text: String,
}

/// Searches what the audit names beside the database.
pub(crate) fn search_files(audit: &Audit, report: &mut Report) -> Result<(), AuditError> {
    let mut searched = 0;
    for root in audit.wal.iter().chain(&audit.logs) {
        walk(root, &mut |path| {
            searched += 1;
            search_file(path, &audit.canaries, report)
        })
        .map_err(|error| AuditError::File {
            path: root.clone(),
            error,
        })?;
    }
    report.count(Invariant::I11, "files", searched);
    Ok(())
}

fn walk(path: &Path, each: &mut impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    // What a running server removes meanwhile is gone.
    let kind = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        known => known?,
    };
    if kind.is_file() {
        return match each(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        };
    }
    if kind.is_dir() {
        let mut inside: Vec<_> = fs::read_dir(path)?.collect::<Result<_, _>>()?;
        inside.sort_by_key(fs::DirEntry::file_name);
        for entry in inside {
            walk(&entry.path(), each)?;
        }
    }
    Ok(())
}

fn search_file(path: &Path, canaries: &[Canary], report: &mut Report) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = Vec::with_capacity(CHUNK + OVERLAP);
    let mut offset = 0_u64;
    // What was found, how often, and where first; what lies in the overlap is seen twice.
    let mut all: BTreeMap<Finding, (u64, u64)> = BTreeMap::new();
    let mut last = BTreeMap::new();
    loop {
        let kept = buffer.len();
        let read = (&mut file)
            .take(u64::try_from(CHUNK).unwrap_or(u64::MAX))
            .read_to_end(&mut buffer)?;
        for (what, at) in search(&buffer, canaries) {
            let at = offset + u64::try_from(at).unwrap_or_default();
            if last.insert(what, at).is_none_or(|before| before < at) {
                all.entry(what).or_insert((0, at)).0 += 1;
            }
        }
        if read == 0 {
            break;
        }
        let gone = (kept + read).saturating_sub(OVERLAP);
        buffer.drain(..gone);
        offset += u64::try_from(gone).unwrap_or_default();
    }
    for (what, (times, first)) in all {
        report.add(Violation {
            invariant: Invariant::I11,
            merchant: None,
            at: Some(path.display().to_string()),
            position: None,
            what: format!("{what}, {times} times, first at byte {first}"),
        });
    }
    Ok(())
}

/// Searches every text and JSON column of every table.
pub(crate) async fn search_tables(
    connection: &mut PgConnection,
    canaries: &[Canary],
    report: &mut Report,
) -> Result<(), sqlx::Error> {
    let columns: Vec<Column> = sqlx::query_as(
        "select c.table_name::text as table_name, c.column_name::text as column_name
         from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
         where c.table_schema = current_schema() and t.table_type = 'BASE TABLE'
           and (c.data_type in ('text', 'character varying', 'json', 'jsonb') or (c.data_type = 'ARRAY' and c.udt_name = '_text'))
         order by 1, 2",
    )
    .fetch_all(&mut *connection)
    .await?;
    report.count(
        Invariant::I11,
        "columns",
        u64::try_from(columns.len()).unwrap_or_default(),
    );
    for column in columns {
        search_column(connection, &column, canaries, report).await?;
    }
    Ok(())
}

/// The database picks what may be something; what it is, is decided here.
async fn search_column(
    connection: &mut PgConnection,
    column: &Column,
    canaries: &[Canary],
    report: &mut Report,
) -> Result<(), sqlx::Error> {
    let Column {
        table_name,
        column_name,
    } = column;
    let place = match table_name.as_str() {
        "events" => "'position ' || position",
        _ => "ctid::text",
    };
    let of_canaries: String = canaries
        .iter()
        .map(|it| {
            let literal = it.text().replace('\'', "''");
            format!(" or position('{literal}' in \"{column_name}\"::text) > 0")
        })
        .collect();
    let declare = format!(
        "declare suspects no scroll cursor for select {place} as place, \"{column_name}\"::text as text from \"{table_name}\"
         where \"{column_name}\"::text ~ '[0-9]([ -]?[0-9]){{12}}|(sk|rk)_(live|test)_|whsec_|_secret_'{of_canaries}"
    );
    connection.execute(declare.as_str()).await?;
    let fetch = format!("fetch {ROWS} from suspects");
    loop {
        let suspects: Vec<Suspect> = sqlx::query_as(&fetch).fetch_all(&mut *connection).await?;
        if suspects.is_empty() {
            break;
        }
        for it in &suspects {
            for (what, _) in search(it.text.as_bytes(), canaries) {
                report.add(Violation {
                    invariant: Invariant::I11,
                    merchant: None,
                    at: Some(format!("{table_name}.{column_name}")),
                    position: None,
                    what: format!("{what}, at {}", it.place),
                });
            }
        }
    }
    connection.execute("close suspects").await?;
    Ok(())
}
