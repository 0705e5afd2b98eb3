//! How the database is to find rows in a session that looks them up by their keys.

/// Every plan is an index lookup per row; one that was made while a table was empty must not scan it later.
pub(crate) const BY_INDEX: &str = "SET plan_cache_mode = force_generic_plan; SET jit = off; \
     SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off";
