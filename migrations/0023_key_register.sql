-- Who made, rolled and ended which key, and when: keys are handed out over HTTP from here on, so that is asked one day.

ALTER TABLE api_keys
    -- 'key:…' of the key that made it; 'operator' where it was made on the command line.
    ADD COLUMN created_by text NOT NULL DEFAULT 'operator',
    -- From then on it is nobody's: the grace of a key that was rolled.
    ADD COLUMN expires_at timestamptz,
    -- The key that took its place.
    ADD COLUMN rolled_to  text REFERENCES api_keys,
    ADD COLUMN rolled_at  timestamptz,
    ADD COLUMN rolled_by  text,
    ADD COLUMN revoked_by text,
    ADD CHECK ((rolled_to IS NULL) = (rolled_at IS NULL) AND (rolled_to IS NULL) = (rolled_by IS NULL));
-- A merchant's keys, page by page.
CREATE INDEX api_keys_by_merchant ON api_keys (merchant, key_id);

ALTER TABLE merchants
    ADD COLUMN created_by text NOT NULL DEFAULT 'operator',
    ADD COLUMN changed_at timestamptz,
    ADD COLUMN changed_by text;
