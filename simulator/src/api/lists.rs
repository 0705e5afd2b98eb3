//! Lists as Stripe pages them: newest first, by cursor.

use serde_json::{Value, json};

use super::call::Call;
use crate::errors::{ApiError, Outcome};
use crate::params::{Field, Params};
use crate::state::Kind;

/// A page of objects.
pub struct Page {
    limit: usize,
    starting_after: Option<String>,
    ending_before: Option<String>,
}

/// Reads `limit`.
///
/// # Errors
/// 400 unless it is 1 to 100.
pub fn read_limit(params: &Params<'_>) -> Outcome<usize> {
    let limit = params.int("limit")?.unwrap_or(10);
    let bound = match limit {
        ..1 => "greater than or equal to 1",
        1..=100 => return Ok(usize::try_from(limit).expect("at most 100")),
        _ => "less than or equal to 100",
    };
    Err(ApiError::invalid(format!("This value must be {bound}."))
        .code("parameter_invalid_integer")
        .param("limit"))
}

impl Page {
    /// Reads `limit`, `starting_after` and `ending_before`.
    ///
    /// # Errors
    /// 400 for a bad limit, or both cursors at once.
    pub fn read(params: &Params<'_>) -> Outcome<Self> {
        let page = Self {
            limit: read_limit(params)?,
            starting_after: params.text("starting_after", 500)?.given(),
            ending_before: params.text("ending_before", 500)?.given(),
        };
        if page.starting_after.is_some() && page.ending_before.is_some() {
            return Err(ApiError::invalid(
                "You can only pass one of these parameters: starting_after, ending_before.",
            )
            .param("starting_after"));
        }
        Ok(page)
    }

    /// The objects of the page, and whether there are more beyond it.
    ///
    /// # Errors
    /// 400 `resource_missing` when a cursor names nothing.
    pub fn of<'t, T: Kind>(
        &self,
        call: &'t Call<'_, '_>,
        what: &str,
        matches: impl Fn(&T) -> bool,
    ) -> Outcome<(Vec<&'t T>, bool)> {
        let table = T::table(call.tx.tables());
        let place = |cursor: &Option<String>, param: &str| match cursor {
            None => Ok(None),
            Some(id) => match table.place(id) {
                Some(place) => Ok(Some(place)),
                None => Err(ApiError::no_such(what, id, param)),
            },
        };
        let after = place(&self.starting_after, "starting_after")?;
        let before = place(&self.ending_before, "ending_before")?;
        let mut found: Vec<&T> = match before {
            Some(before) => table
                .newer_than(before)
                .filter(|it| matches(it))
                .take(self.limit + 1)
                .collect(),
            None => table
                .older_than(after)
                .filter(|it| matches(it))
                .take(self.limit + 1)
                .collect(),
        };
        let has_more = found.len() > self.limit;
        found.truncate(self.limit);
        if before.is_some() {
            found.reverse();
        }
        Ok((found, has_more))
    }
}

/// The envelope of a list.
pub fn envelope(url: &str, data: Vec<Value>, has_more: bool) -> Value {
    json!({ "object": "list", "data": data, "has_more": has_more, "url": url })
}

/// `created` or another time: a time, or bounds on it, in seconds.
#[derive(Default)]
pub struct Created {
    from: Option<i64>,
    to: Option<i64>,
}

impl Created {
    /// Reads `created`, `created[gt]`, `created[gte]`, `created[lt]`, `created[lte]`.
    ///
    /// # Errors
    /// 400 when a bound is no integer or has another name.
    pub fn read(params: &Params<'_>) -> Outcome<Self> {
        Self::read_as(params, "created")
    }

    /// As [`read`](Self::read), of the time with another name.
    ///
    /// # Errors
    /// As there.
    pub fn read_as(params: &Params<'_>, name: &str) -> Outcome<Self> {
        if !matches!(params.hash(name), Ok(Field::Given(_))) {
            let at = params.int(name)?;
            return Ok(Self { from: at, to: at });
        }
        let mut created = Self::default();
        let Some(bounds) = params.hash(name)?.given() else {
            return Ok(created);
        };
        for (name, _) in bounds.entries() {
            let at = bounds.int(name)?.unwrap_or_default();
            match name {
                "gt" => created.from = Some(at.saturating_add(1)),
                "gte" => created.from = Some(at),
                "lt" => created.to = Some(at.saturating_sub(1)),
                "lte" => created.to = Some(at),
                _ => {
                    let full = bounds.name(name);
                    return Err(
                        ApiError::invalid(format!("Received unknown parameter: {full}"))
                            .code("parameter_unknown")
                            .param(full),
                    );
                }
            }
        }
        Ok(created)
    }

    /// Whether the time is within.
    pub fn covers(&self, at: i64) -> bool {
        self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at <= to)
    }
}
