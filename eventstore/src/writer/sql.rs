//! The text of a batch's one statement: a compare-and-set of the head, on which every other part depends.

use crate::fold::Tables;

/// How far the writer's time may be from the database's clock.
const CLOCK_TOLERANCE: &str = "interval '5 s'";

/// Which parts a statement has. Few of the possible shapes occur, and each is prepared once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Shape {
    pub(super) events: bool,
    /// There are streams whose version is not known.
    pub(super) unchecked: bool,
    pub(super) claims: bool,
    /// There are answers to earlier claims.
    pub(super) completions: bool,
    /// Read-model tables with rows, as bits in the order of their declaration.
    pub(super) tables: u64,
}

/// The common table expressions before the head's and after it, and how many arguments they take so far.
struct Parts {
    checks: String,
    writes: String,
    arguments: usize,
}

impl Shape {
    /// The statement's text. Arguments 1 to 5 are the head as it is expected (position, batch, epoch), the time, and
    /// how many events there are; the arrays of the parts follow in order.
    pub(super) fn sql(&self, tables: &Tables) -> String {
        let mut parts = Parts {
            checks: String::new(),
            writes: String::new(),
            arguments: 5,
        };
        if self.unchecked {
            parts.stream_check();
        }
        if self.events {
            parts.events();
        }
        if self.claims {
            parts.claims();
        }
        if self.completions {
            parts.completions();
        }
        for (index, table) in tables.as_slice().iter().enumerate() {
            if self.tables & (1 << index) != 0 {
                let upsert = table.upsert(table.name, "head, ", parts.arguments + 1);
                parts.arguments += table.argument_count();
                parts.writes += &format!(",\nrows_{index} AS ({upsert})");
            }
        }
        self.assemble(&parts)
    }

    fn assemble(&self, Parts { checks, writes, .. }: &Parts) -> String {
        let obstacles = [
            (self.unchecked, "streams"),
            (self.claims, "taken"),
            (self.completions, "unanswerable"),
        ];
        let mut clear = String::new();
        let mut said = String::new();
        for (present, name) in obstacles {
            if present {
                clear += &format!(" AND NOT EXISTS (SELECT FROM {name})");
                said += &format!(", (SELECT array_agg(i) FROM {name}) AS {name}");
            } else {
                said += &format!(", NULL::bigint[] AS {name}");
            }
        }
        let notify = if self.events {
            "(SELECT pg_notify('counterfoil_log', position::text) FROM head) AS notified, "
        } else {
            ""
        };
        format!(
            "WITH {checks}head AS (\n\
             UPDATE log_head AS h SET position = h.position + $5, batch = h.batch + 1, recorded_at = $4\n\
             WHERE h.position = $1 AND h.batch = $2 AND h.epoch = $3 AND h.recorded_at <= $4\n\
             AND $4 >= clock_timestamp() - {CLOCK_TOLERANCE}\n\
             AND $4 <= greatest(clock_timestamp() + {CLOCK_TOLERANCE}, h.recorded_at){clear}\n\
             RETURNING h.position){writes}\n\
             SELECT {notify}(SELECT position FROM head) AS written{said}, clock_timestamp() AS now"
        )
    }
}

const EVENT_ARRAYS: [&str; 11] = [
    "text", "text", "bigint", "text", "text", "text", "text", "text", "bigint", "uuid", "bytea",
];

impl Parts {
    /// The next arguments, as arrays of these types.
    fn arrays(&mut self, kinds: &[&str]) -> String {
        let numbered = kinds.iter().map(|kind| {
            self.arguments += 1;
            format!("${}::{kind}[]", self.arguments)
        });
        numbered.collect::<Vec<_>>().join(", ")
    }

    /// Streams that are not at the version expected. Asked for as a value: an `EXISTS` beside an `OR` may be planned
    /// as a hash of all events while there are few, and no setting forbids that.
    fn stream_check(&mut self) {
        let streams = self.arrays(&["text", "text", "bigint"]);
        self.checks += &format!(
            "streams AS (SELECT c.i FROM UNNEST({streams}) WITH ORDINALITY \
             AS c(aggregate_type, aggregate_id, version, i) \
             WHERE c.version <> coalesce((SELECT max(e.sequence) FROM events e \
             WHERE e.aggregate_type = c.aggregate_type AND e.aggregate_id = c.aggregate_id), 0)),\n"
        );
    }

    fn events(&mut self) {
        let events = self.arrays(&EVENT_ARRAYS);
        let ledgers = self.arrays(&["text", "bigint"]);
        self.writes += &format!(
            ",\nappended AS (INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, \
             payload, metadata, ledger, position, ledger_position, event_id, recorded_at, leaf_hash) \
             SELECT e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version, \
             e.payload::json, e.metadata::json, e.ledger, $1 + e.i, e.ledger_position, e.event_id, $4, e.leaf_hash \
             FROM head, UNNEST({events}) WITH ORDINALITY AS e(aggregate_type, aggregate_id, sequence, event_type, \
             event_version, payload, metadata, ledger, ledger_position, event_id, leaf_hash, i)),\n\
             ledgers AS (INSERT INTO ledger_heads (ledger, ledger_position) \
             SELECT l.ledger, l.ledger_position FROM head, UNNEST({ledgers}) AS l(ledger, ledger_position) \
             ON CONFLICT (ledger) DO UPDATE SET ledger_position = excluded.ledger_position)"
        );
    }

    /// Claims to make; those that are there already are in the way.
    fn claims(&mut self) {
        let keys = self.arrays(&["text", "text", "text"]);
        let rest = self.arrays(&["bytea", "uuid", "text", "text"]);
        self.checks += &format!(
            "taken AS (SELECT c.i FROM UNNEST({keys}) WITH ORDINALITY AS c(ledger, scope, key, i) \
             WHERE EXISTS (SELECT FROM claims k \
             WHERE k.ledger = c.ledger AND k.scope = c.scope AND k.key = c.key)),\n"
        );
        self.writes += &format!(
            ",\nclaimed AS (INSERT INTO claims (ledger, scope, key, fingerprint, command_id, context, answer, \
             created_at, completed_at) \
             SELECT c.ledger, c.scope, c.key, c.fingerprint, c.command_id, c.context::json, c.answer::json, \
             $4, CASE WHEN c.answer IS NOT NULL THEN $4 END \
             FROM head, UNNEST({keys}, {rest}) AS c(ledger, scope, key, fingerprint, command_id, context, answer))"
        );
    }

    /// Answers to claims; where none is open, that is in the way.
    fn completions(&mut self) {
        let keys = self.arrays(&["text", "text", "text"]);
        let answers = self.arrays(&["text"]);
        self.checks += &format!(
            "unanswerable AS (SELECT c.i FROM UNNEST({keys}) WITH ORDINALITY AS c(ledger, scope, key, i) \
             WHERE NOT EXISTS (SELECT FROM claims k \
             WHERE k.ledger = c.ledger AND k.scope = c.scope AND k.key = c.key AND k.answer IS NULL)),\n"
        );
        self.writes += &format!(
            ",\nanswered AS (UPDATE claims k SET answer = c.answer::json, completed_at = $4 \
             FROM head, UNNEST({keys}, {answers}) AS c(ledger, scope, key, answer) \
             WHERE k.ledger = c.ledger AND k.scope = c.scope AND k.key = c.key)"
        );
    }
}
