-- When a run, or the repetition of one, kept a step last: what a process that died leaves behind is known by it, and goes.

ALTER TABLE reconciliation_work ADD COLUMN kept_at timestamptz NOT NULL DEFAULT now();
