-- The key of each subject's personal data, wrapped under COUNTERFOIL_SEAL_KEY. Deleting a row erases that person's
-- data from every event for ever; this is the one table that history depends on and that may be deleted from.
CREATE TABLE subject_keys (
    merchant    text        NOT NULL,
    subject     text        NOT NULL,
    wrapped_key bytea       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (merchant, subject)
);
